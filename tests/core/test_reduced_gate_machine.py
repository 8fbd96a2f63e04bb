"""The random commands of the gate, on a customer with discounts and commitments: what those have
come to is what the fees say, whatever was held, refused, or read again on the way."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis.stateful import invariant
from msgspec import structs

from faregate.core.amounts import Number, half_even
from faregate.core.commitments import compile_commitment
from faregate.core.customers import CustomerState
from faregate.core.discounts import WHOLE, Coupon, Discount
from faregate.core.periods import Cadence
from faregate.core.prices import Commitment, Recurrence
from faregate.core.subscriptions import CatalogView, Cycle, Subscription
from faregate.ledger.rows import read_subscription

from .builders import (
    ASSETS,
    CUSTOMER,
    DAY,
    PRODUCT,
    T0,
    Book,
    catalog,
    customer,
    subscription,
)
from .test_gate_machine import BULK, CALL, FLAT, GRADUATED, PACKAGE, TOKENS, Gate

MONTH = Recurrence("month")
USD_UNITS = 10**9
OFF = Coupon("P", None, 333_333)
AMOUNT = Coupon("A", None, 0, 2 * USD_UNITS, "USD", 9)
MOST = 3 * USD_UNITS
COMMITMENTS = (
    Commitment("All", "USD", MONTH, Number(20), None, None, "cmt_all"),
    Commitment("Some", "USD", MONTH, None, Number(3), ("llm", "sms"), "cmt_some"),
)


def reduced_catalog() -> CatalogView:
    view = catalog(CALL, TOKENS, FLAT, PACKAGE, GRADUATED, BULK)
    product = view.products[PRODUCT]
    plans = tuple([compile_commitment(c, ASSETS, PRODUCT, "one", 1) for c in COMMITMENTS])
    versions = {1: structs.replace(product.versions[1], commitments=plans)}
    products = {PRODUCT: structs.replace(product, versions=versions)}
    return structs.replace(view, products=products, has_reductions=True)


def member() -> CustomerState:
    one = subscription()
    begins_at, ends_at = T0 - DAY, T0 + 29 * DAY
    cadence = Cadence("month", begins_at)
    discounts = tuple([Discount(coupon, begins_at, cadence) for coupon in (AMOUNT, OFF)])
    cycles = tuple(
        [
            Cycle(PRODUCT, 1, c.id or "", begins_at, ends_at, begins_at, begins_at, ends_at)
            for c in COMMITMENTS
        ]
    )
    terms = structs.replace(one.terms, discounts=discounts)
    return customer(structs.replace(one, terms=terms, cycles=cycles))


class ReducedGate(Gate):
    """The gate, with prices that are not all that is paid."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book(reduced_catalog(), member())

    @property
    def subscription(self) -> Subscription:
        return self.book.state.subscriptions[0]

    @invariant()
    def reductions_are_what_fees_say(self) -> None:
        fees = [
            (booked.event.event_type, fee)
            for booked in self.book.events.values()
            for fee in booked.result.fees
        ]
        for asset in ("USD", "CREDITS"):
            gross = off = amount = 0
            for _, fee in fees:
                if fee.asset == asset:
                    gross += fee.gross_units
                    taken = dict(fee.reduced.discounts) if fee.reduced else {}
                    off += taken.get("P", 0)
                    amount += taken.get("A", 0)
                    assert 0 <= fee.units <= fee.gross_units
            assert off == half_even(gross * OFF.percent, WHOLE)[0]
            assert amount == (min(AMOUNT.units, gross - off) if asset == "USD" else 0)
        every, some = self.subscription.cycles
        spent = [(kind, fee) for kind, fee in fees if fee.asset == "USD"]
        assert every.spent_units == sum(fee.units for _, fee in spent)
        capped = [fee for kind, fee in spent if kind in ("llm", "sms")]
        assert some.spent_units == sum(fee.units for fee in capped) <= MOST
        if any(fee.reduced and fee.reduced.capped_units for fee in capped):
            assert some.spent_units == MOST

    @invariant()
    def what_is_kept_is_what_counts(self) -> None:
        rows = self.tables.get("subscriptions", {})
        if rows:
            assert read_subscription(rows[CUSTOMER]) == self.subscription
        assert self.now < T0 + timedelta(days=29)


TestReducedGate = ReducedGate.TestCase
TestReducedGate.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
