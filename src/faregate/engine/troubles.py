"""What went wrong lately and still is wrong: payments that failed, auto top-ups that have stopped,
subscriptions that wait for somebody, webhooks that are turned off. What was told of it is looked at
again before it is shown: what has been mended meanwhile is no trouble any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from faregate.core.codec import decode
from faregate.core.collecting import CollectingNotice
from faregate.core.dunning import SubscriptionNotice
from faregate.core.instants import to_us
from faregate.core.problems import FaregateError
from faregate.customers import directory
from faregate.engine.collecting import CollectingOperations
from faregate.engine.subscriptions import SubscriptionOperations
from faregate.engine.webhooks import WebhookOperations
from faregate.insights.overview import Attention, AttentionKind, Subject
from faregate.ledger import troubles
from faregate.payments import records
from faregate.platform.environments import AccountContext

LATELY: Final = timedelta(days=30)
FAILED_WITHIN: Final = timedelta(days=7)
LOOKED_AT: Final = 20
"""How many that were told of are looked at again; of them no more than `SHOWN` are shown."""
SHOWN: Final = 5


class TroubleOperations(WebhookOperations, SubscriptionOperations, CollectingOperations):
    """What is wrong."""

    async def _failed_payments_lately(self, environment: int, now: datetime) -> Attention | None:
        """Say which payments failed in the last week."""
        since = now - FAILED_WITHIN
        count = await records.count_failed(self._store, environment, since)
        if not count:
            return None
        newest = await records.list_failed(self._store, environment, since, SHOWN)
        names = await self._customer_names(environment, [one.customer_id for one in newest])
        subjects = [
            Subject(
                "customer",
                one.customer_id,
                names.get(one.customer_id, one.customer_id),
                one.problem or "the payment failed",
            )
            for one in newest
        ]
        word = "payment has" if count == 1 else "payments have"
        sentence = f"{count:,} {word} failed in the last 7 days."
        return Attention("payments_failed", count, sentence, subjects)

    async def _stopped_auto_top_ups(
        self, environment: int, now: datetime, context: AccountContext | None
    ) -> Attention | None:
        """Say whose auto top-ups have stopped by themselves."""
        told = await troubles.told_lately(
            self._store, environment, ("auto_top_up.disabled",), to_us(now - LATELY)
        )
        notices = {one.customer_id: decode(CollectingNotice, one.data) for one in reversed(told)}
        found: list[Subject] = []
        for customer_id, notice in list(notices.items())[-LOOKED_AT:]:
            try:
                state = await self.get_auto_top_up(customer_id, notice.account_id, context=context)
            except FaregateError:
                continue
            if state.disabled_because is not None:
                found.append(Subject("customer", customer_id, customer_id, state.disabled_because))
        word = "auto top-up has" if len(found) == 1 else "auto top-ups have"
        sentence = f"{len(found)} {word} stopped: the card did not pay three times in a row."
        return await self._attention_to(environment, "auto_top_ups_stopped", sentence, found)

    async def _required_actions(
        self, environment: int, now: datetime, context: AccountContext | None
    ) -> Attention | None:
        """Say whose subscriptions wait until somebody pays or leaves another card."""
        topics = ("subscription.action_required", "subscription.payment_failed")
        told = await troubles.told_lately(self._store, environment, topics, to_us(now - LATELY))
        notices = [decode(SubscriptionNotice, one.data) for one in told]
        waiting = dict.fromkeys((one.customer_id, one.subscription_id) for one in notices)
        found: list[Subject] = []
        for customer_id, subscription_id in list(waiting)[:LOOKED_AT]:
            try:
                shown = await self.get_subscription(customer_id, subscription_id, context=context)
            except FaregateError:
                continue
            if shown.required_actions or shown.overdue is not None:
                note = "waits for a payment" if shown.overdue is None else "a renewal is overdue"
                found.append(Subject("customer", customer_id, customer_id, note))
        word = "subscription waits" if len(found) == 1 else "subscriptions wait"
        sentence = f"{len(found)} {word} for a customer to pay or to leave another card."
        return await self._attention_to(environment, "actions_required", sentence, found)

    async def _disabled_webhooks(self, context: AccountContext | None) -> Attention | None:
        """Say which webhook destinations get nothing."""
        found = await self.list_webhook_destinations(enabled=False, context=context)
        if not found:
            return None
        subjects = [
            Subject("webhook", one.id, one.url, one.disabled_reason or "turned off by hand")
            for one in found[:SHOWN]
        ]
        word = "webhook destination is" if len(found) == 1 else "webhook destinations are"
        sentence = f"{len(found)} {word} turned off, and told nothing."
        return Attention("webhooks_disabled", len(found), sentence, subjects)

    async def _attention_to(
        self, environment: int, kind: AttentionKind, sentence: str, found: Sequence[Subject]
    ) -> Attention | None:
        """Give the customers their names; None if there are none."""
        if not found:
            return None
        shown = found[:SHOWN]
        names = await self._customer_names(environment, [one.id for one in shown])
        subjects = [Subject(one.kind, one.id, names.get(one.id, one.id), one.note) for one in shown]
        return Attention(kind, len(found), sentence, subjects)

    async def _customer_names(self, environment: int, ids: Sequence[str]) -> dict[str, str]:
        found = await directory.names(self._store, environment, list(dict.fromkeys(ids)))
        return {customer_id: name for customer_id, (name, _) in found.items()}
