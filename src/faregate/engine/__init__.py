"""The composition root: one object with every operation, its clock and its store. REST, the
command line and a program that embeds Faregate all call the same methods, so they cannot differ.

    async with Engine.open("sqlite:///faregate.db") as engine:
        await engine.record_events("cust_…", [UsageEvent(id="1", event_type="call", …)])

Every method takes an optional `context` (account and mode); without one, it acts in the first
account's mode that `open` was given. Every refusal is a `FaregateError` and has changed nothing.
"""

from faregate.engine.access import AccessOperations
from faregate.engine.accounts import AccountOperations
from faregate.engine.assistants import AssistantOperations
from faregate.engine.audit import AuditOperations
from faregate.engine.base import Page, system_clock
from faregate.engine.brands import BrandOperations
from faregate.engine.catalog import CatalogOperations
from faregate.engine.checkouts import Checkout, CheckoutOperations
from faregate.engine.clocks import ClockOperations
from faregate.engine.confirmations import ConfirmationOperations
from faregate.engine.coupons import CouponOperations
from faregate.engine.customer_history import AccountInUse, HistoryOperations, PlacedGrant
from faregate.engine.customer_search import FoundCustomer, SearchOperations
from faregate.engine.explaining import ExplainingOperations
from faregate.engine.exploring import ExploringOperations
from faregate.engine.external import ExternalOperations
from faregate.engine.holds import HoldOperations
from faregate.engine.jobs import JobOperations
from faregate.engine.limits import LimitOperations, LimitState
from faregate.engine.migrating import MigrationOperations
from faregate.engine.operators import OperatorOperations
from faregate.engine.overview import OverviewOperations
from faregate.engine.own_payments import OwnPaymentOperations
from faregate.engine.own_plans import OwnPlanOperations
from faregate.engine.own_rules import OwnRuleOperations
from faregate.engine.own_use import OwnUseOperations
from faregate.engine.paying import ToPay
from faregate.engine.portal import PortalOperations
from faregate.engine.previewing import (
    Preview,
    PreviewFee,
    PreviewMonth,
    PreviewOperations,
    PreviewUse,
)
from faregate.engine.receipts import ReceiptOperations
from faregate.engine.refunds import RefundOperations
from faregate.engine.revenue import RevenueOperations
from faregate.engine.subscribers import ProductSubscriber, SubscriberOperations
from faregate.engine.subscriptions import SubscriptionOperations
from faregate.engine.usage import UsageOperations
from faregate.engine.vendors import VendorOperations
from faregate.engine.wallets import BookedFee, WalletOperations
from faregate.engine.webhooks import WebhookOperations
from faregate.engine.work import WorkOperations


class Engine(
    OverviewOperations,
    AccessOperations,
    AssistantOperations,
    ConfirmationOperations,
    AuditOperations,
    OperatorOperations,
    WebhookOperations,
    AccountOperations,
    BrandOperations,
    CatalogOperations,
    ClockOperations,
    CouponOperations,
    SearchOperations,
    HistoryOperations,
    ExternalOperations,
    CheckoutOperations,
    OwnPaymentOperations,
    PortalOperations,
    OwnPlanOperations,
    PreviewOperations,
    ReceiptOperations,
    RefundOperations,
    RevenueOperations,
    SubscriberOperations,
    SubscriptionOperations,
    ExplainingOperations,
    OwnRuleOperations,
    OwnUseOperations,
    UsageOperations,
    HoldOperations,
    LimitOperations,
    VendorOperations,
    WalletOperations,
    WorkOperations,
    JobOperations,
    ExploringOperations,
    MigrationOperations,
):
    """Faregate in this process. Make one with `Engine.open`."""


__all__ = [
    "AccountInUse",
    "BookedFee",
    "Checkout",
    "Engine",
    "FoundCustomer",
    "LimitState",
    "Page",
    "PlacedGrant",
    "Preview",
    "PreviewFee",
    "PreviewMonth",
    "PreviewUse",
    "ProductSubscriber",
    "ToPay",
    "system_clock",
]
