"""Faregate: self-hosted, real-time, wallet-native billing for AI products.

    from faregate import Engine, from_dict, CreateProduct

`Engine` (or `SyncEngine`) is everything; the other names are its requests. Build requests from
Python values with `from_dict`, which checks them as the REST API does.

The engine is loaded when it is first asked for, so that a program which only wants
`faregate.client` loads no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from faregate.catalog.types import CreateAsset, CreateProduct, CreateVersion, UpdateVersion
from faregate.core.codec import from_dict
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest, UpdateRequest, Used, Want
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.types import (
    CreateCustomer,
    CreateSubscription,
    Overdraft,
    UpdateCustomer,
)

if TYPE_CHECKING:
    from faregate.engine import Engine
    from faregate.sync import SyncEngine

__version__ = "0.1.0"
__all__ = [
    "AdjustmentRequest",
    "CaptureRequest",
    "ChargeRequest",
    "CreateAsset",
    "CreateCustomer",
    "CreateProduct",
    "CreateSubscription",
    "CreateVersion",
    "Engine",
    "FaregateError",
    "HoldRequest",
    "Overdraft",
    "SyncEngine",
    "UpdateCustomer",
    "UpdateRequest",
    "UpdateVersion",
    "UsageEvent",
    "Used",
    "Want",
    "from_dict",
]

_LAZY = {"Engine": "faregate.engine", "SyncEngine": "faregate.sync"}


def __getattr__(name: str) -> object:
    """Load what was not needed until now (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_LAZY[name]), name)
    globals()[name] = found
    return found
