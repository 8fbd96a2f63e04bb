"""What happened is told to whoever asked, at least once, in the order of each customer, whatever
the receivers do."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
from tests.doubles.receiver import HANG, Arrived, Receiver, receiving
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    make_version,
    other_connection,
    refusal,
    tell,
    usage_price,
)
from tests.webhooks.shop import (
    LIMIT,
    customers,
    open_shop,
    reach,
    register,
    switch,
    told,
    verify_all,
)

from faregate import Engine
from faregate.catalog.types import CreateProduct, UpdateVersion
from faregate.client import InvalidWebhook, verify_webhook
from faregate.core.codec import decode, encode
from faregate.core.topics import TOPICS
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.platform.accounts import CreateAccount
from faregate.store.protocol import Queries, StoreUnavailable
from faregate.webhooks import deliveries, posting, pruning, sending
from faregate.webhooks.retrying import DELAYS, GIVE_UP_SECONDS, JITTER, next_delay_us
from faregate.webhooks.types import (
    Asked,
    CreateDestination,
    Redeliver,
    RotateSecret,
    UpdateDestination,
)

ALL = Asked(100)
PRICE = "price.changed"


def versions(receiver: Receiver, path: str = "/") -> list[tuple[int | None, int]]:
    """The changes of the default version that were told, from which to which."""
    told_there = [
        e for e, o in zip(receiver.events, receiver.arrived, strict=True) if o.path == path
    ]
    data = [event["data"] for event in told_there if event["type"] == PRICE]
    return [(one.get("previous_version"), one["version"]) for one in data]


def test_every_event_arrives_once_signed_and_in_its_customers_order(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            ada, bob = await customers(engine, 2)
            for number in range(1, 6):
                await reach(engine, clock, ada, number)
                await reach(engine, clock, bob, number)
            assert await engine.deliver_webhooks() == 10
            assert told(receiver) == {ada: [1, 2, 3, 4, 5], bob: [1, 2, 3, 4, 5]}
            events = verify_all(receiver, made.secret, clock.now.timestamp())
            assert len({event.id for event in events}) == 10
            assert {event.type for event in events} == {LIMIT}
            assert all(not e.live_mode and e.created == NOON for e in events)
            assert await engine.deliver_webhooks() == 0
            items, _, _ = await engine.list_webhook_deliveries(ALL)
            assert [one.state for one in items] == ["delivered"] * 10
            await assert_clean(engine)

    tell(story())


def test_the_official_verifier_accepts_what_is_sent(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(datetime.now(UTC))
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver, "/", "*")
            await engine.test_webhook(LIMIT)
            await engine.deliver_webhooks()
            (one,) = receiver.arrived
            seen = standardwebhooks.Webhook(made.secret).verify(one.body, one.headers)
            assert seen["type"] == LIMIT

    tell(story())


def test_a_failure_delays_its_own_customer_and_nobody_else(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            await register(engine, receiver)
            ada, bob = await customers(engine, 2)
            await reach(engine, clock, ada, 1, 2)
            await reach(engine, clock, bob, 1, 2)
            receiver.answer = lambda one: 500 if ada.encode() in one.body else 200
            await engine.deliver_webhooks()
            assert told(receiver) == {ada: [1], bob: [1, 2]}
            items, _, _ = await engine.list_webhook_deliveries(Asked(100, has_failed=True))
            assert [(o.response_status, o.problem, o.attempts) for o in items] == [
                (500, "answered 500", 1)
            ]
            wait = items[0].next_attempt_at
            assert wait is not None
            assert 5 <= (wait - clock.now).total_seconds() <= 5 * (1 + JITTER)
            receiver.answer = lambda _: 200
            assert await engine.deliver_webhooks() == 0
            clock.move(seconds=6)
            await engine.deliver_webhooks()
            assert told(receiver)[ada] == [1, 1, 2]
            ids = [e["id"] for e in receiver.events if e["data"]["customer_id"] == ada]
            assert ids[0] == ids[1] != ids[2]

    tell(story())


def test_one_event_has_one_id_at_every_destination(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            await register(engine, receiver, "/a")
            await register(engine, receiver, "/b", "*")
            await register(engine, receiver, "/c", "subscription.renewed")
            (ada,) = await customers(engine, 1)
            await reach(engine, clock, ada, 1)
            await engine.deliver_webhooks()
            limits = [one for one in receiver.arrived if one.event["type"] == LIMIT]
            assert sorted(one.path for one in limits) == ["/a", "/b"]
            assert len({one.body for one in limits}) == 1
            others = [one for one in receiver.arrived if one.event["type"] != LIMIT]
            told_there = {(o.path, o.event["type"]) for o in others}
            assert told_there == {("/b", "subscription.activated"), ("/b", "grant.created")}

    tell(story())


def test_a_destination_hears_of_nothing_before_it_was_made(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            (ada,) = await customers(engine, 1)
            await reach(engine, clock, ada, 1)
            await register(engine, receiver)
            await reach(engine, clock, ada, 2)
            await engine.deliver_webhooks()
            assert told(receiver) == {ada: [2]}

    tell(story())


def test_after_three_days_a_destination_is_disabled_and_shown_and_goes_on_when_enabled(
    database_url: str,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            (ada,) = await customers(engine, 1)
            await reach(engine, clock, ada, 1, 2)
            receiver.answer = lambda _: 500
            for delay in (0, *DELAYS):
                (shown,) = await engine.list_webhook_destinations()
                assert shown.enabled
                clock.move(seconds=delay * (1 + JITTER) + 1)
                assert await engine.deliver_webhooks() == 1
            (shown,) = await engine.list_webhook_destinations()
            assert not shown.enabled
            assert shown.failing_since is not None
            assert "nothing has arrived since 2026-03-02 12:00 UTC" in (shown.disabled_reason or "")
            assert len(receiver.arrived) == len(DELAYS) + 1
            items, _, _ = await engine.list_webhook_deliveries(ALL)
            assert [(o.state, o.attempts) for o in items] == [("pending", 0), ("failed", 15)]
            # Whoever is disabled hears of nothing that happens then, and what waits is kept.
            await reach(engine, clock, ada, 3)
            receiver.answer = lambda _: 200
            assert await engine.deliver_webhooks() == 0
            await switch(engine, made.id, enabled=True)
            await engine.deliver_webhooks()
            assert told(receiver)[ada][-1] == 2
            (shown,) = await engine.list_webhook_destinations()
            assert (shown.enabled, shown.disabled_reason, shown.failing_since) == (True, None, None)
            # What was given up is sent again when somebody asks.
            items, _, _ = await engine.list_webhook_deliveries(Asked(100, state="failed"))
            again = Redeliver(event_id=items[0].id)
            assert (await engine.redeliver_webhooks(made.id, again)).count == 1
            await engine.deliver_webhooks()
            assert told(receiver)[ada][-1] == 1

    tell(story())


def test_while_one_secret_follows_another_both_sign(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            shown = await engine.rotate_webhook_secret(made.id, RotateSecret(3600))
            assert shown.secret != made.secret
            assert shown.previous_secret_until == clock.now + timedelta(hours=1)
            await engine.test_webhook(LIMIT, made.id)
            await engine.deliver_webhooks()
            for secret in (made.secret, shown.secret):
                verify_all(receiver, secret, clock.now.timestamp())
            clock.move(hours=1)
            receiver.arrived.clear()
            await engine.test_webhook(LIMIT, made.id)
            await engine.deliver_webhooks()
            verify_all(receiver, shown.secret, clock.now.timestamp())
            with pytest.raises(InvalidWebhook, match="no signature fits"):
                verify_all(receiver, made.secret, clock.now.timestamp())
            assert (await engine.get_webhook_destination(made.id)).previous_secret_until is None

    tell(story())


def test_what_was_sent_in_a_time_is_sent_again_in_its_order(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            (ada,) = await customers(engine, 1)
            for number in range(1, 6):
                await reach(engine, clock, ada, number)
                clock.move(minutes=1)
            await engine.deliver_webhooks()
            first = {e["data"]["amount"]: e["id"] for e in receiver.events}
            receiver.arrived.clear()
            span = Redeliver(
                time_gte=NOON + timedelta(minutes=1), time_lte=NOON + timedelta(minutes=3)
            )
            assert (await engine.redeliver_webhooks(made.id, span)).count == 3
            # What is on its way already is not sent twice.
            assert (await engine.redeliver_webhooks(made.id, span)).count == 0
            await engine.deliver_webhooks()
            assert told(receiver) == {ada: [2, 3, 4]}
            assert all(first[e["data"]["amount"]] == e["id"] for e in receiver.events)
            nobody = await refusal(engine.redeliver_webhooks(made.id, Redeliver(event_id="whe_x")))
            assert nobody.problem.kind.status == 404

    tell(story())


def test_a_destination_that_hangs_delays_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "ATTEMPT_SECONDS", 2.0)

    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            for number in range(12):
                await register(engine, receiver, f"/{number}")
            receiver.answer = lambda one: HANG if int(one.path[1:]) < 6 else 200
            people = await customers(engine, 20)
            for one in people:
                await reach(engine, clock, one, 1)
            async with engine.working():
                begun = asyncio.get_running_loop().time()
                await receiver.has(6 * 20 + 6)
                last = max(o.at for o in receiver.arrived if int(o.path[1:]) >= 6)
                assert last - begun < 2
                # One that has never taken anything is asked for one thing at a time.
                hanging = [o for o in receiver.arrived if int(o.path[1:]) < 6]
                assert len(hanging) == 6

    tell(story())


def test_a_destination_gets_so_many_at_once_and_no_more(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock, 1) as engine, receiving() as receiver:
            await register(engine, receiver)
            receiver.delay = 0.02
            for one in await customers(engine, 40):
                await reach(engine, clock, one, 1)
            await engine.deliver_webhooks()
            assert len(receiver.arrived) == 40
            assert 1 < receiver.most_under_way <= sending.MAX_WIDTH

    tell(story())


def test_destinations_take_turns_while_there_is_little_room(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_AT_ONCE", 1)

    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock, 1) as engine, receiving() as receiver:
            paths = ("/a", "/b", "/c")
            for path in paths:
                await register(engine, receiver, path)
            for one in await customers(engine, 5):
                await reach(engine, clock, one, 1)
            assert await engine.deliver_webhooks() == 15
            assert receiver.most_under_way == 1
            order = [one.path for one in receiver.arrived]
            for start in range(0, 15, 3):
                assert sorted(order[start : start + 3]) == list(paths)

    tell(story())


def test_what_became_of_each_attempt_is_written_as_it_was(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock, 1) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            receiver.answer = lambda _: 500
            for one in await customers(engine, 4):
                await reach(engine, clock, one, 1)
            await engine.deliver_webhooks()
            clock.move(minutes=1)
            async with other_connection(database_url) as store:
                now_us = int(clock.now.timestamp() * 1_000_000)
                first, second, third, fourth = sorted(
                    await deliveries.ready_for(store, 0, made.id, now_us, 10),
                    key=lambda ready: ready.position,
                )
                outcomes = [
                    deliveries.Outcome(first, now_us, 200),
                    deliveries.Outcome(second, now_us + 1_000_000, 204),
                    deliveries.Outcome(third, now_us + 2_000_000, None, "was silent", 9_000_000),
                    deliveries.Outcome(fourth, now_us + 3_000_000, 410, "answered 410"),
                ]
                async with store.transaction() as queries:
                    await deliveries.lock_lane(queries, 0)
                    assert await deliveries.record(queries, 0, outcomes) == []
            items, _, _ = await engine.list_webhook_deliveries(ALL)

            def after(seconds: int) -> datetime:
                return clock.now + timedelta(seconds=seconds)

            shown = [
                (o.state, o.attempts, o.response_status, o.problem, o.successful_at, o.failed_at)
                for o in sorted(items, key=lambda o: o.delivery_id)
            ]
            assert shown == [
                ("delivered", 2, 200, None, clock.now, NOON),
                ("delivered", 2, 204, None, after(1), NOON),
                ("pending", 2, None, "was silent", None, after(2)),
                # After three failures it had been left alone.
                ("failed", 1, 410, "answered 410", None, after(3)),
            ]
            (waits,) = [o for o in items if o.state == "pending"]
            assert waits.next_attempt_at == after(11)

    tell(story())


def test_since_when_destinations_take_nothing_is_kept_of_each(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock, 1) as engine, receiving() as receiver:
            for path in ("/bad", "/good", "/worse"):
                await register(engine, receiver, path)
            receiver.answer = lambda one: 200 if one.path == "/good" else 500
            (ada,) = await customers(engine, 1)
            await reach(engine, clock, ada, 1)
            await engine.deliver_webhooks()
            found = await engine.list_webhook_destinations()
            assert [one.failing_since for one in found] == [NOON, None, NOON]
            receiver.answer = lambda one: 500 if one.path == "/worse" else 200
            clock.move(minutes=1)
            await engine.deliver_webhooks()
            found = await engine.list_webhook_destinations()
            assert [one.failing_since for one in found] == [None, None, NOON]

    tell(story())


def test_connected_accounts_are_heard_by_the_platform_where_it_asks(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            seller = (await engine.create_account(CreateAccount("Seller"))).id
            context = await engine.acting_for(seller, "test")
            url = receiver.url
            own = CreateDestination(f"{url}/own", ["*"])
            await engine.create_webhook_destination(own, context=context)
            everyone = CreateDestination(f"{url}/connect", ["*"], connect=True)
            connect = await engine.create_webhook_destination(everyone)
            await register(engine, receiver, "/platform", "*")
            refused = await refusal(engine.create_webhook_destination(everyone, context=context))
            assert refused.problem.kind.status == 403
            await engine.create_customer(CreateCustomer(name="Theirs"), context=context)
            await engine.test_webhook(LIMIT, account_id=seller)
            await engine.test_webhook(LIMIT, connect.id, seller)
            await engine.test_webhook(LIMIT)
            await engine.test_webhook(LIMIT, context=context)
            await engine.deliver_webhooks()
            found = [(o.path, o.event.get("account")) for o in receiver.arrived]
            assert sorted(found, key=str) == [
                ("/connect", seller),
                ("/connect", seller),
                ("/own", seller),
                ("/platform", None),
            ]

    tell(story())


def test_a_connected_account_made_later_is_heard_too(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            request = CreateDestination(f"{receiver.url}/", ["*"], connect=True)
            await engine.create_webhook_destination(request)
            await engine.deliver_webhooks()
            seller = (await engine.create_account(CreateAccount("Seller"))).id
            context = await engine.acting_for(seller, "test")
            product = {"name": "T", "code": "t", "publish": True, "prices": [usage_price("1")]}
            await engine.create_product(decode(CreateProduct, encode(product)), context=context)
            subscription = CreateSubscription([SubscribedProduct(code="t")])
            customer = CreateCustomer(name="Theirs", subscriptions=[subscription])
            await engine.create_customer(customer, context=context)
            await engine.deliver_webhooks()
            heard = {(e["type"], e["account"]) for e in receiver.events}
            assert heard == {(PRICE, seller), ("subscription.activated", seller)}
            assert len(receiver.events) == 2

    tell(story())


def test_another_default_version_is_told_in_order_to_all_who_want_it(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            await register(engine, receiver, "/a", PRICE)
            await register(engine, receiver, "/b", "*")
            await register(engine, receiver, "/c")
            off = await register(engine, receiver, "/off", PRICE)
            await switch(engine, off.id, enabled=False)
            live = engine.context_of("live")
            elsewhere = CreateDestination(f"{receiver.url}/live", [PRICE])
            await engine.create_webhook_destination(elsewhere, context=live)
            await make_version(engine, "3", is_default=False)
            for units in "456":
                await make_version(engine, units)
            # To say so again changes nothing, and is not told.
            await engine.update_version("tokens", 5, UpdateVersion(make_default=True))
            # The next one waits until the one before has arrived, whatever became of it.
            receiver.answer = lambda one: 500 if one.path == "/a" else 200
            await engine.deliver_webhooks()
            assert versions(receiver, "/a") == [(1, 3)]
            assert versions(receiver, "/b") == [(1, 3), (3, 4), (4, 5)]
            receiver.answer = lambda _: 200
            clock.move(seconds=6)
            await engine.deliver_webhooks()
            assert versions(receiver, "/a") == [(1, 3), (1, 3), (3, 4), (4, 5)]
            assert {one.path for one in receiver.arrived} == {"/a", "/b"}
            assert len({e["id"] for e in receiver.events if e["type"] == PRICE}) == 3
            assert {e["data"]["product_code"] for e in receiver.events} == {"tokens"}

    tell(story())


def test_prices_that_change_while_others_send_are_all_told_in_order(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock, 8) as engine, receiving() as receiver:
            await register(engine, receiver, "/", PRICE, LIMIT)
            receiver.answer = lambda _: 500 if len(receiver.arrived) % 5 == 4 else 200
            people = await customers(engine, 3)
            (hook,) = await engine.list_webhook_destinations()
            async with engine.working():
                for number in range(1, 9):
                    await asyncio.gather(
                        make_version(engine, str(number)),
                        *[reach(engine, clock, one, number) for one in people],
                        engine.rotate_webhook_secret(hook.id, RotateSecret()),
                    )
            receiver.answer = lambda _: 200
            clock.move(minutes=1)
            await engine.deliver_webhooks()
            heard = [version for _, version in versions(receiver)]
            assert list(dict.fromkeys(heard)) == list(range(2, 10))
            assert heard == sorted(heard)
            for limits in told(receiver, topic=LIMIT).values():
                assert list(dict.fromkeys(limits)) == list(range(1, 9))
            await assert_clean(engine)

    tell(story())


def test_the_first_version_is_told_once_however_often_it_is_asked_for(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url, Clock()) as engine, receiving() as receiver:
            await register(engine, receiver, "/", PRICE)
            body = {"name": "T", "code": "t", "publish": True, "prices": [usage_price("1")]}
            request = decode(CreateProduct, encode(body))
            for _ in range(2):
                await engine.create_product(request, idempotency_key="k")
            draft = {**body, "code": "d", "publish": False}
            await engine.create_product(decode(CreateProduct, encode(draft)))
            assert (await refusal(engine.create_product(request))).problem.kind.status == 409
            await engine.deliver_webhooks()
            assert versions(receiver) == [(None, 1)]

    tell(story())


def test_a_price_that_is_not_changed_after_all_is_not_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with open_shop(database_url, Clock()) as engine, receiving() as receiver:
            await register(engine, receiver, "/", PRICE)
            begun = engine._store.transaction

            @contextlib.asynccontextmanager
            async def lost() -> AsyncIterator[Queries]:
                async with begun() as queries:
                    yield queries
                    raise StoreUnavailable("the connection is lost")

            with monkeypatch.context() as patch:
                patch.setattr(engine._store, "transaction", lost)
                with pytest.raises(StoreUnavailable):
                    await make_version(engine, "2")
            await engine.deliver_webhooks()
            assert receiver.arrived == []
            async with other_connection(database_url) as store:
                assert await store.fetch("SELECT id FROM webhook_events") == []
            await make_version(engine, "2")
        # The change is what puts it on its way: whoever comes after sends it.
        async with Engine.open(database_url, clock=Clock(), webhook_allow="127.0.0.1") as engine:
            (destination,) = await engine.list_webhook_destinations()
            async with receiving() as receiver:
                moved = UpdateDestination(f"{receiver.url}/")
                await engine.update_webhook_destination(destination.id, moved)
                await engine.deliver_webhooks()
                assert versions(receiver) == [(1, 2)]

    tell(story())


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS])
def test_every_topic_can_be_tried(tmp_path: object, topic: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(f"sqlite:///{tmp_path}/f.db", clock) as engine, receiving() as there:
            made = await register(engine, there, "/", "*")
            await engine.test_webhook(topic)
            await engine.deliver_webhooks()
            (event,) = verify_all(there, made.secret, clock.now.timestamp())
            assert event.type == topic

    tell(story())


def test_what_cannot_be_registered_or_tried_is_refused_with_a_remedy(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url, Clock()) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            for request in (
                CreateDestination("https://10.0.0.1/"),
                CreateDestination("https://example.com/", ["no.such"]),
                CreateDestination("https://example.com/", []),
            ):
                error = await refusal(engine.create_webhook_destination(request))
                assert error.problem.kind.status == 422
            url = await refusal(
                engine.update_webhook_destination(made.id, UpdateDestination("https://[::1]/"))
            )
            assert "url" in url.problem.errors
            assert "topic" in (await refusal(engine.test_webhook("no.such"))).problem.errors
            await switch(engine, made.id, enabled=False)
            assert (await refusal(engine.test_webhook(LIMIT, made.id))).problem.kind.status == 409
            assert "topic" in (await refusal(engine.test_webhook(LIMIT))).problem.errors
            missing = await refusal(engine.redeliver_webhooks(made.id, Redeliver()))
            assert "event_id" in missing.problem.errors

    tell(story())


def test_what_is_old_is_taken_away_and_the_books_stay_whole(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            await register(engine, receiver)
            (ada,) = await customers(engine, 1)
            await reach(engine, clock, ada, 1, 2)
            await engine.deliver_webhooks()
            clock.move(days=pruning.KEEP_DAYS + 1)
            await reach(engine, clock, ada, 3)
            await engine.deliver_webhooks()
            async with other_connection(database_url) as store:
                now_us = int(clock.now.timestamp() * 1_000_000)
                async with store.transaction() as queries:
                    assert not await pruning.prune(queries, 0, now_us)
                kept = await store.fetch("SELECT count(*) FROM webhook_deliveries")
                events = await store.fetch("SELECT count(*) FROM webhook_events")
                outbox = await store.fetch("SELECT data FROM outbox ORDER BY seq")
            assert (kept[0][0], events[0][0]) == (1, 1)
            assert [bool(row[0]) for row in outbox][-1:] == [True]
            assert not any(row[0] for row in outbox[:-1])
            await assert_clean(engine)

    tell(story())


def test_at_random_every_event_arrives_in_order_whatever_receivers_do(database_url: str) -> None:
    async def story() -> None:
        clock, luck = Clock(), random.Random(7)
        async with open_shop(database_url, clock, 8) as engine, receiving() as receiver:
            for path in ("/a", "/b"):
                await register(engine, receiver, path)
            people = await customers(engine, 4)
            receiver.answer = lambda _: luck.choice((200, 200, 500, 302))
            todo = [(one, n) for n in range(1, 9) for one in people]
            while todo:
                for customer_id, number in todo[:3]:
                    await reach(engine, clock, customer_id, number)
                del todo[:3]
                await engine.deliver_webhooks()
                clock.move(seconds=luck.choice((1, 40, 400)))
            receiver.answer = lambda _: 200
            clock.move(hours=12)
            await engine.deliver_webhooks()
            for path in ("/a", "/b"):
                for heard in told(receiver, path).values():
                    once = list(dict.fromkeys(heard))
                    assert once == list(range(1, 9))
                    # A repeat comes before anything newer.
                    assert heard == sorted(heard)
            items, _, _ = await engine.list_webhook_deliveries(ALL)
            assert {one.state for one in items} == {"delivered"}

    tell(story())


def test_two_processes_fan_out_once(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            await register(engine, receiver)
            (ada,) = await customers(engine, 1)
            async with Engine.open(
                database_url, clock=clock, serves=False, webhook_allow="127.0.0.1"
            ) as other:
                await reach(engine, clock, ada, 1, 2, 3)
                await asyncio.gather(engine.deliver_webhooks(), other.deliver_webhooks())
                # The other one does not serve the lane, but what it registers is heard of.
                second = CreateDestination(f"{receiver.url}/second", [LIMIT])
                await other.create_webhook_destination(second)
                await reach(engine, clock, ada, 4)
                await engine.deliver_webhooks()
            assert told(receiver) == {ada: [1, 2, 3, 4]}
            assert told(receiver, "/second") == {ada: [4]}

    tell(story())


def test_delays_grow_for_three_days_and_no_longer() -> None:
    delays = [next_delay_us(n, 0) for n in range(1, len(DELAYS) + 2)]
    assert delays[-1] is None
    known = [delay for delay in delays if delay is not None]
    assert known[:-1] == sorted(known[:-1])
    assert GIVE_UP_SECONDS <= sum(known) / 1_000_000 <= GIVE_UP_SECONDS + 3 * 3600
    assert next_delay_us(1, 1) == 5_500_000


def test_a_list_goes_both_ways_by_its_cursors(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            for _ in range(5):
                await engine.test_webhook(LIMIT, made.id)
            everything, _, _ = await engine.list_webhook_deliveries(ALL)
            names = [one.delivery_id for one in everything]
            page, older, newer = await engine.list_webhook_deliveries(Asked(2))
            assert ([o.delivery_id for o in page], older, newer) == (names[:2], True, False)
            page, older, newer = await engine.list_webhook_deliveries(Asked(2, after=names[1]))
            assert ([o.delivery_id for o in page], older, newer) == (names[2:4], True, True)
            page, older, newer = await engine.list_webhook_deliveries(Asked(2, after=names[3]))
            assert ([o.delivery_id for o in page], older, newer) == (names[4:], False, True)
            page, older, newer = await engine.list_webhook_deliveries(Asked(2, before=names[2]))
            assert ([o.delivery_id for o in page], older, newer) == (names[:2], True, False)

    tell(story())


def test_a_body_that_was_changed_or_repeated_is_refused(database_url: str) -> None:
    async def story() -> Arrived:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            await engine.test_webhook(LIMIT, made.id)
            await engine.deliver_webhooks()
            one, now = receiver.arrived[0], clock.now.timestamp()
            for body, when, why in (
                (one.body.replace(b"100", b"900"), now, "no signature fits"),
                (one.body, now + 301, "301 seconds ago"),
                (one.body, now - 301, "301 seconds from now"),
            ):
                with pytest.raises(InvalidWebhook, match=why):
                    verify_webhook(body, one.headers, made.secret, now=when)
            return one

    tell(story())


def test_rows_are_ready_one_per_customer_and_destination(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            receiver.answer = lambda _: 500
            (ada,) = await customers(engine, 1)
            await reach(engine, clock, ada, 1, 2, 3)
            await engine.deliver_webhooks()
            async with other_connection(database_url) as store:
                states = await store.fetch(
                    "SELECT state, count(*) FROM webhook_deliveries GROUP BY state ORDER BY state"
                )
                assert [tuple(row) for row in states] == [("ready", 1), ("waiting", 2)]
                # To note an outcome twice changes nothing.
                now_us = int(clock.now.timestamp() * 1_000_000)
                (head,) = await deliveries.ready_for(store, 0, made.id, now_us + 10**7, 10)
                outcome = deliveries.Outcome(head, now_us, 200)
                moved = []
                for _ in range(2):
                    async with store.transaction() as queries:
                        await deliveries.lock_lane(queries, 0)
                        moved += await deliveries.record(queries, 0, [outcome])
                # What follows is told once, with all that is needed to send it.
                (follows,) = moved
                assert moved == await deliveries.ready_for(store, 0, made.id, now_us + 10**7, 10)
                assert decode(dict[str, Any], follows.body)["id"] == follows.event_id
                states = await store.fetch(
                    "SELECT state, count(*) FROM webhook_deliveries GROUP BY state ORDER BY state"
                )
                found = [tuple(row) for row in states]
                assert found == [("delivered", 1), ("ready", 1), ("waiting", 1)]

    tell(story())
