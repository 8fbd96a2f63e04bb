"""What calls of models cost, worked out by hand from the prices that the providers state: each sum
is written out in dollars per million tokens. Where the package can say the same, it must."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from genai_prices import Usage, calc_price

from faregate.core.costs import Cost
from faregate.core.model_prices import Costing, PricedUse, PriceList, as_rate, price_use
from faregate.core.model_uses import ModelUse
from faregate.costing.attaching import Attaching

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Example(NamedTuple):
    """A call, and what it costs. `vendor` is who is paid; `by_rule`: the table has no such price,
    so the package cannot say it."""

    says: str
    data: dict[str, Any]
    dollars: Fraction
    vendor: str = "openai"
    at: datetime = NOON
    by_rule: bool = False


EXAMPLES = [
    # GPT-4o: 2.50 in, 1.25 cached, 10 out. 1000 x 2.50/M + 100 x 10/M = 0.0025 + 0.001.
    Example(
        "plain text",
        {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100},
        Fraction("0.0035"),
    ),
    # 800 x 2.50/M + 200 x 1.25/M + 100 x 10/M = 0.002 + 0.00025 + 0.001: the cached are not
    # counted twice.
    Example(
        "cached input is among the input",
        {
            "model": "gpt-4o",
            "provider": "openai",
            "input_tokens": 1000,
            "cache_read_tokens": 200,
            "output_tokens": 100,
        },
        Fraction("0.00325"),
    ),
    # All of it cached: 5000 x 1.25/M.
    Example(
        "all input cached",
        {"model": "gpt-4o", "input_tokens": 5000, "cache_read_tokens": 5000},
        Fraction("0.00625"),
    ),
    # Claude Haiku 4.5: 1 in, 1.25 to write the cache, 0.10 to read it, 5 out.
    # 300 x 1/M + 2000 x 1.25/M + 10000 x 0.10/M + 400 x 5/M = 0.0003 + 0.0025 + 0.001 + 0.002.
    Example(
        "a cache written and read",
        {
            "model": "claude-haiku-4-5",
            "provider": "anthropic",
            "input_tokens": 12300,
            "cache_write_tokens": 2000,
            "cache_read_tokens": 10000,
            "output_tokens": 400,
        },
        Fraction("0.0058"),
        "anthropic",
    ),
    # Claude Sonnet 4.5, at 200,000 tokens still in the lower tier: 200000 x 3/M + 1000 x 15/M.
    Example(
        "long context: at the threshold",
        {"model": "claude-sonnet-4-5", "input_tokens": 200_000, "output_tokens": 1000},
        Fraction("0.615"),
        "anthropic",
    ),
    # One more, and every token is at the higher tier: 200001 x 6/M + 1000 x 22.50/M.
    Example(
        "long context: one token above it",
        {"model": "claude-sonnet-4-5", "input_tokens": 200_001, "output_tokens": 1000},
        Fraction("1.222506"),
        "anthropic",
    ),
    # Cached tokens count for the tier: 50000 x 6/M + 160000 x 0.60/M + 10000 x 7.50/M
    # = 0.3 + 0.096 + 0.075.
    Example(
        "long context: reached by cached tokens",
        {
            "model": "claude-sonnet-4-5",
            "input_tokens": 220_000,
            "cache_read_tokens": 160_000,
            "cache_write_tokens": 10_000,
        },
        Fraction("0.471"),
        "anthropic",
    ),
    # Gemini 2.5 Pro below 200,000: 150000 x 1.25/M + 2000 x 10/M = 0.1875 + 0.02.
    Example(
        "Gemini below its tier",
        {
            "model": "gemini-2.5-pro",
            "provider": "gcp.gemini",
            "input_tokens": 150_000,
            "output_tokens": 2000,
        },
        Fraction("0.2075"),
        "google",
    ),
    # Above: 250000 x 2.50/M + 2000 x 15/M = 0.625 + 0.03. Output has no threshold of its own.
    Example(
        "Gemini above its tier",
        {"model": "gemini-2.5-pro", "input_tokens": 250_000, "output_tokens": 2000},
        Fraction("0.655"),
        "google",
    ),
    # GPT-5.4 above 272,000: 300000 x 5/M + 1000 x 22.50/M = 1.5 + 0.0225.
    Example(
        "GPT above its tier",
        {"model": "gpt-5.4", "input_tokens": 300_000, "output_tokens": 1000},
        Fraction("1.5225"),
    ),
    # GPT-4o in a batch, as the table has it: 1.25 in, 5 out: 0.00125 + 0.0005.
    Example(
        "a batch that the table knows",
        {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, "batch": True},
        Fraction("0.00175"),
    ),
    # A tier in a batch: 300000 x 2.50/M + 1000 x 11.25/M = 0.75 + 0.01125.
    Example(
        "a batch above the tier",
        {"model": "gpt-5.4", "input_tokens": 300_000, "output_tokens": 1000, "batch": True},
        Fraction("0.76125"),
    ),
    # Before the table has prices of batches: OpenAI's half of 2.50 and 10, cached input as ever:
    # 800 x 1.25/M + 200 x 1.25/M + 100 x 5/M.
    Example(
        "a batch by OpenAI's rule",
        {
            "model": "gpt-4o",
            "input_tokens": 1000,
            "cache_read_tokens": 200,
            "output_tokens": 100,
            "batch": True,
        },
        Fraction("0.00175"),
        at=datetime(2026, 10, 1, tzinfo=UTC),
        by_rule=True,
    ),
    # Claude Haiku 4.5 in a batch, by the table: half of everything of the example above.
    Example(
        "a batch with a cache that the table knows",
        {
            "model": "claude-haiku-4-5",
            "input_tokens": 12300,
            "cache_write_tokens": 2000,
            "cache_read_tokens": 10000,
            "output_tokens": 400,
            "batch": True,
        },
        Fraction("0.0029"),
        "anthropic",
    ),
    # Claude Opus 4.1 has no batch price in the table; Anthropic's rule halves everything:
    # 900 x 7.50/M + 100 x 0.75/M + 100 x 37.50/M = 0.00675 + 0.000075 + 0.00375.
    Example(
        "a batch by Anthropic's rule",
        {
            "model": "claude-opus-4-1",
            "input_tokens": 1000,
            "cache_read_tokens": 100,
            "output_tokens": 100,
            "batch": True,
        },
        Fraction("0.010575"),
        "anthropic",
        by_rule=True,
    ),
    # GPT-5: 1.25 in, 10 out; the 900 reasoning tokens are among the 1000: 0.000125 + 0.01.
    Example(
        "reasoning is output, once",
        {"model": "gpt-5", "input_tokens": 100, "output_tokens": 1000, "reasoning_tokens": 900},
        Fraction("0.010125"),
    ),
    # Sonar Deep Research prices reasoning apart: 100 x 2/M + 100 x 8/M + 900 x 3/M
    # = 0.0002 + 0.0008 + 0.0027.
    Example(
        "reasoning with a price of its own",
        {
            "model": "sonar-deep-research",
            "provider": "perplexity",
            "input_tokens": 100,
            "output_tokens": 1000,
            "reasoning_tokens": 900,
        },
        Fraction("0.0037"),
        "perplexity",
    ),
    # Sonar: 1 in, 1 out, and 12 per thousand requests: 0.0005 + 0.0002 + 0.012.
    Example(
        "a price per request",
        {
            "model": "sonar",
            "provider": "perplexity",
            "input_tokens": 500,
            "output_tokens": 200,
        },
        Fraction("0.0127"),
        "perplexity",
    ),
    # GPT Audio: 2.50 text in, 32 audio in, 10 text out, 64 audio out.
    # 100 x 2.50/M + 400 x 32/M + 50 x 10/M + 250 x 64/M = 0.00025 + 0.0128 + 0.0005 + 0.016.
    Example(
        "audio in and out",
        {
            "model": "gpt-audio",
            "input_tokens": 500,
            "input_audio_tokens": 400,
            "output_tokens": 300,
            "output_audio_tokens": 250,
        },
        Fraction("0.02955"),
    ),
    # GPT Realtime: 4 text in, 0.40 cached, 32 audio in, 0.40 audio cached, 16 and 64 out.
    # 100 text: 0.0004; 200 text cached: 0.00008; 300 audio: 0.0096; 400 audio cached: 0.00016;
    # 100 text out: 0.0016; 100 audio out: 0.0064.
    Example(
        "audio that was cached",
        {
            "model": "gpt-realtime",
            "input_tokens": 1000,
            "cache_read_tokens": 600,
            "input_audio_tokens": 700,
            "cache_audio_read_tokens": 400,
            "output_tokens": 200,
            "output_audio_tokens": 100,
        },
        Fraction("0.01824"),
    ),
    # Gemini 2.5 Flash: 0.30 text in, 1 audio in: 1000 x 0.30/M + 3000 x 1/M + 500 x 2.50/M.
    Example(
        "audio into a model that answers in text",
        {
            "model": "gemini-2.5-flash",
            "input_tokens": 4000,
            "input_audio_tokens": 3000,
            "output_tokens": 500,
        },
        Fraction("0.00455"),
        "google",
    ),
    # text-embedding-3-small: 0.02 in; there is no output, and no price for it: 8191 x 0.02/M.
    Example(
        "an embedding",
        {"model": "text-embedding-3-small", "provider": "openai", "input_tokens": 8191},
        Fraction("0.00016382"),
    ),
    # GPT Image 1: 5 in, 40 out, of which an image of 1024 x 1024 takes 1056: 0.00025 + 0.04224.
    Example(
        "an image, counted in tokens",
        {
            "model": "gpt-image-1",
            "provider": "openai",
            "input_tokens": 50,
            "output_tokens": 1056,
        },
        Fraction("0.04249"),
    ),
    # DeepSeek by the time of day, peak at 12:00 UTC: 1000 x 0.27/M + 1000 x 1.10/M.
    Example(
        "DeepSeek by day",
        {
            "model": "deepseek-chat",
            "provider": "deepseek",
            "input_tokens": 1000,
            "output_tokens": 1000,
        },
        Fraction("0.00137"),
        "deepseek",
    ),
    # Off-peak at 20:00 UTC: 1000 x 0.135/M + 1000 x 0.55/M.
    Example(
        "DeepSeek at night",
        {
            "model": "deepseek-chat",
            "provider": "deepseek",
            "input_tokens": 1000,
            "output_tokens": 1000,
        },
        Fraction("0.000685"),
        "deepseek",
        NOON.replace(hour=20),
    ),
    # o3 before 10 June 2025: 10 in, 40 out: 0.01 + 0.04.
    Example(
        "before a price fell",
        {"model": "o3", "input_tokens": 1000, "output_tokens": 1000},
        Fraction("0.05"),
        at=datetime(2025, 5, 1, tzinfo=UTC),
    ),
    # And since: 2 in, 8 out: 0.002 + 0.008.
    Example(
        "after it fell",
        {"model": "o3", "input_tokens": 1000, "output_tokens": 1000},
        Fraction("0.01"),
    ),
    # GPT-4o at Azure costs what it does at OpenAI, and Azure is paid.
    Example(
        "another provider's model",
        {"model": "gpt-4o", "provider": "azure", "input_tokens": 1000, "output_tokens": 100},
        Fraction("0.0035"),
        "azure",
    ),
    # Nothing was used: a call that failed costs nothing, and that is known.
    Example("no token", {"model": "gpt-4o", "input_tokens": 0}, Fraction(0)),
]


def cost_of(costing: Costing | None) -> Cost:
    assert costing is not None
    assert costing.warning is None
    assert costing.costs is not None
    (cost,) = costing.costs
    return cost


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.says for example in EXAMPLES])
def test_a_call_costs_what_the_sum_by_hand_says(example: Example) -> None:
    cost = cost_of(Attaching(())(example.data, example.at))
    assert (Fraction(cost.amount), cost.currency) == (example.dollars, None)
    assert (cost.vendor_external_id, cost.category) == (example.vendor, "model")
    parts = (cost.metadata or {})["parts"]
    assert sum(
        (part["count"] * Fraction(part["price"]) / part["per"] for part in parts), Fraction(0)
    ) == Fraction(cost.amount)
    counts = {"input": 0, "output": 0}
    for part in parts:
        if part["kind"] not in ("image", "request"):
            is_output = part["kind"] in ("output", "reasoning", "output_audio")
            counts["output" if is_output else "input"] += part["count"]
    sent = {kind: example.data.get(f"{kind}_tokens", 0) for kind in counts}
    assert counts == sent


_NAMES = {"reasoning_tokens": "output_reasoning_tokens"}


@pytest.mark.parametrize(
    "example",
    [example for example in EXAMPLES if not example.by_rule],
    ids=[example.says for example in EXAMPLES if not example.by_rule],
)
def test_the_package_comes_to_the_same(example: Example) -> None:
    counts = {
        _NAMES.get(name, name): value
        for name, value in example.data.items()
        if name.endswith("_tokens")
    }
    is_batch = example.data.get("batch")
    price = calc_price(
        Usage(**counts),
        example.data["model"],
        provider_id=example.data.get("provider"),
        genai_request_timestamp=example.at,
        price_context={"processing": "batch"} if is_batch else None,
    )
    assert Fraction(price.total_price) == example.dollars


# A token at 0.0005/M is half a billionth of a dollar.
@pytest.mark.parametrize(
    ("price", "count", "units"),
    [("0.0005", 1, 0), ("0.0015", 1, 2), ("0.0025", 1, 2), ("0.0005", 3, 2), ("0.00051", 1, 1)],
)
def test_what_is_less_than_a_billionth_is_rounded_half_to_even(
    price: str, count: int, units: int
) -> None:
    rate = as_rate(Decimal(price))
    assert rate is not None
    priced = price_use(ModelUse("m", input_tokens=count), PriceList({"input": rate}))
    assert isinstance(priced, PricedUse)
    assert priced.units == units
