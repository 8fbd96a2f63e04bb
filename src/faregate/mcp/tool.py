"""What a tool is: a name by which assistants ask for one operation of the API, or for one of
several that belong together. Those are told apart by the argument `action`, and where an action can
be about one thing or all of them, by whether the thing is named.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from faregate.core.problems import FaregateError, invalid
from faregate.operations.operation import Operation
from faregate.platform.keys import Role

ACTION: Final = "action"
IDEMPOTENCY_KEY: Final = "idempotency_key"
MAX_SHOWN: Final = 100
_PLACE: Final = re.compile(r"{(\w+)(?::\w+)?}")


class Choice(msgspec.Struct, frozen=True):
    """One operation of a tool. `is_destructive`: it takes something away. `takes_key`: a repeat
    with the same `idempotency_key` gets the first answer."""

    operation: Operation
    action: str = ""
    is_destructive: bool = False
    takes_key: bool = False

    @property
    def is_read_only(self) -> bool:
        """Tell whether it changes nothing."""
        return self.operation.method == "GET" or self.operation.path.endswith(
            ("/quote", "/simulate-usage", "/preview")
        )

    @property
    def is_idempotent(self) -> bool:
        """Tell whether the same call twice does no more than once."""
        names = self.names
        return (
            self.is_read_only
            or self.operation.method in ("PUT", "PATCH", "DELETE")
            or "transaction_id" in names
            or self.operation.path in ("/events",)
            or self.operation.path.endswith(("/void", "/block", "/unblock"))
        )

    @property
    def places(self) -> tuple[str, ...]:
        """The names in the operation's path."""
        return tuple(_PLACE.findall(self.operation.path))

    @property
    def names(self) -> tuple[str, ...]:
        """All arguments that it takes, without `action`."""
        found = list(self.places)
        for kind in (self.operation.query, self.operation.body):
            if kind is not None:
                found += kind.__struct_encode_fields__
        if self.takes_key:
            found.append(IDEMPOTENCY_KEY)
        return tuple(found)


class Tool(msgspec.Struct, frozen=True):
    """A tool. `is_open_world`: what it does reaches beyond Faregate, to a provider of payments or
    an address on the web. `other_names` are answered too, but not shown."""

    name: str
    choices: tuple[Choice, ...]
    about: str = ""
    is_open_world: bool = False
    other_names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ").capitalize()

    @property
    def actions(self) -> tuple[str, ...]:
        """What `action` may be; nothing if the tool does one thing."""
        return tuple(dict.fromkeys(c.action for c in self.choices if c.action))

    def for_role(self, role: Role) -> Tool | None:
        """Return the tool with what a role may do of it; None if that is nothing."""
        mine = tuple(choice for choice in self.choices if role in choice.operation.roles)
        return msgspec.structs.replace(self, choices=mine) if mine else None

    def choose(self, action: str, named: Collection[str]) -> Choice:
        """Return what a call asks for, by its action and the names of its arguments. Raises
        `FaregateError` naming what is missing."""
        mine = self._of_action(action)
        fitting = [choice for choice in mine if set(choice.places) <= set(named)]
        if fitting:
            return max(fitting, key=lambda choice: len(choice.places))
        least = min(mine, key=lambda choice: len(choice.places))
        missing = next(place for place in least.places if place not in named)
        raise FaregateError(invalid(missing, "is missing: send it"))

    def _of_action(self, action: str) -> list[Choice]:
        actions = self.actions
        if not actions:
            return list(self.choices)
        if not action:
            raise FaregateError(invalid(ACTION, f"is missing: send one of {_listed(actions)}"))
        if action not in actions:
            shown = repr(action[:MAX_SHOWN])
            raise FaregateError(invalid(ACTION, f"is {shown}: send one of {_listed(actions)}"))
        return [choice for choice in self.choices if choice.action == action]

    def of_action(self, action: str) -> tuple[Choice, ...]:
        """Return the operations of an action, or of a tool without actions."""
        return tuple(choice for choice in self.choices if choice.action == action)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def fields_of(kind: Any) -> tuple[str, ...]:
    """Return the names of a request's fields."""
    return () if kind is None else tuple(kind.__struct_encode_fields__)
