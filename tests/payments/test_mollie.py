"""Mollie keeps to what every payment provider must, over its wire format; and what is its own: its
messages are not signed, it forgets our keys, it cannot reach everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import structs
from tests.databases import new_sqlite
from tests.doubles import mollie as double
from tests.doubles.mollie import Mollie
from tests.ledger.shop import NOON, Clock, refusal
from tests.payments.contract import (
    ADA,
    Card,
    Contract,
    ContractWhenThingsGoWrong,
    Fault,
    Saved,
    World,
)

from faregate import Engine
from faregate.core.ids import derived_id
from faregate.core.problems import FORBIDDEN, NOT_FOUND
from faregate.payments.mollie import MollieProvider
from faregate.payments.provider import (
    BadMessage,
    Merchant,
    Money,
    ProviderDown,
    ProviderRefused,
    RefundAsked,
    Sought,
)

TEST, LIVE = Merchant(1, "acc_1", False), Merchant(2, "acc_1", True)


class MollieWorld(World):
    """An engine for which Mollie's double collects."""

    def __init__(self, engine: Engine, clock: Clock, mollie: Mollie, provider: Any) -> None:
        super().__init__(engine, clock, provider)
        self.mollie = mollie
        self._customer = mollie._make_customer({"name": "Ada"})["id"]

    async def pay(self, payment_id: str, card: Card = "good") -> None:
        self.mollie.pay(self.mollie.of(payment_id), card)

    async def settle_dispute(self, payment_id: str, status: Literal["won", "lost"]) -> None:
        if status == "won":
            ref = self.mollie.of(payment_id)["id"]
            self.mollie.chargebacks[ref][-1]["reversedAt"] = NOON.isoformat()

    def saved(self, card: Saved) -> str:
        return f"{self._customer}/{self.mollie.mandate(self._customer, card)}"

    def message(
        self, payment_id: str, environment_id: int | None = None
    ) -> tuple[dict[str, str], bytes]:
        return {}, f"id={self.mollie.of(payment_id)['id']}".encode()

    def forged(self, payment_id: str) -> tuple[dict[str, str], bytes]:
        return self.message(payment_id)

    async def times_charged(self) -> int:
        return self.mollie.times_charged

    def breaks(self, *faults: Fault) -> None:
        self.mollie.faults = list(faults)

    def goes_down(self, *, is_down: bool = True) -> None:
        self.mollie.is_down = is_down


@asynccontextmanager
async def mollie_world(database_url: str) -> AsyncIterator[MollieWorld]:
    clock = Clock()
    with Mollie.running(clock) as mollie:
        provider = MollieProvider(double.KEY, api_base=mollie.url)
        async with Engine.open(database_url, clock=clock, payments=[provider]) as engine:
            yield MollieWorld(engine, clock, mollie, provider)


class TestMollie(Contract):
    @asynccontextmanager
    async def world(self, database_url: str) -> AsyncIterator[World]:
        async with mollie_world(database_url) as world:
            yield world

    def test_what_is_forged_old_or_of_another_environment_does_nothing(
        self, database_url: str
    ) -> None:
        """Whoever sends a message, it only makes us ask, and what nobody paid brings nothing."""

        async def story(world: Any) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            ref = world.mollie.of(payment_id)["id"]
            for body in (b"", b"\xff\x00", b"id=", b"id=tr_1&id=tr_2", b"id=../x", b"id=" * 999):
                refused = await refusal(world.told(({}, body)))
                assert refused.problem.kind is FORBIDDEN
            asked = len(world.mollie.requests)
            # Nobody is asked about payments that are none of ours, nor about what is no payment.
            assert await world.told(({}, b"id=tr_404")) is None
            assert await world.told(({}, b"id=ord_1")) is None
            assert len(world.mollie.requests) == asked
            assert await world.told(({}, f"id={ref}".encode())) == payment_id
            assert await world.grants(ada) == []
            world.mollie.pay(world.mollie.of(payment_id))
            world.clock.move(days=30)
            for _ in range(3):
                assert await world.told(({}, f"id={ref}".encode())) == payment_id
            assert await world.grants(ada) == [("paid", 20)]

        self.tell(database_url, story)

    def test_a_message_of_one_mode_is_none_of_the_others(self, database_url: str) -> None:
        async def story(world: World) -> None:
            ada = await world.customer()
            payment_id = await world.top_up(ada)
            await world.pay(payment_id)
            live = world.engine.context_of("live")
            sent = world.engine.receive_message("mollie", *world.message(payment_id), context=live)
            refused: Any = await refusal(sent)
            assert refused.problem.kind is NOT_FOUND
            there = Merchant(live.environment_id, live.account_id, is_live=False)
            sought = Sought(there, payment_id, "tr_1")
            assert await world.provider.look_up(sought) is None
            assert await world.grants(ada) == []

        self.tell(database_url, story)


