"""Stripe keeps to what every payment provider must, through the official SDK and over a real port,
against a double that speaks its wire format; and what is special about Stripe."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import stripe
from tests.databases import new_sqlite
from tests.ledger.shop import NOON, available, refusal, tell
from tests.payments.contract import (
    ADA,
    USD_20,
    Contract,
    ContractWhenThingsGoWrong,
)
from tests.payments.stripe_world import KEY, SECRET, StripeWorld, stripe_world

from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES
from faregate.core.ids import derived_id
from faregate.core.problems import FORBIDDEN, INVALID, UNAVAILABLE
from faregate.customers.types import CreateCustomer
from faregate.payments.provider import (
    BadMessage,
    Merchant,
    Message,
    Money,
    ProviderRefused,
    RefundAsked,
    Sought,
)
from faregate.payments.stripe import StripeKeys
from faregate.payments.stripe_amounts import THREE_DECIMALS, from_stripe, to_stripe
from faregate.payments.stripe_objects import Intent, Session, state_of_session
from faregate.payments.types import InitiateTopUp
from faregate.platform.accounts import CreateAccount

PAYMENT = derived_id("tup", NOON, "one")
BACK = ("https://shop.example/thanks", "https://shop.example/sorry")


class TestStripe(Contract, ContractWhenThingsGoWrong):
    def world(self, database_url: str) -> Any:
        return stripe_world(database_url)


@pytest.fixture
def sqlite(tmp_path: Any) -> str:
    """What is between us and Stripe is the same over every database."""
    return new_sqlite(tmp_path / "faregate.db")


def told(database_url: str, story: Any, **more: Any) -> None:
    async def tells() -> None:
        async with stripe_world(database_url, **more) as world:
            await story(world)

    tell(tells())


@pytest.mark.parametrize(
    ("money", "amount"),
    [
        (Money(2050, "USD", 2), 2050),
        (Money(500, "JPY", 0), 500),
        (Money(5, "ISK", 0), 500),
        (Money(5, "UGX", 0), 500),
        (Money(700, "MGA", 2), 7),
        (Money(5120, "KWD", 3), 5120),
        (Money(100, "HUF", 2), 100),
    ],
)
def test_amounts_are_what_stripe_counts(money: Money, amount: int) -> None:
    assert to_stripe(money) == amount
    assert from_stripe(amount, money.currency) == money.minor


@pytest.mark.parametrize(
    "money",
    [
        Money(701, "MGA", 2),
        Money(5124, "KWD", 3),
        Money(1_001, "IQD", 3),
        Money(100_000_000, "USD", 2),
    ],
)
def test_an_amount_that_stripe_cannot_take_is_refused_before_it_is_asked(money: Money) -> None:
    with pytest.raises(ProviderRefused) as refused:
        to_stripe(money)
    assert refused.value.code == "invalid_amount"
    assert money.currency in str(refused.value)


def test_every_currency_comes_back_as_it_went() -> None:
    for code, asset in CURRENCIES.items():
        minor = 12_000 if code in THREE_DECIMALS or asset.precision < 4 else 120_000
        assert from_stripe(to_stripe(Money(minor, code, asset.precision)), code) == minor


def test_a_charge_whose_key_stripe_has_forgotten_is_found(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        asked = world.charge(PAYMENT)
        first = await world.stripe.charge(asked)
        for _ in range(150):
            # More than a page of other charges of the same customer, since.
            customer = world.double.kept["payment_intents"][first.payment_ref]["customer"]
            world.double.make("payment_intents", "pi", "", customer=customer, status="canceled")
            made = list(world.double.kept["payment_intents"].values())[-1]
            made.update(currency="usd", metadata={}, amount_received=0)
        world.clock.move(days=2)
        again = await world.stripe.charge(asked)
        assert (again.status, again.payment_ref) == ("succeeded", first.payment_ref)
        assert await world.times_charged() == 1

    told(sqlite, story)


def test_a_card_that_was_taken_from_its_customer_is_declined(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        card = world.double.method("good", None)["id"]
        asked = msgspec.structs.replace(world.charge(PAYMENT), method_ref=card)
        with pytest.raises(ProviderRefused) as refused:
            await world.stripe.charge(asked)
        assert refused.value.code == "card_declined"
        assert await world.times_charged() == 0

    told(sqlite, story)


def test_a_page_that_has_ended_is_not_made_again(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        asked = world.checkout(PAYMENT)
        await world.stripe.begin_checkout(asked)
        world.clock.move(days=2)
        with pytest.raises(ProviderRefused):
            await world.stripe.begin_checkout(asked)
        assert world.double.page_of(PAYMENT)["status"] == "expired"

    told(sqlite, story)


@pytest.mark.parametrize(("hours", "lives"), [(0.1, 32), (2, 120), (24, 23 * 60 + 50)])
def test_a_page_lives_as_long_as_stripe_allows(sqlite: str, hours: float, lives: int) -> None:
    async def story(world: StripeWorld) -> None:
        ends = NOON + timedelta(hours=hours)
        begun = await world.stripe.begin_checkout(world.checkout(PAYMENT, expires_at=ends))
        assert begun.expires_at == NOON + timedelta(minutes=lives)

    told(sqlite, story)


def test_a_customer_whom_stripe_knows_pays_as_that_one_unless_they_were_deleted(
    sqlite: str,
) -> None:
    async def story(world: StripeWorld) -> None:
        customer = world.double.make("customers", "cus", "")["id"]
        for ref, our_id in ((customer, "tup_1"), ("cus_gone", "tup_2")):
            payer = msgspec.structs.replace(ADA, provider_ref=ref)
            begun = await world.stripe.begin_checkout(world.checkout(our_id, payer=payer))
            await world.pay(our_id)
            card = (await world.look(our_id, begun.checkout_ref)).card
            assert card is not None
            assert (card.payer_ref == customer) == (ref == customer)

    told(sqlite, story)


def test_what_is_done_at_stripe_itself_is_found(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        ada = await world.customer()
        payment_id = await world.paid(ada)
        intent = world.double.charged[0]
        common = {"payment_intent": intent["id"], "currency": "usd", "metadata": {}}
        refund = world.double.make("refunds", "re", "", amount=500, status="succeeded", **common)
        body = world.double.event("refund.created", refund)
        assert await world.told((world.double.sign(body), body)) == payment_id
        assert await available(world.engine, ada) == 15
        refund["status"] = "failed"
        body = world.double.event("refund.failed", refund)
        assert await world.told((world.double.sign(body), body)) == payment_id
        assert await available(world.engine, ada) == 20

    told(sqlite, story)


def test_a_bank_that_only_asks_takes_nothing(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        ada = await world.customer()
        payment_id = await world.top_up(ada)
        await world.pay(payment_id, "disputed")
        dispute = next(iter(world.double.kept["disputes"].values()))
        dispute["status"] = "warning_needs_response"
        await world.told(world.message(payment_id))
        assert await available(world.engine, ada) == 20
        dispute["status"] = "needs_response"
        body = world.double.event("charge.dispute.created", dispute)
        assert await world.told((world.double.sign(body), body)) == payment_id
        assert await available(world.engine, ada) == 0

    told(sqlite, story)


def test_an_event_of_the_other_mode_or_another_account_is_refused(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        payment_id = await world.top_up(await world.customer())
        session = world.double.page_of(payment_id)
        for more in ({"livemode": True}, {"account": "acct_other"}):
            body = world.double.event("checkout.session.completed", session, **more)
            error = await refusal(world.told((world.double.sign(body), body)))
            assert error.problem.kind is FORBIDDEN
        for signature in ("t=é", "t=1,v1=é", "t=,v1=", "v1=00", "t=1", ",,,=", "t=99999999999999"):
            headers = {"stripe-signature": signature}
            with pytest.raises(BadMessage):
                world.stripe.read_message(headers, b"{}", world.merchant, NOON)

    told(sqlite, story)


def test_what_the_sdk_itself_signs_is_genuine(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        payment_id = await world.top_up(await world.customer())
        body = world.double.message(payment_id)
        at = int(world.clock().timestamp())
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET, at)
        for sent in (header, header.replace(",", "=x,", 1), f"{header},t=1"):
            assert await world.told(({"stripe-signature": sent}, body)) == payment_id
        world.clock.move(minutes=6)
        late = f"{header},t={at + 360}"
        error = await refusal(world.told(({"stripe-signature": late}, body)))
        assert error.problem.kind is FORBIDDEN

    told(sqlite, story)


def test_an_answer_that_does_not_say_what_came_in_is_no_answer(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        ada = await world.customer()
        payment_id = await world.top_up(ada)
        await world.pay(payment_id)
        amount = world.double.charged[0].pop("amount_received")
        error = await refusal(world.told(world.message(payment_id)))
        assert error.problem.kind is UNAVAILABLE
        world.double.charged[0]["amount_received"] = amount
        await world.told(world.message(payment_id))
        assert await available(world.engine, ada) == 20

    told(sqlite, story)


def test_an_event_about_something_else_is_taken_and_does_nothing(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        others = world.double.make("customers", "cus", "")
        unknown = {"faregate_payment": "tup_unknown"}
        for body in (
            world.double.event("customer.created", others),
            world.double.event("charge.updated", {**others, "metadata": unknown}),
            b'{"object": "v2.core.event"}',
            b"[]",
        ):
            assert await world.told((world.double.sign(body), body)) is None
        message = world.stripe.read_message(
            world.double.sign(b"{}"), b"{}", world.merchant, world.clock()
        )
        assert message == Message("")

    told(sqlite, story)


def test_a_key_that_stripe_does_not_take_is_named_and_not_shown(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        ada = await world.customer()
        error = await refusal(world.top_up(ada, key="one"))
        assert error.problem.kind is UNAVAILABLE
        assert "secret key" in str(error)
        shown = "".join(traceback.format_exception(error)) + repr(world.stripe)
        assert "SECRET" not in shown
        # Once it is set right, the same request goes on.
        world.double.key = "sk_test_wrongSECRET"
        world.double.permissions = False
        error = await refusal(world.top_up(ada, key="one"))
        assert "rak_checkout_session_write" in str(error)
        assert "SECRET" not in "".join(traceback.format_exception(error))
        world.double.permissions = True
        payment_id = await world.top_up(ada, key="one")
        await world.pay(payment_id)
        await world.told(world.message(payment_id))
        assert await available(world.engine, ada) == 20

    told(sqlite, story, key="sk_test_wrongSECRET")
    assert KEY not in repr(StripeKeys(KEY, [SECRET]))
    assert SECRET not in repr(StripeKeys(KEY, [SECRET]))


def test_an_amount_that_stripe_refuses_is_the_callers_to_change(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        error = await refusal(world.top_up(await world.customer(), "0.2"))
        assert error.problem.kind is INVALID
        assert "at least $0.50" in str(error)

    told(sqlite, story)


def test_a_refund_of_what_was_never_paid_is_refused(sqlite: str) -> None:
    async def story(world: StripeWorld) -> None:
        asked = RefundAsked(world.merchant, "rfd_1", "tup_1", "pi_none", USD_20)
        with pytest.raises(ProviderRefused) as refused:
            await world.stripe.refund(asked)
        assert refused.value.code in ("not_refundable", "no_such_payment")

    told(sqlite, story)


def test_money_of_a_connected_account_goes_to_its_own_stripe_account(sqlite: str) -> None:
    accounts: dict[str, str] = {}

    async def story(world: StripeWorld) -> None:
        engine = world.engine
        made = (await engine.create_account(CreateAccount(name="Studio"))).id
        studio = await engine.acting_for(made, "test")
        merchant = Merchant(studio.environment_id, made, is_live=False, is_platform=False)
        assert not world.stripe.serves(merchant)
        world.stripe.connect(made, "acct_studio")
        assert world.stripe.serves(merchant)
        ada = (await engine.create_customer(CreateCustomer(name="Ada"), context=studio)).id
        asked = InitiateTopUp(ada, Number("20"), "USD", *BACK)
        top_up = (await engine.initiate_top_up(asked, context=studio)).id
        session = world.double.page_of(top_up)
        assert session["_account"] == "acct_studio"
        await world.pay(top_up)
        told_as = {"account": "acct_studio"}
        body = world.double.event("checkout.session.completed", session, **told_as)
        # One endpoint, of the platform's, is told of all accounts that are connected.
        assert await world.told((world.double.sign(body), body)) == top_up
        account = await engine.get_account(ada, "default:USD", context=studio)
        assert account.available == 20
        # Nobody else's: as the platform, Stripe does not know it.
        sought = Sought(world.merchant, top_up, session["id"])
        assert await world.stripe.look_up(sought) is None
        other = world.double.event("checkout.session.completed", session, account="acct_x")
        error = await refusal(world.told((world.double.sign(other), other)))
        assert error.problem.kind is FORBIDDEN

    told(sqlite, story, accounts=accounts)


@pytest.mark.parametrize(
    ("session", "intent", "state"),
    [
        ("open", None, "open"),
        ("complete", None, "processing"),
        ("expired", None, "expired"),
        ("complete", "processing", "processing"),
        ("complete", "requires_payment_method", "failed"),
        ("open", "requires_payment_method", "open"),
        ("open", "requires_action", "open"),
        ("expired", "canceled", "expired"),
        ("expired", "succeeded", "succeeded"),
        ("complete", "succeeded", "succeeded"),
    ],
)
def test_where_a_page_and_its_payment_stand_is_where_the_money_is(
    session: str, intent: str | None, state: str
) -> None:
    paid = None if intent is None else Intent("pi_1", intent, "usd", 2000)
    assert state_of_session(Session("cs_1", session, 0, payment_intent=paid)).status == state
