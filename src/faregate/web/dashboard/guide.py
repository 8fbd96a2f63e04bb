"""The guide: five questions about a business, which end in the builder with a draft filled in."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.catalog import guide
from faregate.catalog.types import CreateAsset
from faregate.core.codec import from_dict
from faregate.core.problems import CONFLICT, INVALID, FaregateError, Problem
from faregate.web.dashboard.visit import Page, Visit

Choice = tuple[str, str, str]


class Question(msgspec.Struct, frozen=True):
    """A question with its answers: value, words, and what it means."""

    name: str
    words: str
    choices: tuple[Choice, ...]


QUESTIONS: Final = (
    Question(
        "costs",
        "Does each use cost you money?",
        (
            ("per_use", "Yes, about the same", "an image, a call, a search"),
            ("per_volume", "Yes, by how much is used", "tokens, seconds, megabytes"),
            ("no", "No, or next to nothing", "software that runs anyway"),
        ),
    ),
    Question(
        "differ",
        "Do these costs differ?",
        (
            ("no", "No", "one price for all"),
            ("model", "By model or kind", "a large model costs more than a small one"),
            (
                "customer",
                "By customer",
                "who uses much pays less for more",
            ),
            ("each", "With each use", "pass on what it cost, and a share on top"),
        ),
    ),
    Question(
        "paid",
        "Do customers pay before or after?",
        (
            ("prepaid", "Before: prepaid", "they top up, and stop when nothing is left"),
            ("contract", "After: on a contract", "they use first, up to a limit, and pay later"),
        ),
    ),
    Question(
        "fee",
        "Is there a monthly fee with included use?",
        (
            ("none", "No fee", "they pay for what they use"),
            ("included", "A fee with included use", "more than that costs extra"),
            ("only", "A fee, and that is all", "use costs nothing more"),
        ),
    ),
    Question(
        "counted",
        "How do customers count what they buy?",
        (
            ("money", "In money", "“you have $12.40 left”"),
            ("credits", "In credits", "“you have 1,240 credits left”"),
        ),
    ),
)
NAMES: Final = ("name", "code", "use", "volume", "currency")


async def show(visit: Visit) -> Response:
    """Show the questions."""
    return _show(visit, {})


def _show(visit: Visit, typed: dict[str, str], problem: Problem | None = None) -> Response:
    return visit.render(
        "guide.html",
        200 if problem is None else 422,
        section="guide",
        title="What will you charge for?",
        questions=QUESTIONS,
        typed=typed,
        usual=guide.Answers(),
        problem=problem,
        errors=problem.errors if problem else {},
    )


async def answer(visit: Visit) -> Response:
    """Make what the answers need, and lead on to the builder."""
    form = await visit.form()
    wanted = [question.name for question in QUESTIONS] + list(NAMES)
    given: dict[str, Any] = {name: form.get(name) for name in wanted if form.get(name)}
    given |= {"currency": form.get("currency").upper()} if form.get("currency") else {}
    missing = [question.name for question in QUESTIONS if question.name not in given]
    try:
        if missing:
            errors = {name: ["Choose one"] for name in missing}
            raise FaregateError(Problem(INVALID, "Some questions are open", errors))
        plan = guide.plan(from_dict(guide.Answers, given))
        if plan.asset is not None:
            await _create_credit(visit, plan.asset)
    except FaregateError as error:
        return _show(visit, form.first(), error.problem)
    return visit.go(f"new-product?{urlencode(given)}")


async def _create_credit(visit: Visit, asset: CreateAsset) -> None:
    """Make the credit that a plan counts in, unless it is there already."""
    try:
        await visit.engine.create_asset(asset, context=visit.context)
    except FaregateError as error:
        if error.problem.kind is not CONFLICT:
            raise


PAGES: Final = (
    Page("guide", show),
    Page("guide", answer, "POST", "admin", action="answer the guide"),
)
