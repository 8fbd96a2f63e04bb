"""The Python client of Faregate's REST API.

    from faregate.client import Client, Declined

    client = Client()  # FAREGATE_URL and FAREGATE_API_KEY
    with client.hold("cust_…", event_type="llm", data={"tokens": 500}) as hold:
        hold.use(tokens=run_the_model())

`Client` waits, `AsyncClient` runs on asyncio; they do the same. They share the shapes of requests
and answers with the server, and nothing else.
"""

from faregate.client.backlog import EventsUndelivered, QueueFull, Undelivered
from faregate.client.batcher import AsyncBatcher, Batcher
from faregate.client.client import AsyncClient, Client
from faregate.client.errors import Declined, FaregateClientError, PaymentRequired, Unreachable
from faregate.client.fresh import new_event, new_id
from faregate.client.holding import AsyncHeldWork, HeldWork
from faregate.client.retrying import RetryPolicy
from faregate.client.webhooks import InvalidWebhook, WebhookEvent, verify_webhook
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.customers.types import CustomerCreated, Hold, Wallet, WalletAccount
from faregate.customers.wire import (
    BookedResult,
    EventFee,
    HoldCaptured,
    HoldPage,
    HoldUpdated,
    OutcomeSettled,
    ProblemDetails,
    TransactionCreated,
)

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
    "InvalidWebhook",
    "OutcomeSettled",
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
    "WebhookEvent",
    "new_event",
    "new_id",
    "verify_webhook",
]
