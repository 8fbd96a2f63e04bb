"""What the form's buttons do, and what it shows at least: an empty price has a row to fill in, a
tiered one has two, and each field has words for people.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from faregate.core.prices import Commitment, Entitlement, Price
from faregate.web.product_form.branches import Branch, add, find, remove
from faregate.web.product_form.reading import part_content, read_part
from faregate.web.product_form.writing import (
    json_branch,
    write_commitment,
    write_entitlement,
    write_price,
)

_PARTS: Final[dict[str, tuple[Any, Any]]] = {
    "price": (Price, write_price),
    "entitlement": (Entitlement, write_entitlement),
    "commitment": (Commitment, write_commitment),
}
_WORDS: Final = {
    "json": "JSON",
    "volume_field": "amount in its data",
    "volume_rate": "price per amount",
    "unit_price": "price per use",
    "package_size": "package size",
    "amount": "amount",
    "event_type": "event type",
    "event_types": "event types",
    "min_amount": "at least",
    "max_amount": "at most",
}


MODELS: Final = (
    ("flat", "Per unit", "the same price for each"),
    ("package", "Packages", "each package that is begun"),
    ("tiered", "Graduated tiers", "each part at its own tier's price"),
    ("bulk", "Volume tiers", "all of a use at the tier reached"),
    ("fixed", "Fixed fee", "each period or once, by the seat too"),
)
_MEASURES: Final = (
    ("unit", "each use"),
    ("volume", "an amount in its data"),
    ("unit_and_volume", "each use and an amount"),
    ("custom", "an expression over its data"),
    ("cost", "what it costs you (a markup)"),
)
_BASES: Final = {
    "unit": ("unit",),
    "volume": ("volume", "unit", "package"),
    "unit_and_volume": ("volume", "unit", "package"),
    "custom": ("custom", "unit"),
    "cost": ("volume", "unit"),
}
_COUNTED: Final = {
    "unit": "uses",
    "volume": "the amount",
    "package": "packages of it",
    "custom": "what the expression gives",
}
Options = list[tuple[str, str]]


def measures(model: str) -> Options:
    """Return how the events of a price can be measured: packages are of an amount."""
    without = ("unit", "cost") if model == "package" else ()
    return [(key, words) for key, words in _MEASURES if key not in without]


def bases(measure: str) -> Options:
    """Return what tiers can count."""
    return [(basis, _COUNTED[basis]) for basis in _BASES.get(measure, ("unit",))]


def act(root: Branch, action: str) -> str:
    """Do what a button says to the form (`add:price`, `remove:price-1-entry-2`, `json:price-1`,
    `fields:price-1`); return the path of the branch that is new or changed, of the part from which
    something was taken away, `removed` if all of it was, else nothing."""
    verb, _, path = action.partition(":")
    if verb == "add":
        return add(root, path) or ""
    if verb == "remove":
        was_there = remove(root, path)
        around = path.split("-")[:2]
        return "" if not was_there else "-".join(around) if "-".join(around) != path else "removed"
    branch, words = find(root, path), _PARTS.get(path.partition("-")[0])
    if verb not in ("json", "fields") or branch is None or words is None:
        return ""
    kind, write = words
    if verb == "json":
        content = part_content(kind, branch)
        shown = None if content is None else json_branch(content)
    else:
        part = read_part(kind, branch)
        shown = None if part is None else write(part)
    if shown is not None:
        branch.fields, branch.lists = shown.fields, shown.lists
    return path


def complete(root: Branch) -> None:
    """Give each price at least the rows that its model needs, and take away what does not fit it
    any more."""
    for price in root.all("price"):
        if price.get("model") in ("json", "fixed"):
            continue
        if price.get("measure", "unit") not in dict(measures(price.get("model"))):
            price.fields["measure"] = "volume"
        if price.get("basis") not in dict(bases(price.get("measure", "unit"))):
            price.fields.pop("basis", None)
        entries = price.all("entry")
        if not entries:
            entries.append(Branch())
        wanted = 2 if price.get("model") in ("tiered", "bulk") else 1
        for entry in entries:
            tiers = entry.all("tier")
            while len(tiers) < wanted:
                tiers.append(Branch())


def label_of(field: str) -> str:
    """Return what a field is called: `price-1-entry-1-tier-2-up_to` is `up to`."""
    last = field.rpartition("-")[2]
    return "" if last.isdigit() else _WORDS.get(last, last.replace("_", " "))


def place_of(field: str) -> str:
    """Return where a field is: `price-1-entry-1-tier-2-up_to` is `Price 1, row 1, tier 2`."""
    words, parts = {"entry": "row", "entitlement": "included credit"}, field.split("-")
    found = [
        f"{words.get(kind, kind)} {number}" for kind, number in pairwise(parts) if number.isdigit()
    ]
    said = ", ".join(found)
    return said[:1].upper() + said[1:]
