"""A form's flat names as a tree: `price-1-entry-2-tier-3-up_to` is a field of the third tier of the
second entry of the first price. What the form's buttons do without JavaScript, adding a branch and
taking one away, is done to the tree.

    >>> root = grow({"price-1-name": "Calls", "price-3-name": "Tokens"})
    >>> flat(root)
    {'price-1-name': 'Calls', 'price-2-name': 'Tokens'}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

MAX_BRANCHES: Final = 100
"""How many a list of the form may have."""
KINDS: Final = ("price", "entry", "tier", "entitlement", "commitment", "use", "field")
MAX_DEPTH: Final = 4
"""How deep branches may lie within branches; those of prices lie at most three deep."""
_STEP: Final = re.compile(rf"({'|'.join(KINDS)})-(\d{{1,4}})(?:-|\Z)")
_LIST: Final = re.compile(rf"(?:(.+)-)?({'|'.join(KINDS)})\Z")


class Branch:
    """Fields, and lists of further branches by their kind."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self.fields: dict[str, str] = dict(fields or {})
        self.lists: dict[str, list[Branch]] = {}

    def get(self, name: str, default: str = "") -> str:
        """Return a field; the default if it is not there or empty."""
        return self.fields.get(name, "") or default

    def all(self, kind: str) -> list[Branch]:
        """Return the branches of a kind, the list itself."""
        return self.lists.setdefault(kind, [])


def grow(fields: Mapping[str, str], depth: int = 0) -> Branch:
    """Make a tree of flat names. Numbers with gaps are counted anew; of a list that has too many
    the rest is left out. A name that would lie deeper than `MAX_DEPTH` (from `depth` on) is no
    branch but a field."""
    numbered: dict[str, dict[int, dict[str, str]]] = {}
    root = Branch()
    for name, value in fields.items():
        step = _STEP.match(name) if depth < MAX_DEPTH else None
        if step is None or step.end() == len(name):
            root.fields[name] = value
        else:
            of_kind = numbered.setdefault(step[1], {})
            of_kind.setdefault(int(step[2]), {})[name[step.end() :]] = value
    for kind, branches in numbered.items():
        root.lists[kind] = [grow(branches[n], depth + 1) for n in sorted(branches)[:MAX_BRANCHES]]
    return root


def flat(branch: Branch, prefix: str = "") -> dict[str, str]:
    """Write a tree as flat names."""
    return dict(_walk(branch, prefix))


def _walk(branch: Branch, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in branch.fields.items():
        yield prefix + name, value
    for kind, branches in branch.lists.items():
        for number, inner in enumerate(branches, 1):
            yield from _walk(inner, f"{prefix}{kind}-{number}-")


def find(root: Branch, path: str) -> Branch | None:
    """Find a branch: `find(root, "price-1-entry-2")`."""
    place = 0
    while place < len(path):
        step = _STEP.match(path, place)
        if step is None:
            return None
        branches = root.lists.get(step[1], [])
        number = int(step[2])
        if not 1 <= number <= len(branches):
            return None
        root, place = branches[number - 1], step.end()
    return root


def add(root: Branch, path: str) -> str | None:
    """Add an empty branch to a list (`price`, `price-1-entry-1-tier`) and return its path; None if
    there is no such list, or no room. A tier comes before the last one, which is open."""
    found = _LIST.fullmatch(path)
    parent = None if found is None else find(root, found[1] or "")
    if found is None or parent is None:
        return None
    branches = parent.all(found[2])
    if len(branches) >= MAX_BRANCHES:
        return None
    place = max(0, len(branches) - 1) if found[2] == "tier" else len(branches)
    branches.insert(place, Branch())
    return f"{path}-{place + 1}"


def remove(root: Branch, path: str) -> bool:
    """Take a branch away (`price-1-entry-1-tier-2`); tell whether it was there."""
    head, _, number = path.rpartition("-")
    found = _LIST.fullmatch(head)
    parent = None if found is None else find(root, found[1] or "")
    if found is None or parent is None or find(root, path) is None:
        return False
    del parent.lists[found[2]][int(number) - 1]
    return True
