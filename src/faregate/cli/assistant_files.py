"""Add a server to the file in which an assistant keeps its servers. What else the file says stays
as it is: JSON is read and written again, TOML gets a table of its own. What cannot be read is
refused and left alone, and the file as it was is kept beside the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_SECRET_MODE: Final = 0o600


class CannotAdd(Exception):
    """The file is not one that a server can be added to; says why and what to do."""


def with_server(text: str, settings: dict[str, Any], *, is_toml: bool) -> str:
    """Return a file's text with a server added, or put in the place of one of the same name.
    Raises `CannotAdd`. `settings` is a section with one server, and lists to add to."""
    if is_toml:
        return _with_table(text, settings)
    return _with_entry(text, settings)


def as_text(settings: dict[str, Any], *, is_toml: bool) -> str:
    """Return settings as they would stand in a file of their own."""
    return with_server("", settings, is_toml=is_toml)


def replace_file(path: Path, text: str, *, is_secret: bool) -> Path | None:
    """Write a file as a whole; return where it is kept as it was, or None if it is new. A file
    with a secret can be read by its owner alone."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat().st_mode & 0o777 if path.exists() else None
    kept = _keep(path) if before is not None else None
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if not is_secret:
            os.chmod(made, 0o644 if before is None else before)
        os.replace(made, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
    return kept


def _keep(path: Path) -> Path:
    """Copy a file beside itself, over no other file. The copy is its owner's: it may have keys."""
    number = 1
    while True:
        kept = path.with_name(f"{path.name}.before-faregate-{number}")
        try:
            handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET_MODE)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(path.read_bytes())
        return kept


def _with_entry(text: str, settings: dict[str, Any]) -> str:
    there = _read_json(text) if text.strip() else {}
    for name, added in settings.items():
        if isinstance(added, list):
            there[name] = _with_items(there.get(name, []), added, name)
            continue
        section = there.setdefault(name, {})
        if not isinstance(section, dict):
            raise CannotAdd(f"its {name!r} is not an object: mend it")
        section.update(added)
    return json.dumps(there, indent=2, ensure_ascii=False) + "\n"


def _with_items(there: Any, added: list[dict[str, Any]], name: str) -> list[Any]:
    if not isinstance(there, list):
        raise CannotAdd(f"its {name!r} is not a list: mend it")
    new = {item["id"] for item in added}
    return [i for i in there if not (isinstance(i, dict) and i.get("id") in new)] + added


def _read_json(text: str) -> dict[str, Any]:
    try:
        there = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise CannotAdd(
            f"it is not JSON that can be written again without loss (line {error.lineno}: "
            f"{error.msg}): comments and trailing commas would be lost"
        ) from None
    if not isinstance(there, dict):
        raise CannotAdd("it is not a JSON object")
    return there


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in pairs:
        if name in read:
            raise CannotAdd(f"it has {name!r} twice: take one of them out")
        read[name] = value
    return read


def _with_table(text: str, settings: dict[str, Any]) -> str:
    ((section, servers),) = settings.items()
    ((name, entry),) = servers.items()
    there = _read_toml(text)
    head = f"[{section}.{name}]"
    lines, is_inside = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("["):
            is_inside = line.startswith((head, f"[{section}.{name}."))
        if not is_inside:
            lines.append(line)
    rest = "".join(lines).rstrip("\n")
    table = "\n".join([head, *(f"{key} = {_toml(value)}" for key, value in entry.items())])
    made = f"{rest}\n\n{table}\n" if rest else f"{table}\n"
    wanted = {**there, section: {**there.get(section, {}), name: entry}}
    try:
        is_so = tomllib.loads(made) == wanted
    except tomllib.TOMLDecodeError:
        is_so = False
    if not is_so:
        raise CannotAdd(f"it writes {section!r} in a way that a table cannot be added to")
    return made


def _read_toml(text: str) -> dict[str, Any]:
    try:
        there = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotAdd(f"it is not TOML ({error})") from None
    if not isinstance(there.get("mcp_servers", {}), dict):
        raise CannotAdd("its 'mcp_servers' is not a table: mend it")
    return there


def _toml(value: Any) -> str:
    """Write a value of an entry. A string of JSON is one of TOML too, as long as DEL is escaped."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
