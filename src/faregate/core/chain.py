"""Tamper evidence: each customer's transfers form a chain. A transfer's hash covers its own columns
and the hash of the customer's transfer before it, so whoever changes, removes, adds or moves one
must make every later hash of that customer anew, and the last one, the head, becomes another. A
head that was written down elsewhere cannot be made to fit.

Anybody can recompute it. A hash is SHA-256, as 64 small hexadecimal digits, of a JSON array in
UTF-8 without white space, its strings escaped as RFC 8785 has it, its numbers whole and in decimal:

    the first: ["faregate chain 1",customer_id]
    each next: [hash before,seq,customer_id,asset,from_account,to_account,units,reference,at]

for example

    $ printf '["faregate chain 1","cust_1"]' | sha256sum

JSON says where a text ends, so no two transfers are written alike. Hexadecimal, because that is
what `sha256sum` and `openssl` print, and what every database can show.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

TransferRow = tuple[int, str, str, str, str, int, str, int]
"""A transfer's columns: seq, customer id, asset, from and to account, units, reference, at."""

_FORMAT: Final = "faregate chain 1"
_encode: Final = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, gc=False):
    """Where a customer's chain stands: the newest transfer's hash and number."""

    hash: str
    seq: int


def beginning(customer_id: str) -> Head:
    """Return the head of a chain that has no transfer yet."""
    return Head(sha256(_encode((_FORMAT, customer_id))).hexdigest(), 0)


def link(before: str, transfer: TransferRow) -> str:
    """Return the hash of a transfer, given the hash before it."""
    return sha256(_encode((before, *transfer))).hexdigest()
