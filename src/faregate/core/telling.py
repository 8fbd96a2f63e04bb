"""What others are told of a wallet, found by comparing a customer before and after a command: each
thing once, in the commit in which it happens, whoever or whatever has brought it about.

An account has a *level*, by what is left of it, held amounts included: what a hold has set aside is
not used yet, so opening and closing holds tells nothing. Nothing left is `depleted`, less than the
threshold is `low`, else it is `well`. Each fall is told once, and again only after it was
recovered; one that passes both marks at once tells both. An account that never had anything is
`fresh`, and not depleted.

Grants are announced some time before they expire, if they were made earlier than that: the account
remembers up to which expiry this was done (`accounts.Watch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from msgspec import structs

from faregate.core.accounts import BREAKAGE, Account, Level, Transfer, Watch
from faregate.core.amounts import FIAT_SCALE, to_decimal
from faregate.core.conversion import worth
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.customers import CustomerState, first_of
from faregate.core.decision import Decision, Known
from faregate.core.events import Fee, UsageEvent
from faregate.core.grants import Grant
from faregate.core.holds import Hold
from faregate.core.limiting import Notice
from faregate.core.subscriptions import CatalogView
from faregate.core.topics import (
    BalanceNotice,
    Because,
    GrantCreated,
    GrantExpired,
    GrantExpiring,
    HoldExpired,
    MarginNegative,
)

WELL: Final = Watch("well")
"""What nearly all accounts remember, one object for all."""


class Telling:
    """What is to be told of a command. `accounts` are those that remember something new for it."""

    __slots__ = ("_before", "_catalog", "_now", "accounts", "notices")

    def __init__(self, before: CustomerState, catalog: CatalogView, now: datetime) -> None:
        self._before = before
        self._catalog = catalog
        self._now = now
        self.notices: list[Notice] = []
        self.accounts: dict[str, Account] = {}

    def _scale(self, asset: str) -> int:
        return self._catalog.assets[asset].scale

    # -- grants -------------------------------------------------------------------------------

    def made(self, grants: Iterable[tuple[str, Grant]]) -> None:
        """Tell of new grants."""
        for account_id, grant in grants:
            asset = account_id.rpartition(":")[2]
            terms = grant.terms
            told = GrantCreated(
                self._before.customer_id,
                account_id,
                asset,
                grant.id,
                grant.purpose,
                to_decimal(grant.amount_units, self._scale(asset)),
                grant.effective_at,
                grant.created_at,
                grant.expires_at,
                None if terms is None else terms.subscription_id,
                None if terms is None else terms.entitlement_id,
                None if terms is None else terms.instead_of,
            )
            self.notices.append(Notice("grant.created", told))

    def broken(
        self,
        transfers: Iterable[Transfer],
        grants: Mapping[str, tuple[str, Grant]],
        holds: Mapping[str, Hold],
    ) -> None:
        """Tell of what breaks, a notice for each transfer. `grants` and `holds` are those that the
        command has changed."""
        for transfer in transfers:
            if transfer.to_account != BREAKAGE:
                continue
            source = transfer.from_account
            because: Because = "expired"
            hold_id: str | None = None
            if source in grants:
                account_id, grant = grants[source]
                if grant.expires_at is None or grant.expires_at > transfer.at:
                    because = "rollover_cap"
            elif source in holds:
                account_id, hold_id, because = holds[source].account_id, source, "returned_late"
            else:
                # A won dispute has given the seller again what had expired, and was told of then.
                continue
            told = GrantExpired(
                self._before.customer_id,
                account_id,
                transfer.asset,
                transfer.reference,
                to_decimal(transfer.units, self._scale(transfer.asset)),
                because,
                transfer.at,
                hold_id,
            )
            self.notices.append(Notice("grant.expired", told))

    def expiring(self, accounts: Iterable[Account]) -> None:
        """Announce grants that expire soon and have something left, each once."""
        before = self._catalog.expiring_before
        if not before:
            return
        until = self._now + before
        for account in accounts:
            told_to = account.watch.announced_to
            found = [
                grant
                for grant in (*account.grants, *account.scheduled)
                if grant.expires_at is not None
                and grant.expires_at <= until
                and (told_to is None or grant.expires_at > told_to)
                and grant.created_at < grant.expires_at - before
            ]
            for grant in found:
                told = GrantExpiring(
                    self._before.customer_id,
                    account.id,
                    account.asset,
                    grant.id,
                    grant.purpose,
                    to_decimal(grant.remaining_units, self._scale(account.asset)),
                    grant.expires_at or until,
                    self._now,
                )
                self.notices.append(Notice("grant.expiring", told))
            if found:
                self._remember(account, structs.replace(account.watch, announced_to=until))

    # -- holds --------------------------------------------------------------------------------

    def expired(self, holds: Iterable[Hold]) -> None:
        """Tell of those of the changed holds that were open before and have expired."""
        for hold in holds:
            if hold.status != "expired" or self._before.open_hold(hold.id) is None:
                continue
            asset = hold.account_id.rpartition(":")[2]
            scale = self._scale(asset)
            told = HoldExpired(
                self._before.customer_id,
                hold.id,
                hold.transaction_id,
                hold.account_id,
                asset,
                to_decimal(hold.amount_units, scale),
                to_decimal(hold.captured_units, scale),
                hold.created_at,
                hold.settled_at or hold.expires_at,
                hold.subject,
                hold.parent_id,
            )
            self.notices.append(Notice("hold.expired", told))

    # -- levels -------------------------------------------------------------------------------

    def levels(self, accounts: Mapping[str, Account]) -> None:
        """Tell which accounts have fallen low, are depleted, or have recovered."""
        before, thresholds = self._before.accounts, self._catalog.low_units
        for identifier, account in accounts.items():
            if before.get(identifier) is account:
                continue
            level = _level(account, thresholds)
            watch = account.watch
            if level != watch.level:
                self._tell_level(account, watch.level, level, threshold_of(account, thresholds))
                remembered = self.accounts.get(identifier, account)
                self._remember(remembered, structs.replace(remembered.watch, level=level))
            if _is_own_news(account):
                self._tell_own(self.accounts.get(identifier, account))

    def _tell_own(self, account: Account) -> None:
        """Tell that an account has fallen below what its customer has chosen; that it is above it
        again, nobody is told."""
        watch, scale = account.watch, self._scale(account.asset)
        is_low = not watch.is_own_low
        if is_low:
            told = BalanceNotice(
                self._before.customer_id,
                account.id,
                account.asset,
                to_decimal(account.available_units, scale),
                to_decimal(account.pending_out_units, scale),
                is_low=True,
                is_depleted=watch.level == "depleted",
                at=self._now,
                threshold=to_decimal(watch.own_units or 0, scale),
                set_by="customer",
            )
            self.notices.append(Notice("wallet.balance_low", told))
        self._remember(account, structs.replace(watch, is_own_low=is_low))

    def _tell_level(self, account: Account, was: Level, level: Level, low: int) -> None:
        topics = []
        if was in ("fresh", "well"):
            if level == "low" or (level == "depleted" and low):
                topics.append("balance_low")
        elif was == "depleted" or level == "well":
            topics.append("recovered")
        if level == "depleted":
            topics.append("depleted")
        scale = self._scale(account.asset)
        for topic in topics:
            told = BalanceNotice(
                self._before.customer_id,
                account.id,
                account.asset,
                to_decimal(account.available_units, scale),
                to_decimal(account.pending_out_units, scale),
                level == "low",
                level == "depleted",
                self._now,
                to_decimal(low, scale) if low else None,
            )
            self.notices.append(Notice(f"wallet.{topic}", told))

    def _remember(self, account: Account, watch: Watch) -> None:
        watch = WELL if watch == WELL else watch
        self.accounts[account.id] = structs.replace(account, watch=watch)

    # -- margins ------------------------------------------------------------------------------

    def margin(self, event: UsageEvent, fees: Sequence[Fee]) -> bool:
        """Tell if an event costs more than it earns, in the currency of its first cost at the rates
        of when it occurred. Returns whether it does; what no rate converts is not known."""
        costs = event.costs or ()
        if not costs:
            return False
        currency = costs[0].currency or DEFAULT_COST_CURRENCY
        spent, earned = Fraction(0), Fraction(0)
        rates, at = self._catalog.rates, event.occurred_at
        for cost in costs:
            rate = worth(rates, cost.currency or DEFAULT_COST_CURRENCY, currency, at)
            if rate is None:
                return False
            spent += Fraction(cost.amount) * rate
        for fee in fees:
            rate = worth(rates, fee.asset, currency, at)
            if rate is None and fee.units:
                return False
            earned += Fraction(fee.units, 10 ** self._scale(fee.asset)) * (rate or 0)
        if spent <= earned:
            return False
        # `round` is half-even.
        fees_units, costs_units = round(earned * 10**FIAT_SCALE), round(spent * 10**FIAT_SCALE)
        told = MarginNegative(
            self._before.customer_id,
            event.id,
            event.event_type,
            currency,
            to_decimal(fees_units, FIAT_SCALE),
            to_decimal(costs_units, FIAT_SCALE),
            at,
            event.subject,
        )
        self.notices.append(Notice("margin.negative", told))
        return True


def threshold_of(account: Account, thresholds: Mapping[str, int]) -> int:
    """Return below how many units an account is low: as it says itself, or as its asset says."""
    low = account.watch.low_units
    if low is None:
        return thresholds.get(account.asset, 0) if thresholds else 0
    return low


def _level(account: Account, thresholds: Mapping[str, int]) -> Level:
    # `Account.left_units`, spelled out: it runs for every charge.
    left = account.available_units + account.pending_out_units
    if left <= 0:
        return "fresh" if account.watch.level == "fresh" else "depleted"
    return "low" if left < threshold_of(account, thresholds) else "well"


def _is_own_news(account: Account) -> bool:
    """Tell whether an account has fallen below what its customer has chosen, or risen above it,
    since that was noted. One that never had anything has not fallen."""
    watch = account.watch
    if watch.own_units is None:
        return False
    left = account.available_units + account.pending_out_units
    is_low = left < watch.own_units and (watch.level != "fresh" or left > 0)
    return is_low != watch.is_own_low


def has_new_level(
    before: Mapping[str, Account], after: Mapping[str, Account], thresholds: Mapping[str, int]
) -> bool:
    """Tell whether the level of an account that has changed is another one than was told."""
    for identifier, account in after.items():
        if before.get(identifier) is account:
            continue
        if account.watch is WELL and account.available_units > 0 and not thresholds:
            # Nearly always.
            continue
        if _level(account, thresholds) != account.watch.level:
            return True
        if account.watch.own_units is not None and _is_own_news(account):
            return True
    return False


def credit_due_at(
    accounts: Iterable[Account], now: datetime, before: timedelta | None
) -> datetime | None:
    """Return when grants bring something next after `now`: one begins, is announced (`before` it
    expires; None: never), or expires. None: nothing ever does."""
    instants: list[datetime] = []
    for account in accounts:
        if account.scheduled:
            instants.append(account.scheduled[0].effective_at)
        for grant in (*account.grants, *account.scheduled):
            if grant.expires_at is None:
                continue
            announced_at = grant.expires_at - before if before else grant.expires_at
            instants.append(announced_at if announced_at > now else grant.expires_at)
    return min(instants, default=None)


def has_news(before: CustomerState, decision: Decision, catalog: CatalogView) -> bool:
    """Tell whether there may be anything to tell. This runs for every charge, nearly always in
    vain. (Credit breaks when it is due, with a subscription, or out of a hold.)"""
    if decision.made or decision.revived or decision.subscriptions or decision.outcomes:
        return True
    for booked in decision.events:
        if booked.event.costs:
            return True
    if decision.holds:
        for hold in decision.holds.values():
            if hold.status == "expired":
                return True
        for transfer in decision.transfers:
            if transfer.to_account == BREAKAGE:
                return True
    return has_new_level(before.accounts, decision.state.accounts, catalog.low_units)


def with_news(
    before: CustomerState,
    known: Known,
    decision: Decision,
    catalog: CatalogView,
    now: datetime,
    *,
    is_credit_due: bool,
) -> Decision:
    """Add to a decision what others are told of it, and when grants bring something next."""
    state, rules = decision.state, decision.rules
    telling = Telling(before, catalog, now)
    if decision.transfers:
        telling.broken(decision.transfers, decision.grants, decision.holds)
    if decision.holds:
        telling.expired(decision.holds.values())
    if decision.made:
        telling.made(decision.made)
    if is_credit_due:
        telling.expiring(state.accounts.values())
    telling.levels(state.accounts)
    if _tells_margin(telling, decision, known, now):
        rules = structs.replace(state.rules, margin_told_on=now.date())
    due_at = state.credit_due_at
    if is_credit_due or decision.made or decision.revived:
        due_at = credit_due_at(state.accounts.values(), now, catalog.expiring_before)
        if not is_credit_due:
            # What is due has only come nearer: a row is written for nothing else.
            due_at = first_of(due_at, state.credit_due_at)
    is_moved = due_at != state.credit_due_at
    if not (telling.notices or telling.accounts or is_moved):
        return decision
    accounts = telling.accounts
    return structs.replace(
        decision,
        state=structs.replace(
            state,
            accounts={**state.accounts, **accounts} if accounts else state.accounts,
            rules=rules or state.rules,
            credit_due_at=due_at,
        ),
        accounts={**decision.accounts, **accounts} if accounts else decision.accounts,
        notices=decision.notices + telling.notices,
        rules=rules,
        is_due_moved=is_moved or decision.is_due_moved,
    )


def _tells_margin(telling: Telling, decision: Decision, known: Known, now: datetime) -> bool:
    """Tell the first event of the customer's day that costs more than it earns."""
    if not (decision.events or decision.outcomes):
        return False
    if decision.state.rules.margin_told_on == now.date():
        return False
    for booked in decision.events:
        event = booked.event
        # What is pending may still earn something.
        if event.costs and event.outcome is None and telling.margin(event, booked.result.fees):
            return True
    for event_id, outcome in decision.outcomes.items():
        fees = [charged.fee for charged in outcome.fees]
        if telling.margin(known.events[event_id].event, fees):
            return True
    return False
