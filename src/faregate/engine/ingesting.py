"""Charging for what other systems tell of: rules make events of it, customers are found (or made),
and every customer's events go to the gate in their order. Each thing has an outcome of its own.
What is booked is durable before anybody is answered, and may be told again: it is charged once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from faregate.core.codec import encode
from faregate.core.events import MAX_EVENTS, EventResult, UsageEvent
from faregate.core.mapping import MappedEvent, MappingRules, NamedBy, Skipped, map_observed
from faregate.core.mapping_defaults import DEFAULT_RULES
from faregate.core.observed import Ingested, Outcome, Source, Told, Unreadable
from faregate.core.problems import TOO_LARGE, FaregateError, Problem, invalid
from faregate.customers import directory
from faregate.customers.types import CreateCustomer
from faregate.engine.customers import CustomerOperations
from faregate.engine.usage import UsageOperations
from faregate.platform.environments import AccountContext

MAX_TOLD: Final = 10_000
MAX_AT_ONCE: Final = 64
"""Customers of one call whose events are in the lanes' queues at the same time."""
_QUEUE_BYTES: Final = 1024

_Placed = tuple[int, UsageEvent]


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
        what was booked before is a repeat.
        """
        if len(told) > MAX_TOLD:
            detail = f"{len(told)} things were told at once: send at most {MAX_TOLD}"
            raise FaregateError(Problem(TOO_LARGE, detail))
        if rules is None:
            rules = DEFAULT_RULES[source]
        outcomes: dict[int, Outcome] = {}
        mapped: dict[str, list[_Placed]] = {}
        for index, item in enumerate(told):
            made = item.problem if isinstance(item, Unreadable) else map_observed(rules, item)
            if isinstance(made, MappedEvent):
                mapped.setdefault(made.customer, []).append((index, made.event))
            elif isinstance(made, Skipped):
                outcomes[index] = Outcome(item.place, item.id, "skipped", why=made.why)
            else:
                outcomes[index] = _refused(item, made)
        environment = self._environment(context)
        known = await self._customers_named(environment, list(mapped), rules, context)
        groups: dict[str, list[_Placed]] = {}
        for name, placed in mapped.items():
            found = known[name]
            if isinstance(found, Problem):
                outcomes.update((i, _refused(told[i], found)) for i, _ in placed)
            else:
                groups.setdefault(found, []).extend(placed)
        for customer_id, results in (await self._record_told(groups, context)).items():
            for index, result in results:
                outcomes[index] = _outcome(told[index], customer_id, result)
        return Ingested(tuple(outcomes[index] for index in range(len(told))))

    async def _customers_named(
        self,
        environment: int,
        names: Sequence[str],
        rules: MappingRules,
        context: AccountContext | None,
    ) -> Mapping[str, str | Problem]:
        """Find customers by what they are called; makes those that are not known, if the rules say
        so."""
        by = rules.customer_by
        found: dict[str, str | Problem] = {
            **await directory.find_named(self._store, environment, names, by)
        }
        for name in names:
            if name not in found:
                found[name] = await self._unknown_customer(name, rules, context)
        return found

    async def _unknown_customer(
        self, name: str, rules: MappingRules, context: AccountContext | None
    ) -> str | Problem:
        if rules.unknown_customer == "refuse" or rules.customer_by == "id":
            return invalid("customer", f"{name!r} is unknown{_REMEDY[rules.customer_by]}")
        try:
            created = await self.create_customer(
                CreateCustomer(name, external_id=name), context=context
            )
        except FaregateError as error:
            environment = self._environment(context)
            found = await directory.find_named(self._store, environment, [name], "external_id")
            return found.get(name) or error.problem.under("customer")
        return created.id

    async def _record_told(
        self, groups: Mapping[str, list[_Placed]], context: AccountContext | None
    ) -> Mapping[str, list[tuple[int, EventResult]]]:
        """Record every customer's events, in their order. Waits for all before it fails, so that
        nothing goes on behind the answer."""
        turns = asyncio.Semaphore(MAX_AT_ONCE)

        async def record(customer_id: str) -> list[tuple[int, EventResult]]:
            async with turns:
                return await self._record_in_order(
                    customer_id, sorted(groups[customer_id]), context
                )

        done = await asyncio.gather(*map(record, groups), return_exceptions=True)
        results: dict[str, list[tuple[int, EventResult]]] = {}
        for customer_id, answer in zip(groups, done, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            results[customer_id] = answer
        return results

    async def _record_in_order(
        self, customer_id: str, placed: list[_Placed], context: AccountContext | None
    ) -> list[tuple[int, EventResult]]:
        results: list[tuple[int, EventResult]] = []
        for start in range(0, len(placed), MAX_EVENTS):
            part = placed[start : start + MAX_EVENTS]
            events = [event for _, event in part]
            booked = await self.record_events(
                customer_id,
                events,
                is_lenient=True,
                are_checked=True,
                weight=len(encode(events)) // _QUEUE_BYTES,
                context=context,
            )
            results += zip((index for index, _ in part), booked.results, strict=True)
        return results


_REMEDY: Final[Mapping[NamedBy, str]] = {
    "external_id": ": create a customer with this external id, or let the rules create it",
    "id": ": send the id of a customer",
    "either": ": create a customer with this external id, or let the rules create it",
}


def _refused(item: Told, problem: Problem) -> Outcome:
    return Outcome(item.place, item.id, "refused", problem=problem)


def _outcome(item: Told, customer_id: str, result: EventResult) -> Outcome:
    return Outcome(
        item.place,
        result.event_id,
        result.status,
        customer_id,
        problem=result.problem,
        warnings=result.warnings,
    )
