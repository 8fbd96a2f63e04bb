"""Guides for assistants, as they are kept in `skills/`: a folder for each with a `SKILL.md` (the
public format: a name and a description in front, then what to do) and `references/` that it leads
to. Over the protocol each is a prompt (`prompts`); on a disk, a skill. The text is the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

_FOLDER: Final = Path(__file__).with_name("skills")
_FRONT: Final = re.compile(
    r"---\nname: (\S+)\ndescription: >-\n((?:  .*\n)+)---\n\n(.*)", re.DOTALL
)
_REFERENCE: Final = re.compile(r"\(references/([a-z-]+\.md)\)")
NAMES: Final = ("pricing-strategy", "billing-setup", "billing-verification", "billing-integration")


class Skill(msgspec.Struct, frozen=True):
    """A guide: its text, and the texts that it leads to, by their file's name."""

    name: str
    description: str
    text: str
    references: dict[str, str]

    def whole(self) -> str:
        """Return all of it as one text, for whoever cannot open a file beside it."""
        parts = [_REFERENCE.sub(r"(below: \1)", self.text)]
        parts += [f"# {name}\n\n{text}" for name, text in self.references.items()]
        return "\n\n".join(part.strip() for part in parts) + "\n"


def _read(name: str) -> Skill:
    folder = _FOLDER / name
    found = _FRONT.fullmatch((folder / "SKILL.md").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"skills/{name}/SKILL.md does not begin with its name and description")
    named, description, text = found.groups()
    references = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("references/*.md"))
    }
    return Skill(named, " ".join(description.split()), text, references)


SKILLS: Final = tuple(_read(name) for name in NAMES)


def skill_files() -> dict[Path, str]:
    """Return the files of all guides: their texts, by their places in a folder of skills."""
    found = sorted(path for name in NAMES for path in (_FOLDER / name).rglob("*.md"))
    return {path.relative_to(_FOLDER): path.read_text(encoding="utf-8") for path in found}
