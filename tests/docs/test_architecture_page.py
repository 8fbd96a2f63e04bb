"""The architecture page shows the house as it is: every module, on its floor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
SOURCE = ROOT / "src/faregate"
ROOMS = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", PAGE, re.M))
FLOORS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


def test_every_floor_is_shown() -> None:
    assert sorted(ROOMS) == FLOORS


@pytest.mark.parametrize("floor", FLOORS)
def test_every_module_of_a_floor_is_shown_once(floor: str) -> None:
    there = sorted(p.stem for p in (SOURCE / floor).glob("*.py") if not p.stem.startswith("__"))
    assert sorted(re.findall(r"`(\w+)`", ROOMS[floor])) == there


def test_every_file_that_is_named_is_there() -> None:
    for name in re.findall(r"`(\w+/\w+\.py)`", PAGE):
        assert (SOURCE / name).is_file(), name
    for page in re.findall(r"\]\(([\w/-]+\.md)", PAGE):
        assert (ROOT / "docs" / page).is_file(), page
