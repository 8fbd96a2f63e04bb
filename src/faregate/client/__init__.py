"""The Python client of Faregate's REST API.

    from faregate.client import Client, Declined

    client = Client()  # FAREGATE_URL and FAREGATE_API_KEY
    with client.hold("cust_…", event_type="llm", data={"tokens": 500}) as hold:
        hold.use(tokens=run_the_model())

`Client` waits, `AsyncClient` runs on asyncio; they do the same. It knows the API's words from
`faregate.core` and nothing of the server.
"""

from faregate.client.answers import (
    BookedResult,
    CustomerCreated,
    EventFee,
    Hold,
    HoldCaptured,
    HoldPage,
    HoldUpdated,
    ProblemDetails,
    TransactionCreated,
    Wallet,
    WalletAccount,
)
from faregate.client.async_batcher import AsyncBatcher
from faregate.client.async_client import AsyncClient
from faregate.client.async_holding import AsyncHeldWork
from faregate.client.backlog import EventsUndelivered, QueueFull, Undelivered
from faregate.client.batcher import Batcher
from faregate.client.client import Client
from faregate.client.errors import Declined, FaregateClientError, PaymentRequired, Unreachable
from faregate.client.fresh import new_event, new_id
from faregate.client.holding import HeldWork
from faregate.client.retrying import RetryPolicy
from faregate.core.events import Cost, UsageEvent

__all__ = [
    "AsyncBatcher",
    "AsyncClient",
    "AsyncHeldWork",
    "Batcher",
    "BookedResult",
    "Client",
    "Cost",
    "CustomerCreated",
    "Declined",
    "EventFee",
    "EventsUndelivered",
    "FaregateClientError",
    "HeldWork",
    "Hold",
    "HoldCaptured",
    "HoldPage",
    "HoldUpdated",
    "PaymentRequired",
    "ProblemDetails",
    "QueueFull",
    "RetryPolicy",
    "TransactionCreated",
    "Undelivered",
    "Unreachable",
    "UsageEvent",
    "Wallet",
    "WalletAccount",
    "new_event",
    "new_id",
]
