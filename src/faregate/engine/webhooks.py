"""Operations on webhooks: where they go, what was sent, and sending it again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from faregate.core.codec import checked
from faregate.core.instants import to_us
from faregate.core.problems import FaregateError, conflict, invalid
from faregate.core.topics import BY_NAME, Topic
from faregate.engine.accounts import AccountOperations
from faregate.engine.base import Key, place_of
from faregate.platform.environments import AccountContext
from faregate.webhooks import deliveries, destinations, fanning, pruning
from faregate.webhooks.addresses import check_url
from faregate.webhooks.destinations import Destination
from faregate.webhooks.signing import make_secret
from faregate.webhooks.types import (
    Asked,
    CreateDestination,
    DestinationCreated,
    ListedDestination,
    Redeliver,
    Redelivering,
    RotateSecret,
    ShownDelivery,
    ShownDestination,
    TestSent,
    UpdateDestination,
)

_SECRET_BITS = 256


class WebhookOperations(AccountOperations):
    """Webhook destinations and deliveries."""

    async def create_webhook_destination(
        self,
        request: CreateDestination,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> DestinationCreated:
        """Register a URL. Raises 403 if a connected account wants to hear of others, 409 if there
        are too many, 422."""
        request = checked(request)
        if request.connect:
            self._needs_platform(context)
        check_url(request.url, self._poster.allowed)
        environment, secret = (
            self._environment(context),
            make_secret(secrets.randbits(_SECRET_BITS)),
        )
        async with self._store.transaction() as transaction:
            made = await self._once(
                Key("webhooks", idempotency_key, environment),
                transaction,
                request,
                DestinationCreated,
                lambda: destinations.insert(
                    transaction, environment, request, secret, self._ticked(), self._clock()
                ),
            )
        self._sender.wake()
        return made

    async def list_webhook_destinations(
        self,
        *,
        enabled: bool | None = None,
        connect: bool | None = None,
        context: AccountContext | None = None,
    ) -> list[ListedDestination]:
        """List destinations, the oldest first; they are bounded in number."""
        found = await destinations.of_environment(self._store, self._environment(context))
        return [
            d.listed()
            for d in found
            if enabled in (None, d.enabled) and connect in (None, d.connect)
        ]

    async def get_webhook_destination(
        self, destination_id: str, *, context: AccountContext | None = None
    ) -> ShownDestination:
        """Return a destination with its secret. Raises 404."""
        found = await destinations.find(self._store, self._environment(context), destination_id)
        return found.shown(self._clock())

    async def update_webhook_destination(
        self,
        destination_id: str,
        request: UpdateDestination,
        *,
        context: AccountContext | None = None,
    ) -> ShownDestination:
        """Change a destination. Raises 404, 422."""
        request = checked(request)
        if request.url is not None:
            check_url(request.url, self._poster.allowed)
        environment = self._environment(context)
        async with self._store.transaction() as transaction:
            await destinations.lock(transaction)
            found = await destinations.find(transaction, environment, destination_id)
            await destinations.update(transaction, found, request, self._clock())
        self._sender.wake()
        return await self.get_webhook_destination(destination_id, context=context)

    async def delete_webhook_destination(
        self, destination_id: str, *, context: AccountContext | None = None
    ) -> None:
        """Take a destination away, with what was on its way to it. Raises 404."""
        async with self._store.transaction() as transaction:
            await destinations.lock(transaction)
            environment = self._environment(context)
            found = await destinations.find(transaction, environment, destination_id)
            await destinations.delete(transaction, found)
        self._sender.wake()

    async def rotate_webhook_secret(
        self, destination_id: str, request: RotateSecret, *, context: AccountContext | None = None
    ) -> ShownDestination:
        """Give a destination a new secret. Raises 404, 422."""
        request = checked(request)
        secret = make_secret(secrets.randbits(_SECRET_BITS))
        async with self._store.transaction() as transaction:
            await destinations.lock(transaction)
            environment = self._environment(context)
            found = await destinations.find(transaction, environment, destination_id)
            await destinations.rotate(transaction, found, request, secret, self._clock())
        self._sender.wake()
        return await self.get_webhook_destination(destination_id, context=context)

    async def test_webhook(
        self,
        topic: str,
        destination_id: str | None = None,
        account_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> TestSent:
        """Send a sample of a topic to one destination, whatever topics it has, or to all that want
        it; with `account_id` as if it had happened in that connected account. Raises 403, 404,
        409, 422."""
        sample = _topic(topic).sample
        own = context or self.context
        told = own
        if account_id is not None:
            self._needs_platform(context)
            told = await self.acting_for(account_id, own.environment)
        place = place_of(told)
        is_connected = account_id is not None
        async with self._store.transaction() as transaction:
            await destinations.lock(transaction)
            if destination_id is not None:
                one = await destinations.find(transaction, own.environment_id, destination_id)
                hearing = _tested(one, is_connected=is_connected)
            else:
                all_there = await destinations.of_environment(transaction, own.environment_id)
                hearing = _all_tested(all_there, topic, is_connected=is_connected)
            event_id = await fanning.tell(
                transaction, hearing, topic, sample, place, self._ticked(), self._clock()
            )
        self._sender.wake()
        return TestSent(event_id)

    async def list_webhook_deliveries(
        self, asked: Asked, *, context: AccountContext | None = None
    ) -> tuple[list[ShownDelivery], bool, bool]:
        """Return a page of deliveries, the newest first, and whether there are older and newer."""
        environment = self._environment(context)
        return await deliveries.list_deliveries(self._store, environment, asked)

    async def redeliver_webhooks(
        self, destination_id: str, request: Redeliver, *, context: AccountContext | None = None
    ) -> Redelivering:
        """Send a destination again what it was sent. Raises 404, 422."""
        request = checked(request)
        if request.event_id is None and request.time_gte is None:
            raise FaregateError(invalid("event_id", "is missing: name an event, or time_gte"))
        async with self._store.transaction() as transaction:
            await destinations.lock(transaction)
            environment = self._environment(context)
            await destinations.find(transaction, environment, destination_id)
            count = await deliveries.redeliver(
                transaction, destination_id, request, self._ticked(), self._clock()
            )
        self._sender.wake()
        return Redelivering(count)

    async def deliver_webhooks(self) -> int:
        """Send every webhook that is due now, in the lanes that this process serves; returns how
        many were tried."""
        return await self._sender.drain()

    async def prune_webhooks(self) -> None:
        """Take away what is not kept any longer, in the lanes that this process serves. Whoever
        is `working` does it by itself."""
        for lane in self._lanes:
            is_more = lane.has_lease
            while is_more:
                async with self._store.transaction() as transaction:
                    now_us = to_us(self._clock())
                    is_more = await pruning.prune(transaction, lane.number, now_us)

    async def has_webhooks_due(self) -> bool:
        """Tell whether a webhook is due, or something is told that has not been fanned out."""
        return await deliveries.is_any_due(self._store, to_us(self._clock()))


def _topic(name: str) -> Topic:
    if name not in BY_NAME:
        raise FaregateError(invalid("topic", f"is {name[:100]!r}: there are {', '.join(BY_NAME)}"))
    return BY_NAME[name]


def _tested(one: Destination, *, is_connected: bool) -> Sequence[Destination]:
    if not one.enabled:
        detail = f"{one.id} is disabled ({one.disabled_reason}): enable it first"
        raise FaregateError(conflict("webhook_id", detail))
    if one.connect != is_connected:
        where = "of connected accounts: name one" if one.connect else "of its own account alone"
        raise FaregateError(conflict("webhook_id", f"{one.id} hears {where}"))
    return [one]


def _all_tested(
    found: Sequence[Destination], topic: str, *, is_connected: bool
) -> Sequence[Destination]:
    hearing = [d for d in found if d.enabled and d.connect == is_connected and d.wants(topic)]
    if not hearing:
        message = f"{topic} is wanted by no enabled destination: register one first"
        raise FaregateError(invalid("topic", message))
    return hearing
