"""What calls of models cost: whether events get that, the seller's own prices, and what one call
would come to, with the working."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec
from starlette.responses import Response

from faregate.core.amounts import plain
from faregate.core.assets import CURRENCIES
from faregate.core.codec import from_dict
from faregate.core.model_uses import COUNTS
from faregate.core.own_model_prices import FIELDS, CreateModelPrice, ModelPrice
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.wording import digits
from faregate.costing.types import ModelCostQuote, QuoteModelCost
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_amount
from faregate.web.typed import Typed, beside, given

SHOWN: Final = 50
KINDS: Final = {
    "input": "Input",
    "cache_read": "Cached input",
    "cache_write": "Written to the cache",
    "input_audio": "Audio input",
    "cache_audio_read": "Cached audio",
    "output": "Output",
    "reasoning": "Reasoning",
    "output_audio": "Audio output",
    "image": "Images",
    "request": "Requests",
}
COUNT_LABELS: Final = {
    "input_tokens": "Input tokens, all",
    "cache_read_tokens": "Of the input read from the cache",
    "cache_write_tokens": "Of the input written to the cache",
    "input_audio_tokens": "Of the input audio",
    "cache_audio_read_tokens": "Of the cached audio",
    "output_tokens": "Output tokens, all",
    "reasoning_tokens": "Of the output reasoning",
    "output_audio_tokens": "Of the output audio",
    "images": "Images",
}


class QuotedRow(msgspec.Struct, frozen=True):
    """A kind of tokens, and what it comes to."""

    label: str
    how: str
    amount: Money


async def show(visit: Visit) -> Response:
    """List the seller's prices, and cost the call that the address has, if any."""
    return await _page(visit)


async def create(visit: Visit) -> Response:
    """Add a price of the seller's own."""
    form = await visit.form()
    typed = Typed(form)
    try:
        body = given(
            model=form.get("model"),
            provider=typed.text("provider"),
            batch_percent=typed.whole("batch_percent"),
            valid_from=typed.instant("valid_from"),
            **{field: typed.number(field) for field in FIELDS.values()},
        )
        typed.check()
        request = from_dict(CreateModelPrice, body)
        made = await visit.engine.create_model_price(request, context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go("model-prices", f"{made.model} costs what you said, for events from now on.")


async def delete(visit: Visit) -> Response:
    """Let a price price nothing any more."""
    await visit.engine.delete_model_price(visit.path["price"], context=visit.context)
    return visit.go("model-prices", "The price is gone. Costs that it gave stay.")


async def switch(visit: Visit) -> Response:
    """Begin or end to attach costs."""
    is_on = (await visit.form()).get("attach") == "yes"
    await visit.engine.change_settings(attach_costs=is_on, context=visit.context)
    said = "get what their model has cost" if is_on else "get no costs"
    return visit.go("model-prices", f"Events of the {visit.mode} mode {said} from now on.")


async def _quoted(visit: Visit, call: Form) -> ModelCostQuote:
    """Cost the call that was typed. Raises 422."""
    typed = Typed(call)
    data: dict[str, Any] = given(
        model=call.get("call.model"),
        provider=call.get("call.provider") or None,
        batch=True if "call.batch" in call else None,
        **{word: typed.whole(f"call.{word}") for word in COUNTS},
    )
    typed.check()
    if not call.get("call.model"):
        raise FaregateError(invalid("call.model", "is empty: name a model, e.g. gpt-4o"))
    return await visit.engine.quote_model_cost(QuoteModelCost(data), context=visit.context)


def _rows(quote: ModelCostQuote) -> list[QuotedRow]:
    dollar = CURRENCIES[quote.currency]
    return [
        QuotedRow(
            KINDS[part.kind],
            f"{part.count:,} × ${plain(part.price)}" + (" per million" if part.per > 1 else ""),
            show_amount(part.amount, dollar),
        )
        for part in quote.parts
    ]


def _in_words(price: ModelPrice) -> str:
    """Say what a price asks: its kinds, then what a batch costs."""
    words = []
    for kind, field in FIELDS.items():
        amount: Decimal | None = getattr(price, field)
        if amount is not None:
            per = {"image": "each", "request": "each"}.get(kind, "per million")
            words.append(f"{KINDS[kind].lower()} ${digits(amount)} {per}")
    if price.batch_percent is not None:
        words.append(f"in a batch {price.batch_percent}% of it")
    return "; ".join(words)


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    found = await visit.engine.list_model_prices(SHOWN, visit.offset, context=visit.context)
    call = Form(list(visit.request.query_params.multi_items()))
    quote: ModelCostQuote | None = None
    refused: Problem | None = None
    if "call.model" in call:
        try:
            quote = await _quoted(visit, call)
        except FaregateError as error:
            refused = error.problem
    view = visit.engine.catalog_view(visit.context)
    failed = problem or refused
    return visit.render(
        "model-prices.html",
        200 if failed is None else failed.kind.status,
        section="model-prices",
        title="Model prices",
        is_on=view.costing is not None,
        found=found,
        words=_in_words,
        call=call,
        counts=COUNT_LABELS,
        quote=quote,
        rows=[] if quote is None else _rows(quote),
        total=None
        if quote is None or quote.amount is None
        else show_amount(quote.amount, CURRENCIES[quote.currency]),
        form=form or Form([]),
        problem=problem,
        errors=beside(problem) if problem else {},
        refused=refused,
        call_errors=beside(refused) if refused else {},
    )


PAGES: Final = (
    Page("model-prices", show),
    Page("model-prices", create, "POST", needs="admin"),
    Page("model-prices/attach", switch, "POST", needs="admin", action="set attached costs"),
    Page("model-prices/{price}/delete", delete, "POST", needs="admin"),
)
