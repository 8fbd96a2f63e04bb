"""Finding customers by what a person types: any part of the name, of the external id or of the
e-mail address, or how an id begins. Upper and lower case are the same.

A search looks at the newest `MAX_SEARCHED` customers (one whose whole id or external id was typed
is found however old), and stops at `MAX_FOUND`: whoever finds so many types more.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from faregate.core.codec import decode
from faregate.core.rules import CustomerRules
from faregate.store.protocol import Queries

MAX_SEARCHED: Final = 200_000
MAX_FOUND: Final = 1_000
MAX_WORDS: Final = 6
MAX_TEXT: Final = 200
_BLOCKED: Final = '%"blocked_because":%'


class CustomerFilters(msgspec.Struct, frozen=True):
    """Which customers are wanted: those who have used more than their credit, those who are
    blocked, those who are subscribed to a product (by id). All that is said must be true."""

    in_the_red: bool = False
    is_blocked: bool = False
    product_id: str | None = None


class Found(msgspec.Struct, frozen=True):
    """Ids of customers, the newest first; `is_cut`: there are more."""

    ids: list[str]
    is_cut: bool


def folded(*texts: str | None) -> str:
    """Return texts as they are searched: in one, without upper case (neither database knows that of
    letters beyond A to Z)."""
    return "\n".join([text.casefold() for text in texts if text is not None])


async def find(
    queries: Queries, environment_id: int, text: str, filters: CustomerFilters, now_us: int
) -> Found:
    """Return the customers that a text finds, the newest first. An empty text finds all."""
    text = text.replace("\0", "")[:MAX_TEXT].strip()
    values: list[Any] = [environment_id, text]
    wanted = ["c.environment_id = $1"]
    for word in text.casefold().split()[:MAX_WORDS]:
        values += [_literally(word), word, f"{word}~"]
        mark, low, high = (f"${n}" for n in range(len(values) - 2, len(values) + 1))
        wanted.append(
            f"(c.search_text LIKE '%' || {mark} || '%' ESCAPE '\\' "
            f"OR (c.id >= {low} AND c.id < {high}))"
        )
    if filters.product_id is not None:
        values += [filters.product_id, now_us]
        wanted.append(
            "c.id IN (SELECT p.customer_id FROM product_subscribers p "
            f"WHERE p.lane IN (SELECT lane FROM lanes) AND p.product_id = ${len(values) - 1} "
            f"AND (p.ends_at IS NULL OR p.ends_at > ${len(values)}))"
        )
    if filters.in_the_red:
        wanted.append(
            "c.id IN (SELECT a.customer_id FROM wallet_accounts a "
            "WHERE a.lane IN (SELECT lane FROM lanes) AND a.overdraft_units > 0)"
        )
    if filters.is_blocked:
        values.append(_BLOCKED)
        wanted.append(
            "c.id IN (SELECT r.customer_id FROM customer_rules r "
            f"WHERE r.lane IN (SELECT lane FROM lanes) AND r.rules LIKE ${len(values)})"
        )
    oldest = (
        "coalesce((SELECT o.id FROM customers o WHERE o.environment_id = $1 "
        f"ORDER BY o.id DESC LIMIT 1 OFFSET {MAX_SEARCHED}), '')"
    )
    wanted.append(f"(c.id > {oldest} OR c.id = $2 OR c.external_id = $2)")
    rows = await queries.fetch(
        f"SELECT c.id FROM customers c WHERE {' AND '.join(wanted)} "
        f"ORDER BY c.id DESC LIMIT {MAX_FOUND + 1}",
        *values,
    )
    ids = [str(row[0]) for row in rows]
    is_cut = len(ids) > MAX_FOUND
    if filters.is_blocked:
        # Metadata may say so too.
        blocked = await _blocked(queries, ids)
        ids = [customer_id for customer_id in ids if customer_id in blocked]
    return Found(ids[:MAX_FOUND], is_cut)


def _literally(word: str) -> str:
    """Return a word as a pattern in which each sign means itself."""
    for sign in "\\%_":
        word = word.replace(sign, f"\\{sign}")
    return word


async def _blocked(queries: Queries, ids: list[str]) -> set[str]:
    """Return those who are blocked."""
    if not ids:
        return set()
    marks = ", ".join(f"${n}" for n in range(1, len(ids) + 1))
    rows = await queries.fetch(
        "SELECT customer_id, rules FROM customer_rules "
        f"WHERE lane IN (SELECT lane FROM lanes) AND customer_id IN ({marks})",
        *ids,
    )
    return {
        customer_id
        for customer_id, rules in rows
        if decode(CustomerRules, rules).blocked_because is not None
    }
