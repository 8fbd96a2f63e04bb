"""`faregate mcp install` and `faregate mcp skills`: tell an assistant of this server, and give it
the guides. Without `--write` nothing is changed: what would be written is printed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn
from urllib.parse import urlsplit

import typer

from faregate.cli.assistant_files import CannotAdd, as_text, replace_file, with_server
from faregate.cli.assistants import (
    ASSISTANTS,
    BY_NAME,
    KEY_VARIABLE,
    Assistant,
    Entry,
    Scope,
    places,
)
from faregate.cli.settings import EXIT_CONFIGURATION

_LOCAL: Final = "http://127.0.0.1:8080"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def install(
    assistant: Annotated[
        str | None, typer.Argument(help="Which one; without, all of them are listed.")
    ] = None,
    url: Annotated[
        str, typer.Option(envvar="FAREGATE_URL", help="Where the server is, https://… or http://…")
    ] = _LOCAL,
    scope: Annotated[
        Scope | None,
        typer.Option(help="project: a file of the folder that you are in; user: your own file."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the file, and keep it as it was beside it.")
    ] = False,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Let the assistant start `faregate mcp` on this machine's database."
        ),
    ] = False,
    sign_in: Annotated[
        bool,
        typer.Option("--sign-in", help="No key: the assistant opens a browser to sign in."),
    ] = False,
    with_key: Annotated[
        bool,
        typer.Option("--with-key", help=f"Put the value of {KEY_VARIABLE} into your own file."),
    ] = False,
    name: Annotated[str, typer.Option(help="What the assistant calls the server.")] = "faregate",
) -> None:
    """Print how an assistant is told of this server, or write it into the assistant's file."""
    if assistant is None:
        _list()
        return
    known = BY_NAME.get(assistant)
    if known is None:
        _fail(f"{assistant!r} is not known here: choose one of {', '.join(BY_NAME)}")
    if not _NAME.fullmatch(name):
        _fail(f"--name is {name!r}: send at most 32 of a-z, 0-9, - and _")
    if sign_in and (with_key or local):
        _fail("--sign-in needs no key: leave --with-key and --local out")
    scope = scope or known.first_scope
    file = known.file(scope, Path.cwd(), places(os.environ))
    key = _key(known, scope) if with_key else None
    entry = _entry(known, _address(url), key, is_local=local, signs_in=sign_in)
    if file is None:
        _only_by_command(known, scope, _address(url), name)
        return
    settings = known.settings(name, entry)
    if write:
        _write(known, file, settings, is_secret=key is not None)
    else:
        _say(f"{known.title}: this belongs into {file} (--write puts it there):")
        print(as_text(settings, is_toml=known.is_toml), end="")
    _say_what_is_next(known, entry, _address(url), is_local=local, signs_in=sign_in)


def skills(
    to: Annotated[Path, typer.Option(help="The folder that gets a folder for each.")] = Path(
        ".claude/skills"
    ),
) -> None:
    """Write the guides for assistants (pricing, setup, verification, integration) as skills."""
    # Nobody else needs their texts, and every command would wait for them.
    from faregate.mcp.skills import SKILLS, skill_files

    kept = []
    try:
        for place, text in skill_files().items():
            path = to / place
            # People are invited to change the guides: what they have written is not lost.
            if not path.exists() or path.read_bytes() != text.encode():
                kept.append(replace_file(path, text, is_secret=False))
            print(path)
    except OSError as error:
        _fail(f"--to is {to}: {error.strerror}: choose a folder that you may write to")
    for copy in filter(None, kept):
        _say(f"As it was, it is kept in {copy}.")
    names = ", ".join(skill.name for skill in SKILLS)
    _say(f"Your assistant knows now: {names}. Ask it for one by its name.")


def _list() -> None:
    found = places(os.environ)
    for one in ASSISTANTS:
        files = [str(f) for s in ("project", "user") if (f := one.file(s, Path(), found))]
        print(f"{one.name:<16}{' or '.join(files)}")
    _say("Next: faregate mcp install NAME, and with --write once it looks right.")


def _address(url: str) -> str:
    """Return the address of the tools of a server. A key or a password is no part of it."""
    parts = urlsplit(url)
    try:
        is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment or "@" in parts.netloc:
        shown = f"{parts.scheme}://…" if "@" in parts.netloc else repr(url)
        _fail(f"--url is {shown}: send the server's address alone, e.g. {_LOCAL}")
    path = parts.path.rstrip("/").removesuffix("/mcp")
    return f"{parts.scheme}://{parts.netloc}{path}/mcp"


