import gzip
from importlib import resources
from itertools import pairwise

from faregate.cli.trace import TraceRequest, load_trace


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
