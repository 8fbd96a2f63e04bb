"""Charging for what other systems tell of: rules make events of it, customers are found (or made),
and every customer's events go to the gate in their order. Each thing has an outcome of its own.
What is booked is durable before anybody is answered, and may be told again: it is charged once.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec import structs

from faregate.core.codec import encode
from faregate.core.events import MAX_EVENTS, EventResult, UsageEvent
from faregate.core.mapping import MappedEvent, MappingRules, Skipped, map_observed
from faregate.core.mapping_defaults import DEFAULT_RULES
from faregate.core.observed import Ingested, Observed, Outcome, Source, Told, Unreadable
from faregate.core.problems import CONFLICT, TOO_LARGE, FaregateError, Problem, invalid
from faregate.customers import directory
from faregate.customers.types import CreateCustomer
from faregate.engine.customers import CustomerOperations
from faregate.engine.usage import UsageOperations
from faregate.ingestion import rules as kept_rules
from faregate.platform.environments import AccountContext

MAX_TOLD: Final = 10_000
MAX_WAITING: Final = 4_000
"""What one call's events may weigh together in the lanes' queues, which hold five times as much."""
_QUEUE_BYTES: Final = 1024
_NUMBER: Final = re.compile(r"\Aevents\[\d+\](\.|: )")
_AT_A_TIME: Final = 250
"""How many things are mapped before others have their turn."""

Placed: TypeAlias = tuple[int, UsageEvent]
"""An event, and the place among all that was told of what it was made of."""


class Part(NamedTuple):
    """Some events of one customer, in their order, and what they weigh in the lane's queue."""

    customer_id: str
    placed: list[Placed]
    weight: int


class IngestingOperations(UsageOperations, CustomerOperations):
    """What other systems tell of."""

    async def ingest(
        self,
        source: Source,
        told: Sequence[Told],
        *,
        rules: MappingRules | None = None,
        context: AccountContext | None = None,
    ) -> Ingested:
        """Charge for what a source tells of, by the rules that are set for it, or by `rules`.

        One outcome for each, in order; answers when all of it is durable. If the gate cannot take
        it (429, 503), the call fails, though some of it may be booked: send the same again, and
        what was booked before is a repeat. Raises 413 for more than `MAX_TOLD`.
        """
        if len(told) > MAX_TOLD:
            detail = f"{len(told)} things were told at once: send at most {MAX_TOLD}"
            raise FaregateError(Problem(TOO_LARGE, detail))
        environment = self._environment(context)
        if rules is None:
            rules = await self._rules_of(environment, source)
        outcomes: dict[int, Outcome] = {}
        named: dict[str, list[Placed]] = {}
        for index, item in enumerate(told):
            if index % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            made = item.problem if isinstance(item, Unreadable) else map_observed(rules, item)
            if isinstance(made, MappedEvent):
                named.setdefault(made.customer, []).append((index, made.event))
            elif isinstance(made, Skipped):
                outcomes[index] = Outcome(item.place, item.id, "skipped", why=made.why)
            else:
                outcomes[index] = _refused(item, made)
        known = await self._customers_named(environment, list(named), rules, context)
        groups: dict[str, list[Placed]] = {}
        for name, placed in named.items():
            found = known[name]
            if isinstance(found, Problem):
                outcomes.update((index, _refused(told[index], found)) for index, _ in placed)
            else:
                groups.setdefault(found, []).extend(placed)
        for wave in _waves(groups):
            for part, results in zip(wave, await self._record_wave(wave, context), strict=True):
                for (index, _), result in zip(part.placed, results, strict=True):
                    item, became = told[index], seen_again(told[index], result)
                    outcomes[index] = Outcome(
                        item.place,
                        item.id,
                        became.status,
                        part.customer_id,
                        problem=became.problem,
                        warnings=became.warnings,
                    )
        ingested = Ingested(tuple(outcomes[index] for index in range(len(told))))
        self._recently.note(environment, source, ingested, self._clock())
        return ingested

    async def _rules_of(self, environment: int, source: Source) -> MappingRules:
        """Return the rules that hold for a source: those that are set, or its own."""
        found = await kept_rules.read_rules(self._store, environment, source)
        return DEFAULT_RULES[source] if found is None else found

    async def _customers_named(
        self,
        environment: int,
        names: Sequence[str],
        rules: MappingRules,
        context: AccountContext | None,
    ) -> Mapping[str, str | Problem]:
        """Find customers by what they are called; makes those that are not known, if the rules say
        so."""
        found: dict[str, str | Problem] = {}
        found |= await directory.find_named(self._store, environment, names, rules.customer_by)
        for name in names:
            if name not in found:
                found[name] = await self._unknown_customer(name, rules, context)
        return found

    async def _unknown_customer(
        self, name: str, rules: MappingRules, context: AccountContext | None
    ) -> str | Problem:
        if rules.unknown_customer == "refuse":
            return unknown(name, rules)
        try:
            request = CreateCustomer(name, external_id=name)
            return (await self.create_customer(request, context=context)).id
        except FaregateError as error:
            # Somebody else may have been faster to create the same.
            environment = self._environment(context)
            found = await directory.find_named(self._store, environment, [name], "external_id")
            if not found and error.problem.kind.status >= 429:
                raise
            return found.get(name) or error.problem.under("customer")

    async def _record_wave(
        self, wave: Sequence[Part], context: AccountContext | None
    ) -> list[tuple[EventResult, ...]]:
        """Record events of several customers at once. Waits for all before it fails, so that
        nothing goes on behind the answer."""
        done = await asyncio.gather(
            *(self._record_part(part, context) for part in wave), return_exceptions=True
        )
        results: list[tuple[EventResult, ...]] = []
        for answer in done:
            if isinstance(answer, BaseException):
                raise answer
            results.append(answer)
        return results

    async def _record_part(
        self, part: Part, context: AccountContext | None
    ) -> tuple[EventResult, ...]:
        booked = await self.record_events(
            part.customer_id,
            [event for _, event in part.placed],
            is_lenient=True,
            are_checked=True,
            weight=part.weight,
            context=context,
        )
        return tuple(map(at_its_place, booked.results))


