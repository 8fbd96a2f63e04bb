"""From a form to the request that it stands for. What is left empty is left out, so that what is
wrong is said by the rules that judge requests; only what cannot become a request at all (a number
that is none) is refused here.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from faregate.catalog.types import CreateProduct, CreateVersion
from faregate.core.codec import from_dict
from faregate.core.prices import Commitment, Entitlement, Price
from faregate.core.problems import FaregateError
from faregate.web.product_form.branches import Branch
from faregate.web.product_form.parts import Reader
from faregate.web.product_form.places import Places

Request = TypeVar("Request", CreateProduct, CreateVersion)
_PARTS: Final[tuple[tuple[str, Any], ...]] = (
    ("prices", Price),
    ("entitlements", Entitlement),
    ("commitments", Commitment),
)


class Draft(msgspec.Struct):
    """What a form says: JSON values, where each comes from, and what cannot be read."""

    content: dict[str, Any]
    places: Places
    errors: dict[str, list[str]]


def read_form(root: Branch) -> Draft:
    """Read a whole form."""
    reader = Reader()
    content: dict[str, Any] = {}
    for name in ("name", "code"):
        reader.places.note(name, name)
        if root.get(name):
            content[name] = root.get(name)
    lists = (
        ("prices", "price", reader.price),
        ("entitlements", "entitlement", reader.entitlement),
        ("commitments", "commitment", reader.commitment),
    )
    for path, kind, read in lists:
        found = []
        for index, branch in enumerate(root.lists.get(kind, [])):
            place, field = f"{path}[{index}]", f"{kind}-{index + 1}"
            if branch.get("model") == "json":
                reader.places.note(place, f"{field}-json")
                found.append(reader.json(branch.get("json"), f"{field}-json"))
            else:
                reader.places.note(place, field)
                found.append(read(branch, place, field))
        if found or path == "prices":
            content[path] = found
    return Draft(content, reader.places, reader.errors)


def request_of(kind: type[Request], draft: Draft) -> Request | dict[str, list[str]]:
    """Make a request of what a form says, or return what is wrong, by the form's fields."""
    if draft.errors:
        return draft.errors
    content: dict[str, Any] = dict(draft.content)
    errors: dict[str, list[str]] = {}
    for path, part in _PARTS:
        for index, item in enumerate(content.get(path, ())):
            errors |= _wrong(part, item, f"{path}[{index}].")
        # Each part was looked at alone, so that all that is wrong is said at once.
        content[path] = content.get(path, []) if not errors else []
    if kind is CreateVersion:
        content = {key: value for key, value in content.items() if key not in ("name", "code")}
    errors |= _wrong(kind, content)
    return draft.places.fields(errors) if errors else from_dict(kind, content)


def _wrong(kind: Any, content: dict[str, Any], prefix: str = "") -> dict[str, list[str]]:
    try:
        from_dict(kind, content)
    except FaregateError as error:
        return {prefix + path: said for path, said in error.problem.errors.items()}
    return {}


def part_content(kind: Any, branch: Branch) -> dict[str, Any] | None:
    """Return what one `Price`, `Entitlement` or `Commitment` says, complete or not; None if it
    cannot be read."""
    reader = Reader()
    read = {Entitlement: reader.entitlement, Commitment: reader.commitment}.get(kind, reader.price)
    is_json = branch.get("model") == "json"
    content: dict[str, Any]
    content = reader.json(branch.get("json"), "") if is_json else read(branch, "", "")
    return None if reader.errors else content


def read_part(kind: Any, branch: Branch) -> Any:
    """Read one `Price`, `Entitlement` or `Commitment` alone; None if it cannot be read."""
    content = part_content(kind, branch)
    try:
        return None if content is None else from_dict(kind, content)
    except FaregateError:
        return None
