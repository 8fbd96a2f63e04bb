"""A batch's rows as columns, in the forms that are cheap to send.

Columns that are None in every row are left out: of an event's columns few are ever used, and
`sqlite3` spends more on binding one None, for which it looks for an adapter, than on three texts.

To PostgreSQL a column goes as one text that the server splits (`string_to_array`), not as an
array of values: asyncpg asks of every element whether it is an array itself, which made a batch
of 64 charges three times as expensive to encode as it is now.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

from faregate.store import schema

_SEPARATOR: Final = "\x1f"
_NULL: Final = "\x1e"


def used_columns(table: schema.HotTable, rows: Sequence[tuple[Any, ...]]) -> tuple[int, ...]:
    """Return the columns that have a value in some row, or that a newer row replaces."""
    empty = {
        index
        for index, value in enumerate(rows[0])
        if value is None
        and table.columns[index][0] not in table.update
        and all(row[index] is None for row in rows)
    }
    return tuple([index for index in range(len(table.columns)) if index not in empty])


class JoinedColumns:
    """Columns as texts. `separator` stands before every text value, and `null` for None; neither
    is part of any value. Whole numbers are separated by commas, nothing stands for None."""

    def __init__(self) -> None:
        self.separator = _SEPARATOR
        self.null = _NULL
        self.columns: list[str] = []

    def add(self, kind: str, values: Sequence[Any]) -> bool:
        """Add a column; False if a value has the separator in it or is the mark for None."""
        if kind == "bigint":
            self.columns.append(
                ",".join(["" if value is None else str(value) for value in values])
                if None in values
                else ",".join(map(str, values))
            )
            return True
        # The server takes the mark for None in every column, also where none of ours is None.
        if self.null in values:
            return False
        if None in values:
            values = [self.null if value is None else value for value in values]
        text = self.separator + self.separator.join(values)
        self.columns.append(text)
        return text.count(self.separator) == len(values)


def join_columns(columns: Sequence[tuple[str, Sequence[Any]]]) -> JoinedColumns:
    """Join columns, given as (kind, values), with marks that occur in none of them."""
    for joined in _attempts():
        if all(joined.add(kind, values) for kind, values in columns):
            return joined
    raise AssertionError("random marks occurred in the values")


def _attempts() -> Iterator[JoinedColumns]:
    yield JoinedColumns()
    for size in (8, 32):
        joined = JoinedColumns()
        joined.separator, joined.null = secrets.token_hex(size), secrets.token_hex(size)
        yield joined


def split_sql(kind: str, parameter: int, separator: int, null: int) -> str:
    """Write SQL that makes an array of a joined column; the arguments number `$` parameters."""
    if kind == "bigint":
        return f"string_to_array(${parameter}::text, ',', '')::bigint[]"
    # The first element is what stands before the first separator: nothing.
    return f"(string_to_array(${parameter}::text, ${separator}::text, ${null}::text))[2:]"