def unknown(name: str, rules: MappingRules) -> Problem:
    """Make the problem of a customer that is not known."""
    remedy = "create a customer with this external id, or let the rules create it"
    if rules.customer_by == "id":
        remedy = "send the id of a customer"
    return invalid("customer", f"{name!r} is unknown: {remedy}")


def _weight(event: UsageEvent) -> int:
    """Return what an event counts for in the lane's queue."""
    return 1 if event.data is None else max(1, len(encode(event.data)) // _QUEUE_BYTES)


def _parts(customer_id: str, placed: list[Placed]) -> list[Part]:
    """Cut a customer's events into parts that the gate takes at once, the last first."""
    parts: list[Part] = []
    begun: list[Placed] = []
    weight = 0
    for index, event in sorted(placed, key=lambda pair: pair[0]):
        more = _weight(event)
        if begun and (len(begun) == MAX_EVENTS or weight + more > MAX_EVENTS):
            parts.append(Part(customer_id, begun, weight))
            begun, weight = [], 0
        begun.append((index, event))
        weight += more
    return [Part(customer_id, begun, weight), *reversed(parts)]


def _waves(groups: Mapping[str, list[Placed]]) -> Iterator[list[Part]]:
    """Put parts together that go to the gate at once: one of a customer at a time, which keeps
    their order, and no more than about `MAX_WAITING` in all."""
    left = deque(_parts(customer_id, placed) for customer_id, placed in groups.items())
    while left:
        wave: list[Part] = []
        unfinished: list[list[Part]] = []
        while left and sum(part.weight for part in wave) < MAX_WAITING:
            parts = left.popleft()
            wave.append(parts.pop())
            if parts:
                unfinished.append(parts)
        left.extendleft(reversed(unfinished))
        yield wave


def _refused(item: Told, problem: Problem) -> Outcome:
    return Outcome(item.place, item.id, "refused", problem=problem)


def at_its_place(result: EventResult) -> EventResult:
    """Return a result whose problem speaks of the event itself, not of its number in a batch."""
    problem = result.problem
    if problem is None:
        return result
    errors = {_NUMBER.sub("", path, 1): said for path, said in problem.errors.items()}
    detail = _NUMBER.sub("", problem.detail, 1)
    return structs.replace(result, problem=structs.replace(problem, detail=detail, errors=errors))


def seen_again(item: Told, result: EventResult) -> EventResult:
    """Return a repeat of something that differs from what was booked in nothing but the time at
    which it came, having none of its own; another result as it is."""
    problem = result.problem
    if problem is None or not isinstance(item, Observed) or item.has_own_time:
        return result
    if problem.kind is CONFLICT and list(problem.errors) == ["occurred_at"]:
        return structs.replace(result, status="repeat", problem=None)
    return result
