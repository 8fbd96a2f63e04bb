"""What is attached and what is said instead: properties over every model that the table knows,
names it does not know, counts that contradict, and the seller's own prices."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import ModelPrice as TablePrice
from hypothesis import assume, given
from hypothesis import strategies as st

from faregate.core.amounts import FIAT_SCALE, Number, to_units
from faregate.core.model_prices import Costing
from faregate.core.model_uses import COUNTS, read_use
from faregate.core.own_model_prices import CreateModelPrice, ModelPrice, check_model_price
from faregate.costing import table
from faregate.costing.attaching import Attaching, installed_table

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
BY_TABLE = Attaching(())


@cache
def models() -> list[tuple[str, str]]:
    return [(one.id, model.id) for one in get_snapshot().providers for model in one.models]


def own(identifier: str, model: str, provider: str | None = None, **more: Any) -> ModelPrice:
    more.setdefault("valid_from", NOON - timedelta(days=1))
    prices = {k: Decimal(v) if isinstance(v, str) else v for k, v in more.items()}
    return ModelPrice(identifier, model, created_at=NOON, provider=provider, **prices)


def attached(data: dict[str, Any], *own_prices: ModelPrice, at: datetime = NOON) -> Costing:
    found = Attaching(own_prices)(data, at)
    assert found is not None
    return found


def dollars(costing: Costing) -> Decimal:
    assert costing.costs is not None, costing.warning
    return Decimal(costing.costs[0].amount)


@st.composite
def uses(draw: st.DrawFn) -> dict[str, int]:
    """Counts that go together."""
    many = st.integers(0, 400_000)
    text, cached, written, audio, cached_audio = (draw(many) for _ in range(5))
    out, reasoning, spoken = (draw(many) for _ in range(3))
    has_audio = draw(st.booleans())
    if not has_audio:
        audio = cached_audio = spoken = 0
    return {
        "input_tokens": text + cached + written + audio + cached_audio,
        "cache_read_tokens": cached + cached_audio,
        "cache_write_tokens": written,
        "input_audio_tokens": audio + cached_audio,
        "cache_audio_read_tokens": cached_audio,
        "output_tokens": out + reasoning + spoken,
        "reasoning_tokens": reasoning,
        "output_audio_tokens": spoken,
    }


def test_an_answer_of_the_seller_s_own_cache_costs_nothing_and_says_so():
    call = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100}
    for own_prices in (
        [],
        [own("mpr_1", "gpt-4o", per_request="0.5", input_per_million="1", output_per_million="1")],
    ):
        found = attached({**call, "answered_from_cache": True}, *own_prices)
        assert found.costs is None
        said = "no cost attached: it was answered_from_cache, so no provider was paid"
        assert found.warning == said
        called = attached({**call, "answered_from_cache": False}, *own_prices)
        assert dollars(called) == dollars(attached(call, *own_prices)) > 0


@given(st.data(), uses())
def test_what_is_attached_is_what_the_package_says(data: st.DataObject, counts: dict[str, int]):
    provider, model = data.draw(st.sampled_from(models()))
    costing = attached({"provider": provider, "model": model, **counts})
    if costing.costs is None:
        assert costing.warning is not None
        return
    words = {"reasoning_tokens": "output_reasoning_tokens"}
    usage = Usage(**{words.get(name, name): count for name, count in counts.items()})
    price = calc_price(usage, model, provider_id=provider, genai_request_timestamp=NOON)
    exact = Fraction(price.total_price)
    assert abs(Fraction(dollars(costing)) - exact) <= Fraction(1, 2 * 10**FIAT_SCALE)


@given(st.data(), uses())
def test_no_cost_is_below_zero_and_all_fit_the_ledger(data: st.DataObject, counts: dict[str, int]):
    provider, model = data.draw(st.sampled_from(models()))
    is_batch = data.draw(st.booleans())
    costing = attached({"provider": provider, "model": model, "batch": is_batch, **counts})
    if costing.costs is None:
        assert costing.warning
    else:
        assert to_units(dollars(costing), FIAT_SCALE) >= 0


@given(st.data(), uses(), st.sampled_from(["input_tokens", "output_tokens"]), st.integers(1, 5000))
def test_more_tokens_within_a_tier_never_cost_less(
    data: st.DataObject, counts: dict[str, int], word: str, more: int
):
    provider, model = data.draw(st.sampled_from(models()))
    named = {"provider": provider, "model": model, **counts}
    before = attached(named)
    listed = installed_table().find(provider, model, NOON)
    # Some providers' models are called otherwise than they are listed.
    assume(listed is not None)
    assert listed is not None
    assert not isinstance(listed.prices, str)
    if word == "input_tokens":
        first = counts[word]
        tiers = [above for rate in listed.prices.rates.values() for above, _ in rate.tiers]
        assume(not any(first <= above < first + more for above in tiers))
    after = attached({**named, word: counts[word] + more})
    if before.costs is not None and after.costs is not None:
        assert dollars(after) >= dollars(before)


@given(st.data(), uses())
def test_to_attach_twice_is_to_attach_once(data: st.DataObject, counts: dict[str, int]):
    provider, model = data.draw(st.sampled_from(models()))
    named = {"provider": provider, "model": model, **counts}
    assert attached(named) == attached(named)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"model": "my-llm", "input_tokens": 1}, "model my-llm: no price is known"),
        (
            {"model": "gpt-99", "provider": "openai", "input_tokens": 1},
            "model gpt-99 of provider openai: no price is known",
        ),
        (
            {"model": "gpt-4o", "provider": "my-proxy", "input_tokens": 1},
            "model gpt-4o of provider my-proxy: no price is known",
        ),
        (
            {"model": "gpt-4o", "input_tokens": 9, "input_audio_tokens": 3},
            "model gpt-4o: its price has none for audio input tokens, and 3 came",
        ),
        (
            {"model": "gpt-4o", "output_tokens": 9, "output_audio_tokens": 4},
            "model gpt-4o: its price has none for audio output tokens, and 4 came",
        ),
        (
            {"model": "gpt-4o", "input_tokens": 9, "images": 2},
            "model gpt-4o: its price has none for images, and 2 came",
        ),
        (
            {"model": "text-embedding-3-small", "provider": "openai", "output_tokens": 4},
            "its price has none for output tokens, and 4 came",
        ),
        (
            {"model": "gpt-image-1.5", "output_tokens": 4},
            "output that is images or video has a price of its own",
        ),
        (
            {"model": "azure/gpt-4o", "input_tokens": 1, "batch": True},
            "model azure/gpt-4o: what a batch costs there is not known",
        ),
    ],
)
def test_what_has_no_known_price_is_said_with_a_remedy_and_costs_nothing_in_silence(
    data: dict[str, Any], says: str
):
    costing = attached(data)
    assert (costing.costs, costing.source) == (None, None)
    assert costing.warning is not None
    assert costing.warning.startswith("no cost attached: ")
    assert says in costing.warning
    assert "send the event's costs, or add a model price of your own" in costing.warning


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"input_tokens": -1}, "input_tokens is -1: send a whole number, 0 to 1000000000000"),
        ({"input_tokens": 10**5000}, "input_tokens is too large: send a whole number"),
        ({"input_tokens": Decimal("1e999999")}, "input_tokens is 1E+999999: send a whole"),
        ({"input_tokens": Decimal("1e-999999")}, "input_tokens is 1E-999999: send a whole"),
        ({"input_tokens": [[1]]}, "input_tokens is no number: send a whole number"),
        ({"input_tokens": "9" * 99}, "send a whole number"),
        ({"output_tokens": Decimal("1.5")}, "output_tokens is 1.5: send a whole number"),
        ({"output_tokens": "12"}, "output_tokens is '12': send a whole number"),
        ({"images": True}, "images is true: send a whole number"),
        ({"input_tokens": 10**12 + 1}, "input_tokens is 1000000000001: send a whole number"),
        ({"input_tokens": Decimal("NaN")}, "input_tokens is NaN: send a whole number"),
        (
            {"input_tokens": 10, "cache_read_tokens": 11},
            "cache_read_tokens (11) are more than input_tokens (10), which count them too",
        ),
        ({"cache_write_tokens": 1}, "cache_write_tokens (1) are more than input_tokens (0)"),
        (
            {"input_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 5},
            "input_tokens (10) are fewer than the cached, the cache's new and the audio tokens",
        ),
        (
            {"output_tokens": 5, "reasoning_tokens": 6},
            "reasoning_tokens (6) are more than output_tokens (5)",
        ),
        (
            {"output_tokens": 5, "reasoning_tokens": 3, "output_audio_tokens": 3},
            "output_tokens (5) are fewer than reasoning_tokens and output_audio_tokens together",
        ),
        (
            {"input_tokens": 9, "cache_read_tokens": 1, "cache_audio_read_tokens": 1},
            "cache_audio_read_tokens (1) are more than input_audio_tokens (0)",
        ),
        ({"input_tokens": 1, "batch": "yes"}, "batch is 'yes': send true or false"),
        ({"input_tokens": 1, "provider": 7}, "provider is no text"),
    ],
)
def test_counts_that_cannot_be_true_are_said_and_nothing_is_attached(
    counts: dict[str, Any], says: str
):
    costing = attached({"model": "gpt-4o", **counts}, own("mpr_1", "gpt*", per_request="1"))
    assert costing.costs is None
    assert costing.warning is not None
    assert says in costing.warning


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"tokens": 5},
        {"input_tokens": 5},
        {"model": "gpt-4o"},
        {"model": "Tesla 3", "km": 12},
        {"model": None, "input_tokens": 5},
        {"model": 4, "input_tokens": 5},
        {"model": "", "input_tokens": 5},
        {"model": "x" * 201, "input_tokens": 5},
        {"model": "gpt-4o", "input_tokens": None},
    ],
)
def test_what_is_no_call_of_a_model_is_left_alone(data: dict[str, Any]):
    assert BY_TABLE(data, NOON) is None


@pytest.mark.parametrize("value", [5, Decimal("5"), Decimal("5.0"), Decimal("5E0"), 5.0])
def test_a_whole_number_is_one_however_it_is_written(value: Any):
    use = read_use({"model": "m", "input_tokens": value})
    assert use is not None
    assert not isinstance(use, str)
    assert use.input_tokens == 5


CALL = {
    "model": "gpt-4o",
    "provider": "openai",
    "input_tokens": 1_000_000,
    "output_tokens": 1_000_000,
}


def test_the_sellers_own_price_goes_before_the_table_and_is_named():
    price = own("mpr_1", "gpt-4o", input_per_million="2", output_per_million="7")
    costing = attached(CALL, price)
    assert (dollars(costing), costing.source) == (Decimal(9), "mpr_1")
    assert costing.costs is not None
    assert (costing.costs[0].metadata or {})["model_price"] == "mpr_1"
    assert costing.costs[0].vendor_external_id == "openai"


def test_the_most_specific_own_price_counts():
    flat = {"input_per_million": "1", "output_per_million": "0"}
    prices = [
        own("mpr_1", "*", **flat),
        own("mpr_2", "gpt*", **flat),
        own("mpr_3", "gpt-4*", **flat),
        own("mpr_4", "gpt-4*", "OpenAI", **flat),
        own("mpr_5", "GPT-4o", **flat),
        own("mpr_6", "gpt-4o", "openai", **flat),
    ]
    for count in range(len(prices), 0, -1):
        for order in (prices[:count], prices[count - 1 :: -1]):
            assert attached(CALL, *order).source == f"mpr_{count}"
    # Those of other models and other providers do not count.
    others = [own("mpr_7", "gpt-4", **flat), own("mpr_8", "gpt-4o", "azure", **flat)]
    assert attached(CALL, *others).source == installed_table().version
    unnamed = {**CALL, "provider": None}
    assert attached(unnamed, prices[5]).source == installed_table().version


def test_an_own_price_counts_from_its_instant_on_by_when_the_event_occurred():
    old = own("mpr_1", "m", input_per_million="1", valid_from=NOON - timedelta(days=9))
    new = own("mpr_2", "m", input_per_million="2", valid_from=NOON)
    call = {"model": "m", "input_tokens": 1_000_000}
    for at, source in (
        (NOON - timedelta(days=9), "mpr_1"),
        (NOON - timedelta(microseconds=1), "mpr_1"),
        (NOON, "mpr_2"),
    ):
        assert attached(call, old, new, at=at).source == source
    before = attached(call, old, new, at=NOON - timedelta(days=10))
    assert before.warning is not None
    assert "no price is known" in before.warning


@pytest.mark.parametrize(
    ("data", "amount"),
    [
        # 600,000 x 1/M + 400,000 x 0.5/M + 100,000 x 2/M.
        ({"input_tokens": 10**6, "cache_read_tokens": 400_000, "output_tokens": 10**5}, "1"),
        # What is written to the cache has no price of its own here: it is input.
        ({"input_tokens": 10**6, "cache_write_tokens": 400_000}, "1"),
        # 3 images at 0.04, and the call itself is free.
        ({"images": 3}, "0.12"),
        # A quarter of 0.60 + 0.12.
        ({"input_tokens": 600_000, "images": 3, "batch": True}, "0.18"),
        # Audio of which half was cached: it has no price of its own, so it is audio.
        (
            {
                "input_tokens": 1000,
                "input_audio_tokens": 1000,
                "cache_read_tokens": 500,
                "cache_audio_read_tokens": 500,
            },
            "0.01",
        ),
    ],
)
def test_own_prices_by_kind(data: dict[str, Any], amount: str):
    price = own(
        "mpr_1",
        "my-*",
        input_per_million="1",
        cache_read_per_million="0.5",
        output_per_million="2",
        input_audio_per_million="10",
        per_image="0.04",
        batch_percent=25,
    )
    costing = attached({"model": "my-llm", **data}, price)
    assert dollars(costing) == Decimal(amount)
    assert costing.costs is not None
    assert costing.costs[0].vendor_external_id == "own-models"


def test_an_own_price_that_lacks_a_kind_is_said_and_the_table_is_not_asked():
    costing = attached(CALL, own("mpr_1", "gpt-4o", input_per_million="2"))
    assert costing.costs is None
    assert costing.warning is not None
    assert "output tokens, and 1000000 came (own price mpr_1)" in costing.warning


def test_a_price_per_request_prices_calls_that_count_nothing():
    price = own("mpr_1", "tts", per_request="0.015")
    assert dollars(attached({"model": "tts"}, price)) == Decimal("0.015")
    assert Attaching([own("mpr_2", "tts", input_per_million="1")])({"model": "tts"}, NOON) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (CreateModelPrice("m"), "input_per_million"),
        (CreateModelPrice("a*b", per_request=Number(1)), "model"),
        (CreateModelPrice("m", per_request=Number(-1)), "per_request"),
        (CreateModelPrice("m", per_image=Number("1e10")), "per_image"),
        (CreateModelPrice("m", output_per_million=Number("1e-10")), "output_per_million"),
        (
            CreateModelPrice("m", per_request=Number(1), valid_from=NOON.replace(year=9500)),
            "valid_from",
        ),
    ],
)
def test_what_is_wrong_with_an_own_price_is_named(body: CreateModelPrice, field: str):
    assert list(check_model_price(body)) == [field]


def test_a_call_that_comes_again_is_priced_as_the_first_time_though_prices_become_valid():
    old = own("mpr_1", "m*", per_request="1", batch_percent=50)
    new = own("mpr_2", "m*", per_request="2", valid_from=NOON)
    attaching = Attaching([old, new])
    before = NOON - timedelta(seconds=1)
    for at, is_batch, amount in [
        (before, False, "1"),
        (NOON, False, "2"),
        (before, True, "0.5"),
    ] * 2:
        costing = attaching({"model": "m", "images": 0, "batch": is_batch}, at)
        assert costing is not None
        assert dollars(costing) == Decimal(amount)


def test_names_that_callers_make_up_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table, "MAX_REMEMBERED", 20)
    prices = table.PriceTable()
    for number in range(100):
        prices.find("openai", f"nobody-{number}", NOON)
        prices.find("openai", "gpt-4o", NOON + timedelta(days=number))
    assert len(prices._models) + len(prices._lists) <= 22


def test_every_price_of_the_table_is_read():
    compared = 0
    for of in get_snapshot().providers:
        for model in of.models:
            listed = installed_table().find(of.id, model.id, NOON)
            if listed is None or (listed.provider, listed.model) != (of.id, model.id):
                continue  # Called otherwise than it is listed.
            assert not isinstance(listed.prices, str)
            for field, kind in table._FIELDS.items():
                is_priced = getattr(model.get_prices(NOON), field) is not None
                assert (kind in listed.prices.rates) == is_priced, (of.id, model.id, field)
                compared += is_priced
    assert compared > 3_000


def test_a_table_that_lists_a_model_without_a_price_or_with_one_below_zero_is_not_believed():
    providers = deepcopy(get_snapshot().providers)
    (openai,) = [one for one in providers if one.id == "openai"]
    empty, strange = [one for one in openai.models if one.id in ("gpt-4", "gpt-4o")]
    empty.prices = []
    strange.prices = TablePrice(input_mtok=Decimal(-1))
    set_custom_snapshot(DataSnapshot(providers, from_auto_update=False))
    try:
        attaching = Attaching((), table.PriceTable())
    finally:
        set_custom_snapshot(None)
    for model, says in (("gpt-4", "no price is known"), ("gpt-4o", "its price has none for input")):
        costing = attaching({"model": model, "input_tokens": 1}, NOON)
        assert costing is not None
        assert costing.costs is None
        assert costing.warning is not None
        assert says in costing.warning


def test_a_year_at_the_edge_of_time_is_no_fault():
    far = datetime.max.replace(tzinfo=UTC)
    assert attached({"model": "gpt-4o", **dict.fromkeys(COUNTS[:1], 1)}, at=far).costs
