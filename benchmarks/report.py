"""Tables of rates, each beside its baseline: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import attached, embedded, gate, http, peers, rules
from benchmarks.costs import Cost, Start
from benchmarks.growth import Step
from benchmarks.importing import Imported
from benchmarks.latency import Latency
from benchmarks.measuring import Rate
from benchmarks.pages import PagesFound
from benchmarks.renewals import Renewals
from benchmarks.ways import Found
from benchmarks.webhooks import AT_ONCE, BASELINES, Told


class Table:
    """A titled table of texts."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self.title = title
        self.columns = columns
        self.rows: list[Sequence[str]] = []

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        console.print(table, "")

    def markdown(self) -> str:
        """Write it as Markdown."""
        marks = ["---" if number < 2 else "--:" for number in range(len(self.columns))]
        lines = [f"**{self.title}**", "", _row(self.columns), _row(marks)]
        return "\n".join([*lines, *(_row(row) for row in self.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(rate: Rate) -> list[str]:
    return [f"{rate.per_second:,.0f}", f"{rate.p50_ms:.2f}", f"{rate.p99_ms:.2f}"]


def engine_table(kind: str, rates: Mapping[embedded.Cell, Rate], charges: int) -> Table:
    """Tabulate level 1."""
    table = Table(
        f"{kind}: the engine beside one transaction per call ({charges:,} charges, verified)",
        ("callers", "wallets", "baseline/s", "p50 ms", "p99 ms", "engine/s", "p50", "p99", "ratio"),
    )
    for callers in embedded.CALLERS:
        for wallets in embedded.WALLETS:
            base = rates["baseline", callers, wallets]
            ours = rates["engine", callers, wallets]
            ratio = f"{ours.per_second / base.per_second:.1f} x"
            table.rows.append([str(callers), wallets, *_rate(base), *_rate(ours), ratio])
    return table


def gate_table(kind: str, rates: Mapping[gate.Cell, Rate], charges: int) -> Table:
    """Tabulate what asking first costs, in charges of the same use."""
    table = Table(
        f"{kind}: asking first, beside a charge of the same use ({charges:,} charges, verified)",
        (
            "callers",
            "wallets",
            "charges/s",
            "asked/s",
            "p50 ms",
            "costs",
            "pairs/s",
            "p50",
            "costs",
            "limited/s",
            "p50",
            "costs",
            "mixed/s",
            "p50",
            "costs",
        ),
    )
    for callers in gate.CALLERS:
        for wallets in gate.WALLETS:
            charge = rates["charge", callers, wallets]
            cells = [str(callers), wallets, f"{charge.per_second:,.0f}"]
            for subject in gate.SUBJECTS[1:]:
                rate = rates.get((subject, callers, wallets))
                if rate is None:
                    cells += ["", "", ""]
                    continue
                costs = f"{charge.per_second / rate.per_second:.2f} x"
                cells += [f"{rate.per_second:,.0f}", f"{rate.p50_ms:.2f}", costs]
            table.rows.append(cells)
    return table


def rules_table(kind: str, rates: Mapping[rules.Cell, Rate], charges: int) -> Table:
    """Tabulate what a charge costs with many rules to look at, in plain ones."""
    table = Table(
        f"{kind}: a charge under tiers by dimension, a limit and five grants, beside a plain one "
        f"({charges:,} charges, verified)",
        ("callers", "wallets", "plain/s", "p50 ms", "p99 ms", "ruled/s", "p50", "p99", "costs"),
    )
    for callers in rules.CALLERS:
        for wallets in rules.WALLETS:
            plain = rates["plain", callers, wallets]
            ruled = rates["ruled", callers, wallets]
            costs = f"{plain.per_second / ruled.per_second:.2f} x"
            table.rows.append([str(callers), wallets, *_rate(plain), *_rate(ruled), costs])
    return table


def attached_table(kind: str, rates: Mapping[attached.Cell, Rate], charges: int) -> Table:
    """Tabulate charges with costs attached, in those without and in those that bring theirs."""
    table = Table(
        f"{kind}: charges of model calls with costs attached, beside none and costs that are sent "
        f"({charges:,} charges, verified)",
        ("callers", "plain/s", "p50 ms", "p99 ms", "attached/s", "p50", "p99", "costs", "sent/s"),
    )
    for callers in attached.CALLERS:
        plain, given = rates["plain", callers], rates["attached", callers]
        costs = f"{plain.per_second / given.per_second:.2f} x"
        sent = f"{rates['sent', callers].per_second:,.0f}"
        table.rows.append([str(callers), *_rate(plain), *_rate(given), costs, sent])
    return table


def renewals_table(kind: str, found: Renewals) -> Table:
    """Tabulate renewals done, beside plain charges."""
    table = Table(
        f"{kind}: {found.members:,} renewals that are due at once, each with a fee and new credit "
        f"({found.fees:,} fees and charges, verified)",
        ("plain charges/s", "p50 ms", "p99 ms", "renewals", "seconds", "renewals/s", "of charges"),
    )
    per_second = found.renewed / found.seconds
    share = f"{per_second / found.plain.per_second:.0%}"
    cells = [f"{found.renewed:,}", f"{found.seconds:.1f}", f"{per_second:,.0f}", share]
    table.rows.append([*_rate(found.plain), *cells])
    return table


def webhooks_table(kind: str, found: Sequence[Told]) -> Table:
    """Tabulate when those are told who answer, with none and with some that hang."""
    charges = sum(one.charges for one in found)
    table = Table(
        f"{kind}: webhooks of single events, and of {AT_ONCE} at once, beside plain posts "
        f"({charges:,} charges, verified)",
        (
            "destinations",
            "hang",
            "delivered",
            "p50 s",
            "p99 s",
            "longest s",
            "deliveries/s",
            *(cell for name, n in BASELINES for cell in (f"{name}/s, {n} at once", "ratio")),
        ),
    )
    for one in found:
        cells = [str(one.hanging), f"{one.deliveries:,}"]
        cells += [f"{value:.2f}" for value in (one.p50, one.p99, one.longest)]
        cells.append(f"{one.per_second:,.0f}")
        for baseline in one.baselines:
            cells += [f"{baseline:,.0f}", f"{one.per_second / baseline:.1f} x"]
        table.rows.append([f"{one.destinations:,}", *cells])
    return table


def http_table(kind: str, rates: Mapping[http.Cell, Rate], charges: int) -> Table:
    """Tabulate HTTP: events per second, beside empty answers per second."""
    table = Table(
        f"{kind}: HTTP beside empty answers of the same server ({charges:,} charges, verified)",
        ("connections", "request", "empty/s", "events/s", "p50 ms", "p99 ms", "of empty"),
    )
    for cell, rate in rates.items():
        if cell.subject == "empty":
            continue
        empty = rates[http.Cell("empty", 1, cell.callers, "spread")]
        request = f"{cell.size} event{'s' if cell.size > 1 else ''}, {cell.wallets}"
        share = f"{rate.per_second / empty.per_second:.0%}"
        cells = [str(cell.callers), request, f"{empty.per_second:,.0f}", *_rate(rate), share]
        table.rows.append(cells)
    return table


def peers_table(rates: Mapping[peers.Cell, Rate], charges: int) -> Table:
    """Tabulate what else one could build, beside the engine."""
    table = Table(
        f"postgresql: the engine beside what else one could build ({charges:,} charges, verified)",
        (
            "callers",
            "wallets",
            "function/s",
            "p50 ms",
            "p99 ms",
            "redis/s",
            "p50",
            "p99",
            "engine/s",
            "p50",
            "p99",
            "of function",
        ),
    )
    for callers in peers.CALLERS:
        for wallets in peers.WALLETS:
            cells = [str(callers), wallets]
            for subject in peers.SUBJECTS:
                rate = rates.get((subject, callers, wallets))
                cells += _rate(rate) if rate is not None else ["", "", ""]
            ours, theirs = (rates[s, callers, wallets] for s in ("faregate", "function"))
            table.rows.append([*cells, f"{ours.per_second / theirs.per_second:.1f} x"])
    return table


def growth_table(kind: str, steps: Sequence[Step], charges: int) -> Table:
    """Tabulate how fast a ledger is when it has grown."""
    table = Table(
        f"{kind}: a ledger that grows, beside a small one ({charges:,} charges, verified)",
        ("events", "ids", "charges/s", "p50 ms", "p99 ms", "small/s", "p50", "p99", "of small"),
    )
    for step in steps:
        share = f"{step.rate.per_second / step.small.per_second:.0%}"
        cells = [*_rate(step.rate), *_rate(step.small), share]
        table.rows.append([f"{step.events:,}", step.ids, *cells])
    return table


def latency_table(kind: str, found: Sequence[Latency], charges: int) -> Table:
    """Tabulate how long charges take that come when they come."""
    table = Table(
        f"{kind}: calls that come at random instants ({charges:,} charges, verified)",
        ("of the full rate", "calls/s", "p50 ms", "p99 ms", "one commit ms", "p99 in commits"),
    )
    for one in found:
        cells = [f"{one.share:.0%}", f"{one.per_second:,.0f}", f"{one.p50_ms:.2f}"]
        cells += [f"{one.p99_ms:.2f}", f"{one.commit_ms:.2f}"]
        table.rows.append([*cells, f"{one.p99_ms / one.commit_ms:.1f} x"])
    return table


def costs_table(kind: str, costs: Sequence[Cost], start: Start, charges: int) -> Table:
    """Tabulate what one call costs at 64 callers, and what a server costs that does nothing."""
    table = Table(
        f"{kind}: what a call costs at 64 callers ({charges:,} charges, verified); a server on "
        f"this ledger answers {start.seconds:.1f} s after it was started, with "
        f"{start.rss_mib:.0f} MiB of memory (peak {start.peak_mib:.0f})",
        ("call", "", "CPU here, us", "CPU of the database, us", "bytes written"),
    )
    for cost in costs:
        numbers = [f"{cost.own_us:.0f}", f"{cost.database_us:.0f}", f"{cost.written_bytes:,.0f}"]
        table.rows.append([cost.subject, "", *numbers])
    return table


def pages_table(kind: str, found: PagesFound) -> Table:
    """Tabulate how long pages take."""
    table = Table(
        f"{kind}: pages of the dashboard over {found.events:,} events of {found.customers:,} "
        f"customers in a month ({found.charges:,} charges, verified; summed up in "
        f"{found.sum_seconds:.0f} s); the first load of Home is {found.first_load / 1000:.0f} kB",
        ("page", "", "p50, ms", "p99, ms", "bytes"),
    )
    for one in found.pages:
        numbers = [f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.size:,}"]
        table.rows.append([one.name, "", *numbers])
    return table


def ways_table(kind: str, found: Sequence[Found], charges: int) -> Table:
    """Tabulate how many uses each way in takes, beside single events over REST."""
    table = Table(
        f"{kind}: uses charged by each way in, beside single events over REST "
        f"({charges:,} charges, verified)",
        ("way in", "uses a request", "callers", "uses/s", "ratio"),
    )
    base = found[0].per_second
    for one in found:
        ratio = f"{one.per_second / base:.2f} x"
        cells = (one.name, f"{one.size:,}", str(one.callers), f"{one.per_second:,.0f}", ratio)
        table.rows.append(cells)
    return table


def import_table(kind: str, found: Imported) -> Table:
    """Tabulate the import of a large file that was killed half-way."""
    table = Table(
        f"{kind}: {found.lines:,} lines, importer and server "
        f"killed half-way ({found.charges:,} charges, each line once, verified)",
        ("killed at line", "customers", "lines/s before", "lines/s after"),
    )
    rates = (found.before_per_second, found.after_per_second)
    cells = [f"{found.killed_at:,}", f"{found.customers:,}"]
    table.rows.append([*cells, *(f"{rate:,.0f}" for rate in rates)])
    return table
