"""The page `overview`: what is left of each account, in words as well; what was used, by day and by
whom; and the latest uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import msgspec
from starlette.responses import Response

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.grants import Grant
from faregate.core.uses_left import UsesLeft
from faregate.customers.types import ShownGrant, ShownSubscription, WalletAccount
from faregate.engine.own_use import CustomerUse
from faregate.payments.types import AutoTopUpState
from faregate.web.portal.bars import Bars, draw
from faregate.web.portal.payment import auto_top_up_of
from faregate.web.portal.uses import list_uses
from faregate.web.portal.visit import PortalPage, PortalVisit

SPANS: Final = (7, 30, 90)
LATEST: Final = 6
SOON: Final = timedelta(days=14)
"""Credit that expires within this time is spoken of."""
MAX_GRANTS: Final = 100

State = Literal["fine", "low", "empty", "owed"]


class AccountCard(msgspec.Struct, frozen=True):
    """An account as it is shown. `expiring` is what expires next, soon, and when."""

    id: str
    name: str
    asset: Asset
    available: Decimal
    held: Decimal
    state: State
    left: list[UsesLeft]
    expiring: tuple[Decimal, datetime] | None
    auto: AutoTopUpState | None


class SpentPart(msgspec.Struct, frozen=True):
    """What one subject has used, and which part of all that is (0 to 100)."""

    name: str | None
    events: int
    amount: Decimal
    percent: int


class UseChart(msgspec.Struct, frozen=True):
    """What was used in an asset: by day as bars, and by subject."""

    asset: Asset
    total: Decimal
    bars: Bars
    subjects: list[SpentPart]


async def show(visit: PortalVisit) -> Response:
    """Show the overview."""
    engine, me, context = visit.engine, visit.customer_id, visit.context
    days = next((span for span in SPANS if str(span) == visit.query.get("days")), 30)
    today = visit.now.astimezone(visit.zone).date()
    usage = await engine.customer_usage(
        me, today - timedelta(days=days - 1), today, context=context
    )
    subscriptions = await engine.list_subscriptions(me, context=context)
    uses, _ = await list_uses(visit, LATEST, 0)
    return visit.render(
        "home.html",
        section="",
        title=visit.t("Overview"),
        cards=await _cards(visit),
        can_pay=bool(engine.payment_providers(context)),
        to_do=[one for one in subscriptions if one.required_actions or one.overdue],
        names=_names(visit, subscriptions),
        days=days,
        spans=SPANS,
        charts=_charts(visit, usage),
        usage=usage,
        uses=uses,
        zero=Decimal(0),
    )


async def _cards(visit: PortalVisit) -> list[AccountCard]:
    engine, me, context = visit.engine, visit.customer_id, visit.context
    wallet = await engine.get_wallet(me, context=context)
    left = await engine.uses_left(me, context=context)
    alerts = {one.account_id: one for one in await engine.list_own_alerts(me, context=context)}
    view = engine.catalog_view(context)
    cards = []
    # Money first, then credits.
    for account in sorted(wallet.accounts, key=lambda a: not view.assets[a.asset].is_currency):
        asset = view.assets[account.asset]
        is_low = alerts[account.id].is_low or _is_below(account, view.low_units, asset)
        cards.append(
            AccountCard(
                account.id,
                "" if account.name == "default" else account.name,
                asset,
                account.available,
                account.pending_out,
                _state(account.available, is_low=is_low),
                left.get(account.id, []),
                await _expiring(visit, account.id),
                await auto_top_up_of(visit, account.id),
            )
        )
    return cards


def _is_below(account: WalletAccount, low_units: Mapping[str, int], asset: Asset) -> bool:
    """Tell whether an account is below what its seller calls low."""
    least = account.low_balance_threshold
    if least is None:
        least = to_decimal(low_units.get(asset.code, 0), asset.scale)
    return account.available + account.pending_out < least


def _state(available: Decimal, *, is_low: bool) -> State:
    if available < 0:
        return "owed"
    if available == 0:
        return "empty"
    return "low" if is_low else "fine"


async def _expiring(visit: PortalVisit, account: str) -> tuple[Decimal, datetime] | None:
    """Return what of an account expires next, if that is soon."""

    def is_soon(grant: Grant, now: datetime) -> bool:
        ends = grant.expires_at
        return ends is not None and now < ends <= now + SOON and grant.remaining_units > 0

    found = await visit.engine.list_grants(
        visit.customer_id, account, MAX_GRANTS, 0, is_soon, context=visit.context
    )
    grants: list[ShownGrant] = found.items
    ends = [grant.expires_at for grant in grants if grant.expires_at is not None]
    if not ends:
        return None
    first = min(ends).astimezone(visit.zone).date()
    same = [
        grant
        for grant in grants
        if grant.expires_at is not None and grant.expires_at.astimezone(visit.zone).date() == first
    ]
    return sum((grant.available for grant in same), Decimal(0)), min(ends)


def _charts(visit: PortalVisit, usage: CustomerUse) -> list[UseChart]:
    """Return a chart for each asset in which something was used."""
    assets = visit.engine.catalog_view(visit.context).assets
    codes = dict.fromkeys(code for day in usage.days for code, fee in day.fees.items() if fee)
    charts = []
    for code in codes:
        amounts = [day.fees.get(code, Decimal(0)) for day in usage.days]
        total = sum(amounts, Decimal(0))
        parts = [part for part in usage.subjects if part.fees.get(code)]
        subjects = [
            SpentPart(
                part.name,
                part.events,
                part.fees[code],
                int(part.fees[code] * 100 / total) if total > 0 else 0,
            )
            for part in sorted(parts, key=lambda part: -part.fees[code])
        ]
        charts.append(UseChart(assets[code], total, draw(amounts), subjects))
    return charts


def _names(visit: PortalVisit, subscriptions: list[ShownSubscription]) -> dict[str, str]:
    """Return what subscriptions are called: the names of their products."""
    products = visit.engine.catalog_view(visit.context).products
    return {
        one.id: ", ".join(products[p.id].name for p in one.products if p.id and p.id in products)
        for one in subscriptions
    }


PAGES: Final[tuple[PortalPage, ...]] = (PortalPage("", show),)
