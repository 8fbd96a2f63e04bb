"""Credit that may be used for some things only."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.builders import (
    CUSTOMER,
    T0,
    Book,
    adjust,
    catalog,
    event,
    price,
    record,
    value,
)
from tests.core.plans import Life, credits, fee, shop, version

from faregate.core.amounts import Number
from faregate.core.gate import Authorize
from faregate.core.grants import Purpose, is_for
from faregate.core.hold_requests import HoldRequest
from faregate.core.prices import GrantScope

SMALL = GrantScope(dimensions={"model": "small"})
BOTH = GrantScope(event_types=("call",), dimensions={"model": "small"})
CALLS = catalog(price(value(unit_price="1")))

FITS = [
    # limited to, event type, data, products, is it for that?
    (None, "call", {}, (), True),
    (GrantScope(event_types=("call",)), "call", {}, (), True),
    (GrantScope(event_types=("call",)), "image", {}, (), False),
    (GrantScope(event_types=("image", "call")), "call", {}, (), True),
    (GrantScope(products=("pro",)), "call", {}, ("prp_1", "pro"), True),
    (GrantScope(products=("prp_1",)), "call", {}, ("prp_1", "pro"), True),
    (GrantScope(products=("free",)), "call", {}, ("prp_1", "pro"), False),
    (SMALL, "call", {"model": "small"}, (), True),
    (SMALL, "call", {"model": "large"}, (), False),
    (SMALL, "call", {}, (), False),
    (GrantScope(dimensions={"hd": "true"}), "call", {"hd": True}, (), True),
    (GrantScope(dimensions={"n": "1.5"}), "call", {"n": 1}, (), False),
    (BOTH, "call", {"model": "small"}, (), True),
    (BOTH, "image", {"model": "small"}, (), False),
]


@pytest.mark.parametrize(("limited_to", "event_type", "data", "products", "fits"), FITS)
def test_a_grant_is_for_what_all_of_its_limits_allow(
    limited_to: GrantScope | None,
    event_type: str,
    data: dict[str, Any],
    products: tuple[str, ...],
    fits: bool,
) -> None:
    assert is_for(limited_to, Purpose(event_type, data, frozenset(products))) is fits
    # What is no event, a limited grant is not for.
    assert is_for(limited_to, None) is (limited_to is None)


def book_with(limited: str, free: str = "0") -> Book:
    book = Book(CALLS)
    book.do(adjust(limited, "limited", reason="gift", limited_to=SMALL))
    if free != "0":
        book.do(adjust(free, "free"))
    return book


def left(book: Book) -> dict[str, int]:
    grants = book.state.account("default:USD").grants
    return {grant.purpose: grant.remaining_units // 10**9 for grant in grants}


def test_others_pass_a_limited_grant_by_and_it_burns_in_its_place() -> None:
    book = book_with("5", "5")
    small, large = {"model": "small"}, {"model": "large"}
    book.book(event("e1", T0, **large))
    assert left(book) == {"promotion": 5, "paid": 4}
    book.book(event("e2", T0, **small))
    assert left(book) == {"promotion": 4, "paid": 4}


def test_what_no_grant_is_for_is_owed_though_credit_is_there() -> None:
    book = book_with("5")
    book.book(event("e1", T0, model="large"))
    account = book.state.account("default:USD")
    assert (account.available_units, account.overdraft_units) == (4 * 10**9, 10**9)
    # And what is owed is not paid by credit that is for something else.
    book.do(adjust("3", "more", reason="gift", limited_to=SMALL))
    assert book.state.account("default:USD").overdraft_units == 10**9
    book.do(adjust("3", "free"))
    assert book.state.account("default:USD").overdraft_units == 0


def test_a_hold_sets_aside_what_the_use_may_take() -> None:
    book = book_with("5", "2")

    def ask(name: str, **data: Any) -> str:
        request = HoldRequest(name, event_type="call", data=data)
        return book.hold(Authorize(CUSTOMER, (request,))).status

    assert [ask(f"l{n}", model="large") for n in range(3)] == [
        "authorized",
        "authorized",
        "declined",
    ]
    assert ask("s", model="small") == "authorized"
    # An amount says nothing of a use.
    request = HoldRequest("amount", max_amount=Number("1"), asset="USD")
    assert book.hold(Authorize(CUSTOMER, (request,))).status == "declined"


def test_a_plans_credit_for_one_event_type_pays_nothing_else() -> None:
    images = credits("3", limited_to=GrantScope(event_types=("image",)))
    plan = version(1, images, fee("1", asset="POINTS"))
    life = Life(shop(plan), "2026-01-01")
    # The fee of the plan is no image either: it waits for other credit.
    assert life.subscription.terms.needs == "payment"
    life.pay("1", "2026-01-02", asset="POINTS")
    assert life.points("2026-01-02") == "3"
    life.use(2, "2026-01-03")
    account = life.book.state.account("default:POINTS")
    assert (account.overdraft_units, account.available_units) == (2, 1)


def test_credit_for_a_product_pays_its_fixed_price_too() -> None:
    plan = version(1, fee("1", asset="POINTS"))
    life = Life(shop(plan), "2026-01-01")
    life.pay("5", "2026-01-02", asset="POINTS", limited_to=GrantScope(products=("plan",)))
    assert life.points("2026-01-02") == "4"


def test_a_record_of_many_events_uses_the_grants_that_each_is_for() -> None:
    book = book_with("2", "2")
    models = ["small", "large", "small", "large", "small"]
    book.do(record(*[event(f"e{n}", T0, model=model) for n, model in enumerate(models)]))
    account = book.state.account("default:USD")
    assert (account.available_units, account.overdraft_units) == (-(10**9), 10**9)
