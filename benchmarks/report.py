"""Tables of rates, each beside its baseline: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import embedded, gate, http
from benchmarks.measuring import Rate


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
        ),
    )
    for callers in gate.CALLERS:
        for wallets in gate.WALLETS:
            charge = rates["charge", callers, wallets]
            cells = [str(callers), wallets, f"{charge.per_second:,.0f}"]
            for subject in ("authorize", "pair"):
                rate = rates.get((subject, callers, wallets))
                if rate is None:
                    cells += ["", "", ""]
                    continue
                costs = f"{charge.per_second / rate.per_second:.2f} x"
                cells += [f"{rate.per_second:,.0f}", f"{rate.p50_ms:.2f}", costs]
            table.rows.append(cells)
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
