"""What everybody who collects money must keep to, whoever it is: a provider passes `Contract`, and,
where its double can go wrong, `ContractWhenThingsGoWrong`. A test class of a provider says how its
`World` is made; both classes ask nothing that only one of them could answer.

    class TestSandbox(Contract):
        @asynccontextmanager
        async def world(self, database_url): ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec
import pytest
from tests.engine.card_shop import leave_card
from tests.ledger.plans import monthly, sell_plan
from tests.ledger.shop import NOON, Clock, assert_clean, available, refusal, tell

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.problems import FORBIDDEN, UNAVAILABLE, Problem
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.payments.provider import (
    BadMessage,
    CheckoutAsked,
    Merchant,
    Money,
    Payer,
    PaymentProvider,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    RefundAsked,
    SavedCharge,
    SetupAsked,
    Sought,
)
from faregate.payments.types import AutoTopUpState, AutoTopUpTerms, InitiateTopUp, TopUp

Card = Literal["good", "declined", "disputed"]
Saved = Literal["good", "declined", "confirms"]
Fault = Literal["answers 500", "times out after it was done"]
USD_20 = Money(2000, "USD", 2)
ADA = Payer("cust_1", "Ada", "ada@example.com")
OUR_PAGES = "https://fare.example"


class World(ABC):
    """An engine with one provider that collects for it, and what happens outside: the customer on
    the provider's page, their bank, and what the provider tells. It all happens at the clock's
    time."""

    def __init__(self, engine: Engine, clock: Clock, provider: PaymentProvider) -> None:
        self.engine = engine
        self.clock = clock
        self.provider = provider

    @property
    def merchant(self) -> Merchant:
        """The platform's own account in the test mode."""
        context = self.engine.context
        return Merchant(context.environment_id, context.account_id, is_live=False)

    @abstractmethod
    async def pay(self, payment_id: str, card: Card = "good") -> None:
        """Let the customer pay (or leave a card) on the page of one of our payments."""

    @abstractmethod
    async def settle_dispute(self, payment_id: str, status: Literal["won", "lost"]) -> None:
        """Let the bank decide the open dispute of a payment."""

    @abstractmethod
    def saved(self, card: Saved) -> str:
        """Return the `method_ref` of a card that was saved before."""

    @abstractmethod
    def message(
        self, payment_id: str, environment_id: int | None = None
    ) -> tuple[dict[str, str], bytes]:
        """Make the message that the provider sends of a payment now (headers with small letters,
        and body); of another environment, if one is given."""

    @abstractmethod
    def forged(self, payment_id: str) -> tuple[dict[str, str], bytes]:
        """Make the same message, signed by somebody who does not know the secret."""

    @abstractmethod
    async def times_charged(self) -> int:
        """How many payments the provider has taken money for."""

    def breaks(self, *faults: Fault | None) -> None:
        """Say what goes wrong with the next requests, one after the other; None: nothing."""
        raise NotImplementedError

    def goes_down(self, *, is_down: bool = True) -> None:
        """Stop answering, or answer again."""
        raise NotImplementedError

    # -- what the tests do with it ---------------------------------------------------------------

    async def customer(self) -> str:
        """Make a customer."""
        return (await self.engine.create_customer(CreateCustomer(name="Ada"))).id

    async def top_up(self, customer_id: str, amount: str = "20", key: str | None = None) -> str:
        """Begin a top-up; returns its id."""
        back = ("https://shop.example/thanks", "https://shop.example/sorry")
        asked = InitiateTopUp(customer_id, Number(amount), "USD", *back)
        made = await self.engine.initiate_top_up(asked, idempotency_key=key, base_url=OUR_PAGES)
        return made.id

    async def told(self, message: tuple[Mapping[str, str], bytes]) -> str | None:
        """Let a message in at the door; returns which payment it was about."""
        return await self.engine.receive_message(self.provider.name, *message)

    async def paid(self, customer_id: str, card: Card = "good") -> str:
        """Top 20 USD up, and tell of it; returns the payment."""
        payment_id = await self.top_up(customer_id)
        await self.pay(payment_id, card)
        assert await self.told(self.message(payment_id)) == payment_id
        return payment_id

    async def grants(self, customer_id: str) -> list[tuple[str, Decimal]]:
        """The customer's grants: purpose and amount."""
        page = await self.engine.list_grants(customer_id, "default:USD")
        return [(grant.purpose, Decimal(grant.amount)) for grant in page.items]

    async def agree(self, customer_id: str) -> None:
        """Agree that a saved card pays 20 USD below 30."""
        terms = AutoTopUpTerms(True, Number("30"), Number("20"))
        await self.engine.set_auto_top_up(customer_id, "default:USD", terms)

    async def standing(self, customer_id: str) -> AutoTopUpState:
        """Where the customer's auto top-up stands."""
        return await self.engine.get_auto_top_up(customer_id, "default:USD")

    def checkout(self, payment_id: str, **more: Any) -> CheckoutAsked:
        """What is asked to begin a payment of 20 USD."""
        asked = CheckoutAsked(
            self.merchant,
            payment_id,
            ADA,
            USD_20,
            "Credit",
            "https://shop.example/thanks",
            "https://shop.example/sorry",
            self.clock() + timedelta(hours=24),
            OUR_PAGES,
        )
        return msgspec.structs.replace(asked, **more)

    def charge(self, payment_id: str, card: Saved = "good") -> SavedCharge:
        """What is asked to charge a saved card 20 USD."""
        return SavedCharge(self.merchant, payment_id, ADA, self.saved(card), USD_20, "Credit")

    async def look(self, payment_id: str, *refs: str | None) -> PaymentState:
        """Look a payment up; it must be known."""
        state = await self.provider.look_up(Sought(self.merchant, payment_id, *refs))
        assert state is not None
        return state


