"""The seller's own system tells of payments that it has collected: each is one grant, however often
and in whatever order it is told, and what is not signed for this account and mode does nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook
from tests.databases import new_sqlite
from tests.ledger.shop import NOON, Clock, assert_clean, available, refusal, tell

from faregate import Engine
from faregate.catalog.types import AddAssetRate, CreateAsset, UpdateAsset
from faregate.core.amounts import Number
from faregate.core.codec import encode, from_dict
from faregate.core.payment_rules import PaymentRules
from faregate.core.problems import CONFLICT, FORBIDDEN, INVALID, MALFORMED, NOT_FOUND
from faregate.customers.types import CreateCustomer
from faregate.payments.external import ExternalSecrets
from faregate.payments.provider import Merchant

MASTER, NEXT = "a secret of 32 letters at the least", "another secret of 32 letters at least"
Data = dict[str, Any]


class Seller:
    """The seller's own system, which signs what it tells."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self.numbers = itertools.count(1)

    def signed(
        self, kind: str, data: Data, secret: str | None = None
    ) -> tuple[dict[str, str], bytes]:
        body = encode({"type": kind, "timestamp": self.clock(), "data": data})
        return self.sealed(body, secret)

    def sealed(self, body: bytes, secret: str | None = None) -> tuple[dict[str, str], bytes]:
        identifier, at = f"msg_{next(self.numbers)}", int(self.clock().timestamp())
        hook = Webhook(secret or self.engine.external_secret())
        signature = hook.sign(identifier, datetime.fromtimestamp(at, UTC), body.decode())
        headers = {
            "webhook-id": identifier,
            "webhook-timestamp": str(at),
            "webhook-signature": signature,
        }
        return headers, body

    async def send(self, message: tuple[dict[str, str], bytes], **more: Any) -> str | None:
        return await self.engine.receive_message("external", *message, **more)

    async def tells(self, kind: str, **data: Any) -> str | None:
        return await self.send(self.signed(f"payment.{kind}", data))

    async def customer(self, **more: Any) -> str:
        return (await self.engine.create_customer(CreateCustomer(name="Ada", **more))).id

    async def grants(self, customer: str, account: str = "default:USD") -> list[Any]:
        page = await self.engine.list_grants(customer, account)
        return [(grant.purpose, Decimal(grant.amount)) for grant in page.items]


@asynccontextmanager
async def selling(url: str, *secrets: str) -> AsyncIterator[Seller]:
    clock = Clock()
    external = ExternalSecrets(secrets or (MASTER,))
    async with Engine.open(url, clock=clock, external=external) as engine:
        yield Seller(engine, clock)


def story(url: str, told: Any, *secrets: str) -> None:
    async def run() -> None:
        async with selling(url, *secrets) as seller:
            await told(seller)

    tell(run())


def paid(customer: str, payment: str = "inv-17", amount: str = "20.00", **more: Any) -> Data:
    return {
        "payment_id": payment,
        "customer_id": customer,
        "amount": amount,
        "currency": "USD",
        **more,
    }


def back(amount: str, refund: str = "cn-1", payment: str = "inv-17") -> Data:
    return {"payment_id": payment, "refund_id": refund, "amount": amount, "currency": "USD"}


