"""Operations on the rules by which events are made of what a source tells: to look at them, to set
them, and to try them on a sample before anything is charged by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, cast

import msgspec

from faregate.core.codec import checked
from faregate.core.customers import CustomerState
from faregate.core.decide import decide
from faregate.core.decision import Known
from faregate.core.events import EventResult, EventsBooked, Fee, RecordEvents, UsageEvent
from faregate.core.limits import NOTHING_COUNTED, limits_for
from faregate.core.mapping import (
    MappedEvent,
    MappingRules,
    Skipped,
    check_rules,
    map_observed,
)
from faregate.core.observed import Source, Told, Unreadable
from faregate.core.problems import TOO_LARGE, FaregateError, Problem, invalid
from faregate.customers import directory
from faregate.engine.ingesting import IngestingOperations, at_its_place, seen_again, unknown
from faregate.ingestion import rules as kept_rules
from faregate.ingestion.recently import Lately
from faregate.ingestion.way import Sent
from faregate.ingestion.ways import READERS
from faregate.ledger import reading
from faregate.platform.environments import AccountContext

MAX_SAMPLES: Final = 100
MAX_SAMPLE_BYTES: Final = 256 * 1024


class SourceRules(msgspec.Struct, frozen=True):
    """The rules that hold for a source; `is_default`: nobody has set others."""

    source: Source
    rules: MappingRules
    is_default: bool


class Previewed(msgspec.Struct, frozen=True):
    """What one thing of a sample would become: an event of a customer (`customer` is what it calls
    them), with its fees; or why it would be skipped or refused. `customer_id` is None where the
    customer would be created."""

    place: str
    id: str
    status: Literal["event", "repeat", "skipped", "refused"]
    customer: str | None = None
    customer_id: str | None = None
    event: UsageEvent | None = None
    fees: tuple[Fee, ...] = ()
    warnings: tuple[str, ...] = ()
    why: str | None = None
    problem: Problem | None = None


class IngestionRuleOperations(IngestingOperations):
    """Rules of ingestion."""

    async def get_ingestion_rules(
        self, source: Source, *, context: AccountContext | None = None
    ) -> SourceRules:
        """Return the rules that hold for a source."""
        environment = self._environment(context)
        found = await kept_rules.read_rules(self._store, environment, source)
        return SourceRules(source, await self._rules_of(environment, source), found is None)

    async def set_ingestion_rules(
        self, source: Source, rules: MappingRules, *, context: AccountContext | None = None
    ) -> SourceRules:
        """Set the rules of a source, in place of those that hold. Raises 422."""
        rules = self._checked_rules(rules, context)
        environment = self._environment(context)
        async with self._store.transaction() as transaction:
            await kept_rules.write_rules(transaction, environment, source, rules, self._clock())
        return SourceRules(source, rules, False)

    async def reset_ingestion_rules(
        self, source: Source, *, context: AccountContext | None = None
    ) -> None:
        """Take the rules of a source away: its own hold again."""
        environment = self._environment(context)
        async with self._store.transaction() as transaction:
            await kept_rules.delete_rules(transaction, environment, source)

    def _checked_rules(self, rules: MappingRules, context: AccountContext | None) -> MappingRules:
        rules = checked(rules)
        problem = check_rules(rules)
        if problem is None and rules.cost is not None:
            asset = self.catalog_view(context).assets.get(rules.cost.currency)
            if asset is None or not asset.is_currency:
                wrong = f"{rules.cost.currency!r} is not an ISO 4217 currency: send one, e.g. USD"
                problem = invalid("cost.currency", wrong)
        if problem is not None:
            raise FaregateError(problem)
        return rules

    def lately_ingested(self, source: Source, *, context: AccountContext | None = None) -> Lately:
        """Return what a source has told since this process began, and what was refused last."""
        return self._recently.look(self._environment(context), source)

    def note_unreadable(
        self, source: Source, problem: Problem, *, context: AccountContext | None = None
    ) -> None:
        """Remember that nothing could be read of what a source has sent."""
        environment = self._environment(context)
        self._recently.note_unreadable(environment, source, problem.detail, self._clock())

    async def preview_ingestion(
        self,
        source: Source,
        sample: bytes,
        headers: Mapping[str, str] | None = None,
        rules: MappingRules | None = None,
        *,
        context: AccountContext | None = None,
    ) -> list[Previewed]:
        """Say what would become of a sample in the source's own format, by the rules that hold or
        by others that are not saved; changes nothing.

        Fees are those of each customer's prices as things stand now, one customer's events one
        after the other, before what their tiers have counted. Raises 400, 413, 422.
        """
        reader = READERS.get(source)
        if reader is None:
            raise FaregateError(invalid("source", f"{source!r} has no preview"))
        if len(sample) > MAX_SAMPLE_BYTES:
            detail = f"the sample has {len(sample)} bytes: send at most {MAX_SAMPLE_BYTES}"
            raise FaregateError(Problem(TOO_LARGE, detail))
        environment = await self._look(context)
        if rules is None:
            rules = await self._rules_of(environment, source)
        else:
            rules = self._checked_rules(rules, context)
        told = reader(Sent(headers or {}, sample, self._clock()))
        if len(told) > MAX_SAMPLES:
            detail = f"the sample has {len(told)} things: send at most {MAX_SAMPLES}"
            raise FaregateError(Problem(TOO_LARGE, detail))
        made = [
            item.problem if isinstance(item, Unreadable) else map_observed(rules, item)
            for item in told
        ]
        names = list(dict.fromkeys(m.customer for m in made if isinstance(m, MappedEvent)))
        known = await directory.find_named(self._store, environment, names, rules.customer_by)
        priced: dict[str, list[Previewed]] = {}
        for name in names:
            customer_id = known.get(name)
            mine = [
                (item, mapped.event)
                for item, mapped in zip(told, made, strict=True)
                if isinstance(mapped, MappedEvent) and mapped.customer == name
            ]
            if customer_id is None and rules.unknown_customer == "refuse":
                problem = unknown(name, rules)
                priced[name] = [
                    Previewed(item.place, item.id, "refused", name, None, event, problem=problem)
                    for item, event in mine
                ]
            else:
                priced[name] = await self._decided_alone(environment, name, customer_id, mine)
        return [
            priced[mapped.customer].pop(0)
            if isinstance(mapped, MappedEvent)
            else _left_out(item, mapped)
            for item, mapped in zip(told, made, strict=True)
        ]

    async def _decided_alone(
        self,
        environment: int,
        name: str,
        customer_id: str | None,
        placed: Sequence[tuple[Told, UsageEvent]],
    ) -> list[Previewed]:
        """Decide a customer's events as the gate would, and write nothing."""
        view, events = self._catalog.view(environment), tuple(event for _, event in placed)
        state, now, booked = CustomerState(""), self._clock(), {}
        if customer_id is not None:
            lane = await self._lane_of(environment, customer_id)
            state = await reading.read_customer(self._store, lane.number, customer_id)
            now = view.clocks.get(state.rules.clock_id or "", lane.now())
            for event in events:
                found = await reading.read_event(self._store, lane.number, (event.id, customer_id))
                if found is not None:
                    booked[event.id] = found
        subjects = {event.subject for event in events}
        limits = limits_for(state.rules.limits, view.limits, state.rules.metadata)
        keys = list({limit.counter_key(subject) for limit in limits for subject in subjects})
        counters = dict.fromkeys(keys, NOTHING_COUNTED)
        if customer_id is not None and keys:
            counters = await reading.read_counters(self._store, lane.number, customer_id, keys)
        known = Known(events=booked, counters=counters)
        command = RecordEvents(customer_id or "", events, is_lenient=True, received_at=now)
        decision = decide(state, known, command, view, now, self._ticked())
        if isinstance(decision.answer, Problem):
            raise FaregateError(decision.answer)
        results = cast(EventsBooked, decision.answer).results
        return [
            Previewed(
                item.place,
                item.id,
                "event" if result.status == "booked" else result.status,
                name,
                customer_id,
                event,
                result.fees,
                result.warnings,
                problem=result.problem,
            )
            for (item, event), result in _seen(placed, results)
        ]


def _seen(
    placed: Sequence[tuple[Told, UsageEvent]], results: Sequence[EventResult]
) -> Iterator[tuple[tuple[Told, UsageEvent], EventResult]]:
    for pair, result in zip(placed, results, strict=True):
        yield pair, seen_again(pair[0], at_its_place(result))


def _left_out(item: Told, made: Skipped | Problem) -> Previewed:
    if isinstance(made, Skipped):
        return Previewed(item.place, item.id, "skipped", why=made.why)
    return Previewed(item.place, item.id, "refused", problem=made)