async def _refused(awaited: Any) -> str:
    try:
        answer = await awaited
    except ProviderRefused as error:
        return error.code
    raise AssertionError(f"it was not refused: {answer}")


def _is(refused: Any, problem: Any) -> bool:
    found: Problem = refused.problem
    return found.kind is problem


class _Told(ABC):
    @abstractmethod
    def world(self, database_url: str) -> AbstractAsyncContextManager[World]:
        """Make a world over an empty database, at `NOON`."""

    def tell(self, database_url: str, story: Any) -> None:
        async def told() -> None:
            async with self.world(database_url) as world:
                await story(world)

        tell(told())


class Contract(_Told):
    """What a provider does when nothing goes wrong, and what it refuses."""

    def test_a_page_is_paid_once_and_its_card_is_kept(self, database_url: str) -> None:
        async def story(world: World) -> None:
            begun = await world.provider.begin_checkout(world.checkout("tup_1"))
            assert begun.redirect_url.startswith("http")
            assert NOON < begun.expires_at <= NOON + timedelta(hours=24)
            assert (await world.look("tup_1", begun.checkout_ref)).status == "open"
            await world.pay("tup_1")
            state = await world.look("tup_1", begun.checkout_ref)
            assert (state.status, state.paid_minor, state.currency) == ("succeeded", 2000, "USD")
            assert state.card is not None
            assert (state.card.brand, state.card.last4) == ("visa", "4242")
            again = await world.look("tup_1", begun.checkout_ref, state.payment_ref)
            assert again == state
            assert await world.times_charged() == 1

        self.tell(database_url, story)

    def test_beginning_again_is_the_same_page(self, database_url: str) -> None:
        async def story(world: World) -> None:
            begun = await world.provider.begin_checkout(world.checkout("tup_1"))
            assert await world.provider.begin_checkout(world.checkout("tup_1")) == begun
            renamed = msgspec.structs.replace(ADA, name="Ada L.", email="lady@example.com")
            again = await world.provider.begin_checkout(world.checkout("tup_1", payer=renamed))
            assert again == begun
            await world.pay("tup_1")
            assert await world.times_charged() == 1

        self.tell(database_url, story)

    def test_a_declined_card_leaves_the_page_open_for_another_one(self, database_url: str) -> None:
        async def story(world: World) -> None:
            begun = await world.provider.begin_checkout(world.checkout("tup_1"))
            await world.pay("tup_1", "declined")
            state = await world.look("tup_1", begun.checkout_ref)
            assert (state.status, state.paid_minor) == ("open", 0)
            await world.pay("tup_1")
            assert (await world.look("tup_1", begun.checkout_ref)).status == "succeeded"
            assert await world.times_charged() == 1

        self.tell(database_url, story)

    def test_a_page_that_nobody_paid_expires(self, database_url: str) -> None:
        async def story(world: World) -> None:
            begun = await world.provider.begin_checkout(world.checkout("tup_1"))
            world.clock.move(hours=25)
            assert (await world.look("tup_1", begun.checkout_ref)).status == "expired"

        self.tell(database_url, story)

    def test_a_card_is_left_without_paying(self, database_url: str) -> None:
        async def story(world: World) -> None:
            asked = SetupAsked(
                world.merchant,
                "set_1",
                ADA,
                "https://shop.example/thanks",
                "https://shop.example/sorry",
                NOON + timedelta(hours=1),
                OUR_PAGES,
            )
            begun = await world.provider.begin_setup(asked)
            await world.pay("set_1")
            state = await world.look("set_1", begun.checkout_ref)
            assert (state.status, state.paid_minor) == ("succeeded", 0)
            assert state.card is not None
            assert state.card.last4 == "4242"
            charged = msgspec.structs.replace(
                world.charge("tup_1"),
                method_ref=state.card.method_ref,
                payer=msgspec.structs.replace(ADA, provider_ref=state.card.payer_ref),
            )
            assert (await world.provider.charge(charged)).status == "succeeded"

        self.tell(database_url, story)

    def test_a_saved_card_is_charged_once_however_often_it_is_asked(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            first = await world.provider.charge(world.charge("tup_1"))
            assert (first.status, first.paid_minor, first.currency) == ("succeeded", 2000, "USD")
            again = await world.provider.charge(world.charge("tup_1"))
            assert again.payment_ref == first.payment_ref
            assert await world.times_charged() == 1
            assert (await world.look("tup_1", None, first.payment_ref)).status == "succeeded"
            # We may have died before we knew what the provider calls it.
            assert (await world.look("tup_1")).payment_ref == first.payment_ref

        self.tell(database_url, story)

    @pytest.mark.parametrize(
        ("card", "code"), [("declined", "card_declined"), ("confirms", "authentication_required")]
    )
    def test_a_saved_card_that_is_refused_is_a_failed_payment(
        self, database_url: str, card: Saved, code: str
    ) -> None:
        async def story(world: World) -> None:
            for _ in range(2):
                state = await world.provider.charge(world.charge("tup_1", card))
                assert (state.status, state.code, state.paid_minor) == ("failed", code, 0)
                assert state.text
            assert (await world.look("tup_1", None, state.payment_ref)).status == "failed"
            assert await world.times_charged() == 0

        self.tell(database_url, story)

    def test_money_goes_back_in_parts_each_once_and_never_more_than_came(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            ref = (await world.provider.charge(world.charge("tup_1"))).payment_ref
            assert ref is not None

            def asked(refund_id: str, minor: int) -> RefundAsked:
                money = Money(minor, "USD", 2)
                return RefundAsked(world.merchant, refund_id, "tup_1", ref or "", money)

            part = await world.provider.refund(asked("rfd_1", 500))
            assert (part.reason, part.minor, part.refund_id) == ("refund", 500, "rfd_1")
            assert part.status in ("succeeded", "pending")
            assert (await world.provider.refund(asked("rfd_1", 500))).ref == part.ref
            assert await _refused(world.provider.refund(asked("rfd_2", 1501))) == "not_refundable"
            await world.provider.refund(asked("rfd_3", 1500))
            assert await _refused(world.provider.refund(asked("rfd_4", 1))) == "not_refundable"
            returns = (await world.look("tup_1", None, ref)).returns
            assert sorted((r.refund_id, r.minor) for r in returns) == [
                ("rfd_1", 500),
                ("rfd_3", 1500),
            ]

        self.tell(database_url, story)

    def test_what_nobody_began_is_not_known(self, database_url: str) -> None:
        async def story(world: World) -> None:
            sought = Sought(world.merchant, "tup_404")
            assert await world.provider.look_up(sought) is None

        self.tell(database_url, story)

    @pytest.mark.parametrize("end", ["won", "lost"])
    def test_a_dispute_takes_the_credit_until_it_is_won(
        self, database_url: str, end: Literal["won", "lost"]
    ) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.paid(ada, "disputed")
            assert await available(world.engine, ada) == 0
            await world.settle_dispute(payment_id, end)
            for _ in range(2):
                await world.told(world.message(payment_id))
            assert await available(world.engine, ada) == (20 if end == "won" else 0)
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_a_payment_is_one_grant_however_often_it_is_told(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            early = world.message(payment_id)
            assert await world.told(early) == payment_id
            assert await world.grants(ada) == []
            await world.pay(payment_id)
            message = world.message(payment_id)
            for sent in (message, early, message):
                assert await world.told(sent) == payment_id
            assert await world.grants(ada) == [("paid", 20)]
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_a_payment_of_which_nothing_is_told_is_found(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            await world.pay(payment_id)
            world.clock.move(minutes=2)
            assert await world.engine.reconcile_payments() == 1
            assert await world.grants(ada) == [("paid", 20)]
            world.clock.move(days=9)
            assert await world.engine.reconcile_payments() == 0

        self.tell(database_url, story)

    def test_what_is_forged_old_or_of_another_environment_does_nothing(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            await world.pay(payment_id)
            headers, body = world.message(payment_id)
            elsewhere = world.message(payment_id, world.engine.context.environment_id + 1)
            changed = body.replace(payment_id.encode(), (payment_id[:-1] + "_").encode())
            unsigned: dict[str, str] = {}
            for sent in (
                world.forged(payment_id),
                (unsigned, body),
                (headers, changed),
                (headers, b""),
                (headers, b"\xff\x00"),
                elsewhere,
            ):
                assert _is(await refusal(world.told(sent)), FORBIDDEN)
            world.clock.move(minutes=6)
            assert _is(await refusal(world.told((headers, body))), FORBIDDEN)
            assert await world.grants(ada) == []
            assert (await world.engine.get_top_up(payment_id)).status == "initiated"

        self.tell(database_url, story)

    def test_a_message_of_one_mode_is_none_of_the_others(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            await world.pay(payment_id)
            live = world.engine.context_of("live")
            there = Merchant(live.environment_id, live.account_id, is_live=True)
            with pytest.raises(BadMessage):
                world.provider.read_message(*world.message(payment_id), there, world.clock())
            sent = world.engine.receive_message(
                world.provider.name, *world.message(payment_id), context=live
            )
            await refusal(sent)
            assert await world.grants(ada) == []

        self.tell(database_url, story)


class ContractWhenThingsGoWrong(_Told):
    """What a provider comes to that answers badly, late, or not at all."""

    def test_a_charge_whose_answer_is_lost_was_made_once(self, database_url: str) -> None:
        async def story(world: World) -> None:
            # A charge may take several requests: each of them loses its answer in turn.
            lost = 0
            while True:
                world.breaks(*[None] * lost, "times out after it was done")
                try:
                    state = await world.provider.charge(world.charge(f"tup_{lost}"))
                except ProviderDown:
                    world.breaks()
                    again = await world.provider.charge(world.charge(f"tup_{lost}"))
                    assert again.status == "succeeded"
                    assert (await world.look(f"tup_{lost}")).payment_ref == again.payment_ref
                    lost += 1
                    assert await world.times_charged() == lost
                    continue
                world.breaks()
                assert state.status == "succeeded"
                break
            assert lost

        self.tell(database_url, story)

    def test_a_page_whose_answer_is_lost_is_paid_once_and_is_one_grant(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            world.breaks("times out after it was done")
            assert _is(await refusal(world.top_up(ada, key="one")), UNAVAILABLE)
            payment_id = await world.top_up(ada, key="one")
            await world.pay(payment_id)
            world.breaks("times out after it was done")
            assert _is(await refusal(world.told(world.message(payment_id))), UNAVAILABLE)
            assert await world.told(world.message(payment_id)) == payment_id
            assert await world.grants(ada) == [("paid", 20)]
            assert await world.times_charged() == 1
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_two_answers_of_500_delay_a_grant_and_do_not_double_it(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            await world.pay(payment_id)
            message = world.message(payment_id)
            world.breaks("answers 500", "answers 500")
            for _ in range(2):
                assert _is(await refusal(world.told(message)), UNAVAILABLE)
                assert await world.grants(ada) == []
            for _ in range(2):
                assert await world.told(message) == payment_id
            assert await world.grants(ada) == [("paid", 20)]

        self.tell(database_url, story)

    def test_who_is_down_for_an_hour_is_asked_until_they_answer(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            await world.pay(payment_id)
            world.goes_down()
            for _ in range(60):
                world.clock.move(minutes=1)
                await world.engine.reconcile_payments()
            assert await world.grants(ada) == []
            assert _is(await refusal(world.top_up(ada)), UNAVAILABLE)
            world.goes_down(is_down=False)
            world.clock.move(hours=3)
            await world.engine.reconcile_payments()
            assert await world.grants(ada) == [("paid", 20)]
            shown: TopUp = await world.engine.get_top_up(payment_id)
            assert shown.status == "succeeded"
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_an_auto_top_up_whose_answer_is_lost_is_one_charge_and_one_grant(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            # It takes several requests: each of them loses its answer in turn.
            lost = 0
            while True:
                ada = await world.customer()
                await world.paid(ada)
                before = await world.times_charged()
                await world.agree(ada)
                world.breaks(*[None] * lost, "times out after it was done")
                await world.engine.take_up_collections()
                world.breaks()
                waits = (await world.standing(ada)).in_flight is not None
                for _ in range(3):
                    world.clock.move(minutes=5)
                    await world.engine.take_up_collections()
                    await world.engine.reconcile_payments()
                assert await world.times_charged() == before + 1
                assert await world.grants(ada) == [("paid", 20), ("paid", 20)]
                standing = await world.standing(ada)
                assert (standing.in_flight, standing.month_amount) == (None, 20)
                if not waits:
                    break
                lost += 1
            assert lost
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_a_subscription_is_paid_by_a_saved_card_or_by_its_customer_where_the_bank_asks(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            await sell_plan(world.engine, "team", monthly(20), points=0)
            by_card = CreateSubscription(
                [SubscribedProduct(code="team")], collection_method="charge_automatically"
            )
            shown = {}
            for card in ("good", "confirms"):
                who = await world.customer()
                await leave_card(world.engine, who, world.provider.name, world.saved(card))
                made = await world.engine.create_subscription(who, by_card)
                await world.engine.take_up_collections()
                shown[card] = await world.engine.get_subscription(who, made.id)
            assert (shown["good"].status, shown["good"].required_actions) == ("active", None)
            assert await world.times_charged() == 1
            (action,) = shown["confirms"].required_actions
            assert action.type == "payment"
            page = f"{OUR_PAGES}/pay/{who}/{made.id}"
            await world.engine.begin_paying(who, made.id, page, base_url=OUR_PAGES)
            top_ups = {one.kind: one for one in (await world.engine.list_top_ups(who)).items}
            assert top_ups["subscription"].status == "failed"
            await world.pay(top_ups["top_up"].id)
            await world.told(world.message(top_ups["top_up"].id))
            assert (await world.engine.get_subscription(who, made.id)).status == "active"
            assert await available(world.engine, who) == 0
            assert await world.times_charged() == 2
            await assert_clean(world.engine)

        self.tell(database_url, story)

    @pytest.mark.parametrize("served", [0, 1])
    def test_two_answers_of_500_delay_an_auto_top_up_and_do_not_double_it(
        self, database_url: str, served: int
    ) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            await world.paid(ada)
            await world.agree(ada)
            for _ in range(2):
                # Whether it is known, or, once that is answered, the charge.
                world.breaks(*[None] * served, "answers 500")
                await world.engine.take_up_collections()
                await world.engine.reconcile_payments()
                assert await world.grants(ada) == [("paid", 20)]
                standing = await world.standing(ada)
                # Nobody has said no: it is no failure, and nothing else is asked meanwhile.
                assert (standing.in_flight is None, standing.failures) == (False, 0)
                world.clock.move(minutes=5)
            world.breaks()
            await world.engine.reconcile_payments()
            assert await world.grants(ada) == [("paid", 20), ("paid", 20)]
            assert await world.times_charged() == 2
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_who_is_down_for_an_hour_charges_an_auto_top_up_once_when_they_are_back(
        self, database_url: str
    ) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            await world.paid(ada)
            await world.agree(ada)
            world.goes_down()
            for _ in range(60):
                await world.engine.take_up_collections()
                await world.engine.reconcile_payments()
                world.clock.move(minutes=1)
            assert await world.grants(ada) == [("paid", 20)]
            assert (await world.standing(ada)).failures == 0
            world.goes_down(is_down=False)
            for _ in range(5):
                world.clock.move(minutes=1)
                await world.engine.reconcile_payments()
            assert await world.grants(ada) == [("paid", 20), ("paid", 20)]
            assert await world.times_charged() == 2
            assert (await world.standing(ada)).month_amount == 20
            await assert_clean(world.engine)

        self.tell(database_url, story)

    def test_a_refund_whose_answer_is_lost_is_made_once(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ref = (await world.provider.charge(world.charge("tup_1"))).payment_ref
            asked = RefundAsked(world.merchant, "rfd_1", "tup_1", ref or "", USD_20)
            world.breaks("times out after it was done")
            with pytest.raises(ProviderDown):
                await world.provider.refund(asked)
            # Days later, when a provider has forgotten our idempotency key.
            world.clock.move(days=3)
            refunded = await world.provider.refund(asked)
            returns = (await world.look("tup_1", None, ref)).returns
            assert [(r.refund_id, r.minor) for r in returns] == [("rfd_1", 2000)]
            assert returns[0].ref == refunded.ref

        self.tell(database_url, story)
