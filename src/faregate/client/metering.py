"""Functions that pay for themselves: each call runs under a hold, and what it used is captured.

    @client.metered(event_type="llm", customer="user_id", estimate={"max_tokens": 500},
                    usage=lambda answer: {"tokens": answer.tokens})
    def ask(user_id: str, prompt: str) -> Answer: ...

A generator is counted item by item: `usage` is asked about each, and a generator that is left early
is charged for what it gave until then. The estimate is an upper bound: where a price asks for
`tokens`, `max_tokens` will do. Without `usage`, a call counts as one use without data.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any, ParamSpec, TypeVar, cast

from faregate.client.asked import AskedHold, HoldTerms
from faregate.client.holding import AsyncHeldWork, HeldWork, HoldInUse

P = ParamSpec("P")
R = TypeVar("R")

Customer = str | Callable[..., str]
"""The name of the argument that has the customer's id, or what finds it from the arguments."""
Estimate = Mapping[str, Any] | Callable[..., Mapping[str, Any]]
"""The `data` of the hold, or what makes it from the arguments."""
Usage = Callable[[Any], Mapping[str, Any] | None]
"""What finds what was used from a result or from a generator's item; None: nothing."""


class Metering:
    """How the calls of one function are asked for and counted."""

    def __init__(
        self,
        function: Callable[..., Any],
        customer: Customer,
        event_type: str,
        estimate: Estimate | None,
        usage: Usage | None,
        terms: HoldTerms,
    ) -> None:
        self._signature = inspect.signature(function)
        if isinstance(customer, str) and customer not in self._signature.parameters:
            known = ", ".join(self._signature.parameters) or "none"
            name = getattr(function, "__name__", "it")
            raise ValueError(f"{name} has no argument {customer!r}; it has: {known}")
        self._customer = customer
        self._estimate = estimate
        self._usage = usage
        self._event_type = event_type
        self._terms = terms

    def hold(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, AskedHold]:
        """Return who pays for a call, and what to ask for."""
        if isinstance(self._customer, str):
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            customer_id = bound.arguments[self._customer]
        else:
            customer_id = self._customer(*args, **kwargs)
        estimate = self._estimate
        data = estimate(*args, **kwargs) if callable(estimate) else estimate
        asked = cast(AskedHold, {"event_type": self._event_type, **self._terms})
        if data is not None:
            asked["data"] = data
            asked["estimate"] = "upper_bound"
        return customer_id, asked

    def count(self, work: HoldInUse, result: Any) -> None:
        """Say what a call used that has returned this."""
        used = {} if self._usage is None else self._usage(result)
        if used is not None:
            work.use(used)

    def count_call(self, work: HoldInUse) -> None:
        """Say what it used that a generator has begun."""
        if self._usage is None:
            work.use()

    def count_item(self, work: HoldInUse, item: Any) -> None:
        """Say what an item of a generator used."""
        if self._usage is not None:
            self.count(work, item)


def counted(
    made: Generator[Any, Any, Any], count: Callable[[Any], object]
) -> Generator[Any, Any, Any]:
    """Do what `yield from made` does (PEP 380), and count each item before it is passed on."""
    step = functools.partial(next, made)
    while True:
        try:
            item = step()
        except StopIteration as end:
            return end.value
        count(item)
        try:
            step = functools.partial(made.send, (yield item))
        except Exception as error:
            step = functools.partial(made.throw, error)


def meter(
    function: Callable[P, R], metering: Metering, hold: Callable[[str, AskedHold], HeldWork]
) -> Callable[P, R]:
    """Make a function or generator function run under holds."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__name__} is asynchronous: use an AsyncClient's `metered`")

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def items(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            with hold(*metering.hold(args, kwargs)) as work:
                metering.count_call(work)
                made = function(*args, **kwargs)
                with closing(made):
                    return (yield from counted(made, lambda item: metering.count_item(work, item)))

        return cast(Callable[P, R], items)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with hold(*metering.hold(args, kwargs)) as work:
            result = function(*args, **kwargs)
            metering.count(work, result)
        return result

    return call


def async_meter(
    function: Callable[P, R], metering: Metering, hold: Callable[[str, AskedHold], AsyncHeldWork]
) -> Callable[P, R]:
    """Make an async function or async generator function run under holds."""
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def items(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
            async with hold(*metering.hold(args, kwargs)) as work:
                metering.count_call(work)
                made = function(*args, **kwargs)
                async with aclosing(made):
                    step = made.__anext__()
                    while True:
                        try:
                            item = await step
                        except StopAsyncIteration:
                            return
                        metering.count_item(work, item)
                        try:
                            step = made.asend((yield item))
                        except Exception as error:
                            step = made.athrow(error)

        return cast(Callable[P, R], items)

    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__name__} is not asynchronous: use a Client's `metered`")

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        async with hold(*metering.hold(args, kwargs)) as work:
            result = await cast(Awaitable[Any], function(*args, **kwargs))
            metering.count(work, result)
        return result

    return cast(Callable[P, R], call)
