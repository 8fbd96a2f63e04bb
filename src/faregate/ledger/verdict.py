"""What `verify` has found, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from faregate.ledger.heads import KeptHead
from faregate.ledger.verify import Report

MAX_SHOWN: Final = 20


def verdict(report: Report) -> Iterator[str]:
    """Say what was looked at and whether it is right; of what is not, the first."""
    yield (
        f"{report.transfers:,} transfers, {report.fees:,} fees, {report.grants:,} grants, "
        f"{report.holds:,} holds, {report.accounts:,} overdrafts and "
        f"{report.transactions:,} transactions compared; "
        f"{report.chains:,} chains of transfers followed to their ends."
    )
    if report.differences:
        yield f"They do not balance: {len(report.differences)} differences. The first:"
        yield from _first(
            f"{found.kind} {found.name} of {found.customer_id}: "
            f"stored {found.stored_units:,}, computed {found.computed_units:,} units"
            for found in report.differences
        )
    else:
        yield "The books balance."
    if report.breaks:
        count = len(report.breaks)
        yield f"Transfers were edited; places where chains break: {count}. The first:"
        yield from _first(
            (
                f"transfer {found.seq} of {found.customer_id} "
                if found.customer_id
                else f"number {found.seq} "
            )
            + found.what
            for found in report.breaks
        )
    yield from map(_outcome, report.kept)


def _first(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in islice(lines, MAX_SHOWN))


def _outcome(kept: KeptHead) -> str:
    then, now = kept.head.transfers, kept.transfers
    at = f"{kept.head.at:%Y-%m-%dT%H:%M:%SZ}"
    if kept.is_kept:
        return f"It begins with the head of {at}: {then:,} transfers, none changed."
    found = f"{now:,} now" if now != then else "as many now, but not the same"
    return (
        f"It does NOT begin with the head of {at}: there were {then:,} transfers then, "
        f"and up to the same numbers there are {found}."
    )