class TestMollieWhenThingsGoWrong(ContractWhenThingsGoWrong):
    @asynccontextmanager
    async def world(self, database_url: str) -> AsyncIterator[World]:
        async with mollie_world(database_url) as world:
            yield world


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return new_sqlite(tmp_path / "faregate.db")


def tell(url: str, story: Any) -> None:
    async def told() -> None:
        async with mollie_world(url) as world:
            await story(world)

    asyncio.run(told())


def test_a_charge_is_found_again_after_mollie_has_forgotten_our_key(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        charge = world.charge(derived_id("tup", NOON, "one"))
        first = await world.provider.charge(charge)
        world.clock.move(days=2)
        world.mollie.page_limit = 2
        for number in range(5):
            at = derived_id("tup", world.clock(), str(number))
            await world.provider.charge(structs.replace(charge, payment_id=at))
        assert await world.times_charged() == 6
        again = await world.provider.charge(charge)
        assert again.payment_ref == first.payment_ref
        assert (await world.look(charge.payment_id)).payment_ref == first.payment_ref
        assert await world.times_charged() == 6

    tell(sqlite, story)


def test_a_search_ends_where_our_payment_was_made(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        charge = world.charge("tup_0")
        for number in range(12):
            await world.provider.charge(structs.replace(charge, payment_id=f"tup_{number}"))
            world.clock.move(hours=3)
        world.mollie.page_limit = 1
        mollie, before = world.mollie, len(world.mollie.requests)
        late = derived_id("tup", world.clock(), "never made")
        assert await world.provider.look_up(Sought(world.merchant, late)) is None
        assert len(mollie.requests) - before == 1
        # Of an id that says no instant everything would have to be read: that has a bound.
        with pytest.raises(ProviderDown):
            await world.provider.look_up(Sought(world.merchant, "tup_404"))

    tell(sqlite, story)


def test_a_customer_whom_mollie_knows_is_not_made_again(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        payer = structs.replace(ADA, provider_ref="cst_1")
        await world.provider.begin_checkout(world.checkout("tup_1", payer=payer))
        assert world.mollie.of("tup_1")["customerId"] == "cst_1"
        assert list(world.mollie.customers) == ["cst_1"]
        await world.provider.begin_checkout(world.checkout("tup_2", saves_card=False))
        assert "customerId" not in world.mollie.of("tup_2")
        await world.pay("tup_2")
        assert (await world.look("tup_2")).card is None

    tell(sqlite, story)


def test_mollie_is_told_where_we_are_only_if_it_can_reach_us(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        account = world.merchant.account_id
        await world.provider.begin_checkout(world.checkout("tup_1"))
        asked = world.mollie.of("tup_1")
        assert asked["webhookUrl"] == (
            f"https://fare.example/payments/messages/mollie/{account}/test"
        )
        assert asked["redirectUrl"] == "https://shop.example/thanks"
        assert asked["cancelUrl"] == "https://shop.example/sorry"
        for number, base in enumerate(
            ("http://127.0.0.1:8080", "http://localhost", "http://a.local")
        ):
            payment = f"tup_1{number}"
            await world.provider.begin_checkout(world.checkout(payment, base_url=base))
            assert "webhookUrl" not in world.mollie.of(payment)

    tell(sqlite, story)


@pytest.mark.parametrize(
    ("money", "written"),
    [
        (Money(2000, "EUR", 2), "20.00"),
        (Money(5, "EUR", 2), "0.05"),
        (Money(1000, "JPY", 0), "1000"),
    ],
)
def test_amounts_have_as_many_decimals_as_their_currency(
    sqlite: str, money: Money, written: str
) -> None:
    async def story(world: MollieWorld) -> None:
        await world.provider.begin_checkout(world.checkout("tup_1", money=money))
        assert world.mollie.of("tup_1")["amount"] == {"currency": money.currency, "value": written}
        await world.pay("tup_1")
        state = await world.look("tup_1")
        assert (state.paid_minor, state.currency) == (money.minor, money.currency)

    tell(sqlite, story)


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        ("open", "open"),
        ("pending", "processing"),
        ("authorized", "processing"),
        ("paid", "succeeded"),
        ("canceled", "failed"),
        ("failed", "failed"),
        ("expired", "expired"),
    ],
)
def test_each_status_of_mollies_is_one_of_ours(sqlite: str, status: str, ours: str) -> None:
    async def story(world: MollieWorld) -> None:
        await world.provider.begin_checkout(world.checkout("tup_1"))
        world.mollie.of("tup_1")["status"] = status
        state = await world.look("tup_1")
        assert state.status == ours
        assert bool(state.text) == (ours == "failed")

    tell(sqlite, story)


def test_a_refund_is_pending_until_mollie_has_sent_it(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        ref = (await world.provider.charge(world.charge("tup_1"))).payment_ref or ""
        asked = RefundAsked(world.merchant, "rfd_1", "tup_1", ref, Money(500, "USD", 2))
        assert (await world.provider.refund(asked)).status == "pending"
        for theirs, ours in (
            ("queued", "pending"),
            ("processing", "pending"),
            ("refunded", "succeeded"),
            ("failed", "failed"),
            ("canceled", "failed"),
        ):
            world.mollie.refunds[ref][0]["status"] = theirs
            [returned] = (await world.look("tup_1", None, ref)).returns
            assert (returned.status, returned.minor) == (ours, 500)

    tell(sqlite, story)


def test_a_mandate_that_has_ended_declines(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        charge = world.charge("tup_1")
        world.mollie.mandates[charge.method_ref.split("/")[1]]["status"] = "invalid"
        state = await world.provider.charge(charge)
        assert (state.status, state.code) == ("failed", "card_declined")
        with pytest.raises(ProviderRefused):
            await world.provider.charge(structs.replace(charge, method_ref="card_4242"))
        assert await world.times_charged() == 0

    tell(sqlite, story)


def test_a_key_that_mollie_does_not_accept_is_said_and_not_shown(sqlite: str) -> None:
    async def story(world: MollieWorld) -> None:
        wrong = MollieProvider("test_another1234567890", api_base=world.mollie.url)
        with pytest.raises(ProviderRefused) as refused:
            await wrong.begin_checkout(world.checkout("tup_1"))
        assert refused.value.code == "misconfigured"
        assert "another" not in f"{refused.value!r} {wrong!r} {vars(refused.value)}"

    tell(sqlite, story)


def test_nobody_there_is_a_provider_that_is_down() -> None:
    async def story() -> None:
        provider = MollieProvider(double.KEY, api_base="http://127.0.0.1:9")
        with pytest.raises(ProviderDown) as down:
            await provider.look_up(Sought(TEST, "tup_1"))
        assert double.KEY not in f"{down.value!r} {down.value.__cause__!r}"

    asyncio.run(story())


@pytest.mark.parametrize(
    "keys", [("live_double1234567890", ""), ("", "test_x234567890"), ("x", "")]
)
def test_a_key_of_the_wrong_mode_is_refused_and_not_shown(keys: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="is no key") as refused:
        MollieProvider(*keys)
    assert "double" not in str(refused.value)


def test_only_modes_with_a_key_are_served_and_only_the_platform() -> None:
    provider = MollieProvider(double.KEY)
    assert provider.serves(TEST)
    assert not provider.serves(LIVE)
    assert not provider.serves(structs.replace(TEST, is_platform=False))


def test_a_message_names_one_payment() -> None:
    provider = MollieProvider(double.KEY)
    message = provider.read_message({}, b"id=tr_7UhSN1zuXS", TEST, NOON + timedelta(days=400))
    assert (message.payment_id, message.ref) == (None, "tr_7UhSN1zuXS")
    with pytest.raises(BadMessage):
        provider.read_message({}, b'{"id": "tr_7UhSN1zuXS"}', TEST, NOON)
