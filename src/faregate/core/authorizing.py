"""How a hold is granted: what is about to run is priced, and the amount set aside if it is there,
out of the wallet or out of another hold. If it is not, the hold is declined and says what would
make it pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs

from faregate.core.accounts import DEFAULT_ACCOUNT, Account, account_id
from faregate.core.codec import decode, differing_fields, encode
from faregate.core.customers import Changes, CustomerState
from faregate.core.estimates import Estimate, estimate, expected_use
from faregate.core.gate import (
    Authorize,
    Authorized,
    Gated,
    HoldView,
    add_to,
    blocked_customer,
    find_open,
    first_view,
    lacking_funds,
    read_amount,
)
from faregate.core.given import check_free
from faregate.core.hold_requests import HoldRequest
from faregate.core.holds import (
    MAX_DEPTH,
    MAX_OPEN_HOLDS,
    Decline,
    FirstAnswer,
    Hold,
    HoldCount,
    expiry,
)
from faregate.core.ids import IdSource
from faregate.core.problems import Problem, conflict, invalid
from faregate.core.subscriptions import CatalogView
from faregate.core.wallet import fundable


def may_go_on(before: CustomerState, after: CustomerState) -> bool:
    """Tell whether a hold that waits for credit should be asked for again: an account has more than
    before, or what its card was asked for has come to an end."""
    for identifier, account in after.accounts.items():
        if _line(account) > _line(before.account(identifier)):
            return True
    for identifier, collecting in before.rules.collecting.items():
        now = after.rules.collecting.get(identifier)
        if collecting.in_flight is not None and (now is None or now.in_flight is None):
            return True
    return False


def _line(account: Account) -> int:
    limit = account.overdraft_limit_units if account.overdraft_policy == "limit" else 0
    return account.available_units + limit


def authorize(
    changes: Changes,
    known: Mapping[str, Hold],
    command: Authorize,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Gated | Problem:
    """Decide holds. `known` has those that exist under the requests' transaction ids."""
    views: list[HoldView] = []
    made: dict[str, Hold] = {}
    for index, request in enumerate(command.requests):
        prior = known.get(request.transaction_id) or made.get(request.transaction_id)
        if prior is not None:
            refusal = _differs(prior, request)
            if refusal is not None:
                return refusal.under(f"holds[{index}]") if command.is_batch else refusal
            views.append(first_view(prior))
            continue
        hold = _authorize(changes, request, catalog, now, ids)
        if isinstance(hold, Problem):
            return hold.under(f"holds[{index}]") if command.is_batch else hold
        made[request.transaction_id] = hold
        views.append(first_view(hold))
    new = frozenset([hold.id for hold in made.values()])
    return Gated(changes, Authorized(tuple(views)), new_holds=new)


def _differs(prior: Hold, request: HoldRequest) -> Problem | None:
    if encode(request).decode() == prior.request:
        return None
    # A default that only one of the two has written out is no difference.
    first = decode(HoldRequest, prior.request)
    differing = differing_fields(structs.asdict(first), structs.asdict(request))
    if not differing:
        return None
    detail = (
        f"transaction_id {request.transaction_id!r} was used before with another "
        f"{', '.join(differing)}: use a new one for a new hold"
    )
    return conflict(differing[0], detail, *differing[1:])


def _authorize(
    changes: Changes, request: HoldRequest, catalog: CatalogView, now: datetime, ids: IdSource
) -> Hold | Problem:
    refusal = check_free("metadata", request.metadata) or check_free("data", request.data)
    if refusal is not None:
        return refusal
    refusal = _check_minimum(request)
    if refusal is not None:
        return refusal
    parent = _parent(changes, request, now)
    if isinstance(parent, Problem):
        return parent
    wanted = _wanted(changes, request, catalog, now)
    if isinstance(wanted, Problem):
        return wanted
    if isinstance(wanted, Decline):
        fallback = parent.account_id if parent is not None else _named_account(request, "USD")
        return _declined(changes, request, wanted, fallback, now, ids)
    minimum = _minimum(request, wanted)
    if isinstance(minimum, Problem):
        return minimum
    identifier, units = wanted.account_id, wanted.units
    blocked = changes.state.rules.blocked_because
    if blocked is not None:
        return _declined(changes, request, blocked_customer(blocked), identifier, now, ids)
    account = changes.advanced(identifier, now)
    if parent is not None and parent.account_id != identifier:
        return invalid(
            "parent_id",
            f"{parent.id} is on {parent.account_id}, this is charged to {identifier}: "
            "leave it out, or hold on the same account",
        )
    if len(account.holds) >= MAX_OPEN_HOLDS:
        detail = f"{identifier} has {MAX_OPEN_HOLDS} open holds: capture or void some first"
        return conflict("account_name", detail)
    counts = wanted.counts
    if changes.limits is not None:
        is_bound = request.estimate == "upper_bound"
        use = expected_use(
            request.event_type, request.subject, request.data, is_upper_bound=is_bound
        )
        asset = account.asset
        room_for = changes.limits.room_for
        outcome = room_for(use, asset, units, changes.advanced_accounts(now), parent)
        if isinstance(outcome, Problem):
            return outcome
        room, limited = outcome
        if limited is not None and not (request.allow_partial and room >= max(minimum, 1)):
            return _declined(changes, request, limited, identifier, now, ids)
        units = room
        counts = (*counts, *changes.limits.counts_for(use, asset, parent))
    available = fundable(account, wanted.wanted) if parent is None else parent.held_units
    if units > available:
        if request.allow_partial and available >= max(minimum, 1):
            units = available
        else:
            missing = lacking_funds(units, available, account, wanted.scale, parent, wanted.wanted)
            return _declined(changes, request, missing, identifier, now, ids)
    hold = _new_hold(request, account, units, minimum, counts, parent, now, ids)
    changes.put(add_to(account, parent, hold, units, now, wanted.wanted))
    return changes.holds[hold.id]


