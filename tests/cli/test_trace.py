import gzip
from collections import Counter
from importlib import resources
from itertools import pairwise

import pytest

from faregate.cli.trace import CUSTOMERS_LIMIT, TraceRequest, choose_customers, load_trace


def test_the_trace_holds_every_published_request():
    trace = load_trace()
    assert len(trace) == 8_819
    assert sum(request.context_tokens for request in trace) == 18_059_974
    assert sum(request.generated_tokens for request in trace) == 245_896


def test_the_trace_begins_with_the_published_rows():
    assert load_trace()[:3] == [
        TraceRequest(0, 4808, 10),
        TraceRequest(52, 3180, 8),
        TraceRequest(98, 110, 27),
    ]


def test_the_trace_never_goes_back_in_time_and_lasts_just_under_an_hour():
    trace = load_trace()
    assert all(before.offset_ms <= after.offset_ms for before, after in pairwise(trace))
    assert trace[-1].offset_ms == 3_435_948


def test_the_packed_trace_carries_no_time_of_packing():
    data = resources.files("faregate.cli") / "data" / "azure-llm-2023-code.csv.gz"
    packed = data.read_bytes()
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed).startswith(b"delta_ms,context_tokens,generated_tokens\n")


def test_the_attribution_travels_with_the_trace():
    data = resources.files("faregate.cli") / "data" / "ATTRIBUTION.md"
    assert "CC BY 4.0" in data.read_text("utf-8")


def test_the_same_seed_always_deals_the_same_customers():
    assert choose_customers(8, 40, seed=7) == [1, 2, 11, 11, 7, 7, 2, 1]
    assert choose_customers(500, 40, seed=7) == choose_customers(500, 40, seed=7)


def test_another_seed_deals_other_customers():
    assert choose_customers(500, 40, seed=1) != choose_customers(500, 40, seed=2)


def test_a_longer_trace_begins_with_the_same_customers():
    assert choose_customers(500, 40, seed=1)[:100] == choose_customers(100, 40, seed=1)


def test_a_few_customers_are_heavy_and_many_are_light():
    rows = Counter(choose_customers(8_819, 40, seed=1))
    assert set(rows) == set(range(40))
    assert 0.21 < rows[0] / 8_819 < 0.26
    assert sum(rows[customer] for customer in range(8)) > 0.6 * 8_819
    assert rows[39] < 0.012 * 8_819


def test_a_single_customer_gets_every_row():
    assert choose_customers(3, 1, seed=1) == [0, 0, 0]


def test_no_rows_need_no_customers_dealt():
    assert choose_customers(0, 40, seed=1) == []


@pytest.mark.parametrize("customers", [0, -1, CUSTOMERS_LIMIT + 1])
def test_a_number_of_customers_out_of_range_is_refused(customers: int):
    with pytest.raises(ValueError, match=f"customers is {customers}: give a number"):
        choose_customers(10, customers, seed=1)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="count is -1"):
        choose_customers(-1, 40, seed=1)