def _key(known: Assistant, scope: Scope) -> str:
    if scope == "project":
        _fail(
            "--with-key would put the key into a file that is likely committed with the project: "
            f"use --scope user, or leave it out: {known.title} reads {KEY_VARIABLE} by itself"
        )
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        _fail(f"{KEY_VARIABLE} is not set: put the key there first (faregate keys create)")
    return key


def _entry(
    known: Assistant, address: str, key: str | None, *, is_local: bool, signs_in: bool
) -> Entry:
    if is_local:
        return known.started(_program(), ["mcp", *_database()], None)
    if known.address is not None:
        return known.remote(address, key, signs_in=signs_in)
    if signs_in:
        _fail(
            f"{known.title} signs in to servers that are added in its settings, not by this file: "
            f"add {address} there as a connector"
        )
    if key is None:
        _fail(
            f"{known.title} does not see {KEY_VARIABLE}: set it here and add --with-key (your own "
            "file, read by you alone), or add --local if the database is on this machine"
        )
    return known.started(_program(), ["mcp", "--url", address.removesuffix("/mcp")], key)


def _program() -> str:
    """Return the whole path of this command: programs with windows have another PATH."""
    beside = Path(sys.executable).with_name("faregate")
    found = shutil.which("faregate") if not beside.exists() else str(beside)
    return found or "faregate"


def _database() -> list[str]:
    database = os.environ.get("FAREGATE_DATABASE_URL", "")
    if not database:
        return []
    if urlsplit(database).password is not None:
        _fail(
            "FAREGATE_DATABASE_URL has a password, which would stand in the assistant's file: "
            "leave --local out and use a key"
        )
    return ["--database", _whole(database)]


def _whole(database: str) -> str:
    """Return a database's URL with the whole path of its file: assistants start elsewhere."""
    scheme, _, path = database.partition(":///")
    if scheme != "sqlite" or not path:
        return database
    return f"{scheme}:///{Path(path).absolute()}"


def _only_by_command(known: Assistant, scope: Scope, address: str, name: str) -> None:
    if scope == "project":
        _fail(f"{known.title} has no file in a project: use --scope user")
    _say(f"{known.title} writes its own file. Run this (it is printed, not run):")
    print(known.command.format(name=name, url=shlex.quote(address)))


def _write(known: Assistant, file: Path, settings: Entry, *, is_secret: bool) -> None:
    try:
        before = file.read_bytes().decode() if file.exists() else ""
        after = with_server(before, settings, is_toml=known.is_toml)
        if after == before:
            _say(f"{file} says so already.")
            return
        kept = replace_file(file, after, is_secret=is_secret)
    except (CannotAdd, UnicodeDecodeError) as error:
        why = error if isinstance(error, CannotAdd) else "it is not UTF-8 text"
        _say(f"{file} was left as it is: {why}. Put this into it by hand:")
        print(as_text(settings, is_toml=known.is_toml), end="")
        raise typer.Exit(EXIT_CONFIGURATION) from None
    except OSError as error:
        _fail(f"{file} was left as it is: {error.strerror}")
    print(file)
    if kept is not None:
        _say(f"As it was, it is kept in {kept}.")
    if is_secret:
        _say(f"{file} has your key now: give it to nobody.")


def _say_what_is_next(
    known: Assistant, entry: Entry, address: str, *, is_local: bool, signs_in: bool
) -> None:
    host = urlsplit(address).hostname or ""
    if not is_local and address.startswith("http:") and host not in ("127.0.0.1", "localhost"):
        _say(f"{host} is asked without encryption: others on the way can read the key. Use https.")
    if not (is_local or signs_in) and known.variable and known.variable in str(entry):
        if known.variable.startswith("${input:"):
            _say("It will ask you for the key (faregate keys create prints one).")
        else:
            _say(
                f"Before {known.title} starts, put the key into {KEY_VARIABLE} "
                "(faregate keys create prints one). The file names the variable, not the key."
            )
    if known.asks:
        _say(known.asks)
    _say(f"Then restart {known.title} and say: what is set up in Faregate?")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(text: str) -> NoReturn:
    _say(text)
    raise typer.Exit(EXIT_CONFIGURATION)