def _parent(changes: Changes, request: HoldRequest, now: datetime) -> Hold | Problem | None:
    if request.parent_id is None:
        return None
    found = find_open(changes, request.parent_id, now)
    if found is None:
        shown = f"{request.parent_id[:100]!r} is no open hold of this customer"
        return invalid("parent_id", f"{shown}: authorize the parent first")
    if found.depth + 1 >= MAX_DEPTH:
        return invalid("parent_id", f"{found.id} is {MAX_DEPTH} holds deep: draw from one above it")
    return found


def _named_account(request: HoldRequest, asset: str) -> str:
    return account_id(request.account_name or DEFAULT_ACCOUNT, request.asset or asset)


def _wanted(
    changes: Changes, request: HoldRequest, catalog: CatalogView, now: datetime
) -> Estimate | Decline | Problem:
    if request.event_type is not None:
        if (request.max_amount, request.asset, request.account_name) != (None, None, None):
            names = ("max_amount", "asset", "account_name")
            field = next(name for name in names if getattr(request, name) is not None)
            return invalid(
                field, "has no meaning beside event_type, whose prices say it: leave it out"
            )
        is_bound = request.estimate == "upper_bound"
        data = request.data or {}
        return estimate(
            changes, request.event_type, data, is_bound, catalog, now, None, request.subject
        )
    if request.max_amount is None:
        return invalid("event_type", "or max_amount is missing: say what the hold is for")
    if request.data is not None:
        return invalid("data", "has no meaning without event_type: leave it out")
    if request.asset is None:
        return invalid("asset", "is missing: say what max_amount is counted in")
    asset = catalog.assets.get(request.asset)
    if asset is None:
        return invalid("asset", f"{request.asset!r} is unknown: create the asset first")
    units = read_amount("max_amount", request.max_amount, asset.scale)
    if isinstance(units, Problem):
        return units
    return Estimate(_named_account(request, asset.code), units, asset.scale)


def _check_minimum(request: HoldRequest) -> Problem | None:
    """Refuse a least amount that is wrong whatever the hold turns out to need."""
    if request.min_amount is None:
        return None
    if not request.allow_partial:
        return invalid("min_amount", "has no meaning without allow_partial: leave it out")
    if request.min_amount < 0:
        return invalid("min_amount", f"is {request.min_amount}: send 0 or more")
    return None


def _minimum(request: HoldRequest, wanted: Estimate) -> int | Problem:
    """Return the units below which a partial hold is of no use."""
    if request.min_amount is None:
        return 0
    return read_amount("min_amount", request.min_amount, wanted.scale)


def _declined(
    changes: Changes,
    request: HoldRequest,
    decline: Decline,
    identifier: str,
    now: datetime,
    ids: IdSource,
) -> Hold:
    account = changes.advanced(identifier, now)
    hold = structs.replace(
        _new_hold(request, account, 0, 0, (), None, now, ids),
        status="declined",
        decline=decline,
        parent_id=request.parent_id,
        settled_at=now,
    )
    changes.holds[hold.id] = hold
    return hold


def _new_hold(
    request: HoldRequest,
    account: Account,
    units: int,
    min_units: int,
    counts: tuple[HoldCount, ...],
    parent: Hold | None,
    now: datetime,
    ids: IdSource,
) -> Hold:
    """Make a hold for which so many units are about to be set aside. (In the order of its fields:
    naming them all costs more than all the rest of it.)"""
    expires_at = expiry(now, request.expires_in_seconds, parent)
    # What a parent gives was set aside before.
    taken = units if parent is None else 0
    first = FirstAnswer(
        units, expires_at, account.available_units - taken, account.pending_out_units + taken
    )
    return Hold(
        ids.next("hld"),
        request.transaction_id,
        account.id,
        "authorized",
        0,
        0,
        (),
        now,
        expires_at,
        request.expires_in_seconds,
        first,
        request.event_type,
        request.subject,
        None if parent is None else parent.id,
        0 if parent is None else parent.depth + 1,
        request.allow_partial,
        min_units,
        request.late_capture,
        request.final_action,
        is_upper_bound=request.estimate == "upper_bound",
        counts=counts,
        request=encode(request).decode(),
    )