def test_a_payment_is_one_grant_however_often_it_is_told(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        ada = await seller.customer(external_id="user 7")
        first = await seller.tells("paid", **paid(ada, metadata={"invoice": "17"}))
        assert first is not None
        message = seller.signed("payment.paid", paid(ada))
        ids = await asyncio.gather(*[seller.send(message) for _ in range(8)])
        by_name = paid(ada, customer_external_id="user 7", amount="20")
        del by_name["customer_id"]
        seller.clock.move(days=40)
        ids.append(await seller.tells("paid", **by_name))
        assert set(ids) == {first}
        assert await seller.grants(ada) == [("paid", 20)]
        shown = await seller.engine.get_top_up(first)
        assert (shown.status, shown.provider, shown.kind) == ("succeeded", "external", "top_up")
        assert shown.metadata == {"invoice": "17"}
        await assert_clean(seller.engine)

    story(database_url, told)


def test_eight_who_tell_first_at_once_make_one_payment(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        ada = await seller.customer()
        sent = [seller.signed("payment.paid", paid(ada)) for _ in range(8)]
        assert len({*await asyncio.gather(*[seller.send(one) for one in sent])}) == 1
        assert await seller.grants(ada) == [("paid", 20)]
        assert (await seller.engine.list_top_ups(ada)).total_count == 1

    story(database_url, told)


def test_a_refund_takes_the_credit_back_once(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        ada = await seller.customer()
        payment = await seller.tells("paid", **paid(ada))
        for _ in range(2):
            assert await seller.tells("refunded", **back("5.00")) == payment
        assert await available(seller.engine, ada) == 15
        await seller.tells("refunded", **back("99", "cn-2"))
        assert await available(seller.engine, ada) == 0
        await assert_clean(seller.engine)

    story(database_url, told)


def test_a_refund_that_comes_before_its_payment_waits_for_it(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        ada = await seller.customer()
        assert await seller.tells("refunded", **back("5.00")) is None
        assert await available(seller.engine, ada) == 0
        await seller.tells("paid", **paid(ada))
        assert await available(seller.engine, ada) == 15
        await assert_clean(seller.engine)

    story(database_url, told)


def test_what_was_paid_becomes_another_asset_that_ends(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        engine = seller.engine
        gems = {"code": "GEMS", "name": "Gems", "precision": 2}
        await engine.create_asset(from_dict(CreateAsset, gems))
        rate = {"source": "USD", "inverse_rate": 10}
        await engine.add_asset_rate("GEMS", from_dict(AddAssetRate, rate))
        ada = await seller.customer()
        where = {"asset": "GEMS", "account_name": "fun"}
        ends = NOON.replace(year=2027)
        more = {"destination": where, "credit_expires_at": ends}
        await seller.tells("paid", **paid(ada, **more))
        page = await engine.list_grants(ada, "fun:GEMS")
        assert [(Decimal(g.amount), g.expires_at) for g in page.items] == [(200, ends)]
        seller.clock.move(days=400)
        # What has ended by the time it is told is not lost at once.
        late = paid(ada, "inv-18", credit_expires_at=ends)
        await seller.tells("paid", **late)
        assert await available(engine, ada) == 20

    story(database_url, told)


def test_what_was_paid_has_no_bounds_and_has_its_bonus(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        engine, ada = seller.engine, await seller.customer()
        rules = {"top_ups": {"USD": {"minimum": 50}}}
        await engine.change_settings(payments=from_dict(PaymentRules, rules))
        bonus = {"top_up_bonus": [{"id": "first", "percent": 10, "once_per_customer": True}]}
        await engine.set_top_up_bonus("USD", from_dict(UpdateAsset, bonus).top_up_bonus)
        for payment in ("inv-17", "inv-18", "inv-17"):
            await seller.tells("paid", **paid(ada, payment))
        assert sorted(await seller.grants(ada)) == [("paid", 20), ("paid", 20), ("promotion", 2)]
        await seller.tells("refunded", **back("20"))
        assert await available(engine, ada) == 20
        await assert_clean(engine)

    story(database_url, told)


def test_what_was_told_differently_before_is_a_conflict_and_the_first_stands(
    database_url: str,
) -> None:
    async def told(seller: Seller) -> None:
        ada, bob = await seller.customer(), await seller.customer()
        await seller.tells("paid", **paid(ada))
        await seller.tells("refunded", **back("5.00"))
        for kind, data, field in (
            ("paid", paid(ada, amount="21"), "data.amount"),
            ("paid", paid(bob), "data.customer_id"),
            ("paid", paid(ada, currency="EUR"), "data.currency"),
            ("refunded", back("6.00"), "data.amount"),
        ):
            refused: Any = await refusal(seller.tells(kind, **data))
            assert refused.problem.kind is CONFLICT
            assert field in refused.problem.errors
        wrong = back("1", "cn-2") | {"currency": "EUR"}
        other: Any = await refusal(seller.tells("refunded", **wrong))
        assert (other.problem.kind, list(other.problem.errors)) == (INVALID, ["data.currency"])
        assert await available(seller.engine, ada) == 15
        assert await available(seller.engine, bob) == 0

    story(database_url, told)


BAD: list[tuple[Data, str]] = [
    ({"amount": 20}, "data.amount"),
    ({"amount": "-1"}, "data.amount"),
    ({"amount": "1e3"}, "data.amount"),
    ({"amount": "0"}, "data.amount"),
    ({"amount": "0.001"}, "data.amount"),
    ({"amount": "9" * 18}, "data.amount"),
    ({"currency": "XYZ"}, "data.currency"),
    ({"customer_external_id": "7"}, "data.customer_id"),
    ({"destination": {"asset": "GEMS"}}, "data.destination.asset"),
    ({"credit_expires_at": "9999-12-31T00:00:00Z"}, "data.credit_expires_at"),
    ({"metadata": {"n": "x" * 20_000}}, "data.metadata"),
    ({"payment_id": ""}, "data.payment_id"),
    ({"payment_id": "x" * 201}, "data.payment_id"),
    ({"surprise": 1}, "data.surprise"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD)
def test_what_cannot_be_booked_is_refused_and_named(
    tmp_path: Path, wrong: Data, field: str
) -> None:
    async def told(seller: Seller) -> None:
        ada = await seller.customer()
        refused: Any = await refusal(seller.tells("paid", **{**paid(ada), **wrong}))
        assert refused.problem.kind is INVALID
        assert list(refused.problem.errors) == [field], refused.problem
        assert (await seller.engine.list_top_ups()).total_count == 0

    story(new_sqlite(tmp_path / "faregate.db"), told)


def test_what_is_signed_and_is_no_message_is_refused(tmp_path: Path) -> None:
    async def told(seller: Seller) -> None:
        for body, kind in (
            (b"{", MALFORMED),
            (b"[]", INVALID),
            (b'{"type": "payment.lost", "data": {}}', INVALID),
        ):
            refused: Any = await refusal(seller.send(seller.sealed(body)))
            assert refused.problem.kind is kind
        unknown: Any = await refusal(seller.tells("paid", **paid("cust_404")))
        assert unknown.problem.kind is NOT_FOUND

    story(new_sqlite(tmp_path / "faregate.db"), told)


def test_what_is_forged_old_or_of_another_environment_does_nothing(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        engine, ada = seller.engine, await seller.customer()
        headers, body = seller.signed("payment.paid", paid(ada))
        live = engine.context_of("live")
        of_live = seller.signed("payment.paid", paid(ada), engine.external_secret(context=live))
        changed = body.replace(b"20.00", b"90.00")
        for sent in (
            ({}, body),
            (headers, changed),
            (headers, b"\xff"),
            ({**headers, "webhook-id": "msg_x"}, body),
            ({**headers, "webhook-timestamp": "1"}, body),
            ({**headers, "webhook-timestamp": "9" * 12}, body),
            ({**headers, "webhook-timestamp": "x"}, body),
            ({**headers, "webhook-signature": "v1,é"}, body),
            ({**headers, "webhook-signature": "v1 v1, ,"}, body),
            seller.signed("payment.paid", paid(ada), "whsec_Z3Vlc3M="),
            of_live,
        ):
            refused: Any = await refusal(seller.send(sent))
            assert refused.problem.kind is FORBIDDEN
            assert "whsec" not in str(refused)
        crossed: Any = await refusal(seller.send((headers, body), context=live))
        assert crossed.problem.kind is FORBIDDEN
        for minutes in (6, -12):
            seller.clock.move(minutes=minutes)
            late: Any = await refusal(seller.send((headers, body)))
            assert late.problem.kind is FORBIDDEN
        # Of the live mode's own system, a test customer is nobody.
        seller.clock.now = NOON
        nobody: Any = await refusal(seller.send(of_live, context=live))
        assert nobody.problem.kind is NOT_FOUND
        assert await available(engine, ada) == 0
        assert (await engine.list_top_ups()).total_count == 0

    story(database_url, told)


def test_a_secret_is_exchanged_without_a_gap(tmp_path: Path) -> None:
    url = new_sqlite(tmp_path / "faregate.db")
    kept: list[tuple[str, str]] = []

    async def before(seller: Seller) -> None:
        kept.append((await seller.customer(), seller.engine.external_secret()))

    async def between(seller: Seller) -> None:
        ada, old = kept[0]
        assert seller.engine.external_secret() != old
        await seller.send(seller.signed("payment.paid", paid(ada), old))
        await seller.tells("paid", **paid(ada, "inv-18"))
        assert await available(seller.engine, ada) == 40

    async def after(seller: Seller) -> None:
        ada, old = kept[0]
        message = seller.signed("payment.paid", paid(ada, "inv-19"), old)
        refused: Any = await refusal(seller.send(message))
        assert refused.problem.kind is FORBIDDEN

    story(url, before, MASTER)
    story(url, between, NEXT, MASTER)
    story(url, after, NEXT)


def test_every_account_and_mode_has_a_secret_of_its_own() -> None:
    secrets = ExternalSecrets([MASTER, NEXT])
    merchants = [Merchant(n, f"acc_{n // 2}", n % 2 == 1) for n in range(8)]
    found = [one for merchant in merchants for one in secrets.of(merchant)]
    assert len(set(found)) == 16
    assert all(one.startswith("whsec_") for one in found)
    assert MASTER not in repr(secrets)
    with pytest.raises(ValueError, match="fewer than 32"):
        ExternalSecrets(["short"])


def test_without_a_secret_nobody_is_heard(tmp_path: Path) -> None:
    async def told() -> None:
        async with Engine.open(new_sqlite(tmp_path / "faregate.db"), clock=Clock()) as engine:
            refused: Any = await refusal(engine.receive_message("external", {}, b"{}"))
            assert refused.problem.kind is NOT_FOUND

    tell(told())


def test_a_payment_that_was_written_down_and_not_booked_is_booked_later(database_url: str) -> None:
    async def told(seller: Seller) -> None:
        engine, ada = seller.engine, await seller.customer()

        async def dies(_payment_id: str) -> Any:
            raise KeyboardInterrupt

        engine.settle_payment = dies  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await seller.tells("paid", **paid(ada))
        del engine.settle_payment  # type: ignore[method-assign]
        assert await available(engine, ada) == 0
        seller.clock.move(minutes=2)
        assert await engine.reconcile_payments() == 1
        assert await available(engine, ada) == 20

    story(database_url, told)


def test_its_own_system_is_not_asked_for_money(tmp_path: Path) -> None:
    async def told(seller: Seller) -> None:
        context = seller.engine.context
        merchant = Merchant(context.environment_id, context.account_id, is_live=False)
        assert not seller.engine.external.serves(merchant)

    story(new_sqlite(tmp_path / "faregate.db"), told)


MESSAGES = [
    ("paid", "a", "20.00", ""),
    ("paid", "b", "7.31", ""),
    ("refunded", "a", "5.00", "1"),
    ("refunded", "a", "3.33", "2"),
    ("refunded", "b", "7.30", "1"),
    ("refunded", "b", "0.02", "2"),
]


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(MESSAGES),
    again=st.lists(st.sampled_from(MESSAGES), max_size=6),
    places=st.lists(st.integers(0, 11), min_size=6, max_size=6),
)
def test_any_order_and_repetition_of_messages_leads_to_the_same_wallet(
    order: list[Any], again: list[Any], places: list[int]
) -> None:
    messages = list(order)
    for one, place in zip(again, places, strict=False):
        messages.insert(place % (len(messages) + 1), one)

    async def told(seller: Seller) -> None:
        ada = await seller.customer()
        for kind, payment, amount, refund in messages:
            data = back(amount, refund, payment)
            await seller.tells(kind, **(data if refund else paid(ada, payment, amount)))
        assert await available(seller.engine, ada) == Number("11.67")
        assert sorted(await seller.grants(ada)) == [
            ("paid", Decimal("7.31")),
            ("paid", Decimal("20")),
        ]
        await assert_clean(seller.engine)

    with TemporaryDirectory() as folder:
        story(new_sqlite(Path(folder) / "faregate.db"), told)
