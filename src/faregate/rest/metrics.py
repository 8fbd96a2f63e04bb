"""The engine's counters in Prometheus' text format, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from faregate.ledger.statistics import Histogram
from faregate.rest.server import Server


class _Collector:
    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        lanes = self._server.engine.lanes
        charges = CounterMetricFamily("faregate_charges", "Events booked.", labels=["lane"])
        refused = CounterMetricFamily(
            "faregate_refused", "Commands refused.", labels=["lane", "reason"]
        )
        failed = CounterMetricFamily(
            "faregate_failed_commits", "Commits that the database refused.", labels=["lane"]
        )
        queue = GaugeMetricFamily(
            "faregate_queue_depth", "Commands that wait for a lane.", labels=["lane"]
        )
        commits = HistogramMetricFamily(
            "faregate_commit_seconds", "Time of a durable commit.", labels=["lane"]
        )
        batches = HistogramMetricFamily(
            "faregate_batch_size", "Commands per commit.", labels=["lane"]
        )
        for lane in lanes:
            label, statistics = [str(lane.number)], lane.statistics
            charges.add_metric(label, statistics.events)
            refused.add_metric([*label, "rule"], statistics.refused)
            refused.add_metric([*label, "overload"], statistics.refused_overload)
            failed.add_metric(label, statistics.failed_commits)
            queue.add_metric(label, lane.queued)
            commits.add_metric(label, *_buckets(statistics.commit_seconds))
            batches.add_metric(label, *_buckets(statistics.batch_sizes))
        answers = CounterMetricFamily("faregate_answers", "HTTP answers.", labels=["status"])
        for status, count in sorted(self._server.answers.items()):
            answers.add_metric([str(status)], count)
        yield from (charges, refused, failed, queue, commits, batches, answers)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total


def metrics_text(server: Server) -> bytes:
    """Return the page."""
    registry = CollectorRegistry()
    registry.register(_Collector(server))
    return generate_latest(registry)
