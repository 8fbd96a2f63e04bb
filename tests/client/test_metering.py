"""Functions that pay for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from tests.api.caller import Caller
from tests.api.conftest import TEST_KEY, RunningServer
from tests.client.shop import balance, charged, run

from faregate.client import AsyncClient, Client, Declined

UP_TO = {"max_tokens": 5}


def length(text: str) -> dict[str, int]:
    """A token per letter."""
    return {"tokens": len(text)}


def test_a_call_is_charged_for_what_its_result_used(
    me: Caller, client: Client, customer: str
) -> None:
    @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
    def answer(prompt: str, who: str = customer) -> str:
        """Answer."""
        assert balance(me, customer)[1] == 5
        return prompt

    assert (answer.__name__, answer.__doc__) == ("answer", "Answer.")
    assert answer("abc") == "abc"
    assert (balance(me, customer), charged(me, customer)) == ((7, 0), [3])
    assert answer(prompt="", who=customer) == ""
    assert charged(me, customer) == [0, 3]


def test_customer_and_estimate_may_be_found_from_the_arguments(
    me: Caller, client: Client, customer: str
) -> None:
    asked: list[Any] = []

    def estimate(user: dict[str, str], prompt: str) -> dict[str, int]:
        asked.append(prompt)
        return length(prompt)

    @client.metered(
        event_type="llm", customer=lambda user, prompt: user["id"], estimate=estimate, usage=length
    )
    def answer(user: dict[str, str], prompt: str) -> str:
        return prompt

    assert answer({"id": customer}, "abcd") == "abcd"
    assert asked == ["abcd"]
    with pytest.raises(Declined):
        answer({"id": customer}, "a" * 11)
    assert charged(me, customer) == [4]


def test_terms_may_be_said_and_a_use_without_data_counts_once(
    me: Caller, client: Client, customer: str
) -> None:
    @client.metered(
        event_type="call", customer="who", max_amount=2, asset="USD", subject="the terms"
    )
    def call(who: str) -> int:
        return 7

    assert call(customer) == 7
    events = me.get(f"events?customer_id={customer}").body["items"]
    assert [(e["event_type"], e["subject"]) for e in events] == [("call", "the terms")]


def test_an_exception_of_the_function_passes_on_and_nothing_is_charged(
    me: Caller, client: Client, customer: str
) -> None:
    error = ZeroDivisionError()

    @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
    def fail(who: str) -> str:
        raise error

    with pytest.raises(ZeroDivisionError) as raised:
        fail(customer)
    assert raised.value is error
    assert (balance(me, customer), charged(me, customer)) == ((10, 0), [])


def test_a_generator_is_counted_item_by_item(me: Caller, client: Client, customer: str) -> None:
    closed: list[bool] = []

    @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
    def stream(who: str) -> Iterator[str]:
        try:
            yield from ("ab", "c", "d")
        finally:
            closed.append(True)

    assert list(stream(customer)) == ["ab", "c", "d"]
    assert charged(me, customer) == [4]
    abandoned = stream(customer)
    assert [next(abandoned), next(abandoned)] == ["ab", "c"]
    abandoned.close()  # type: ignore[attr-defined]
    assert (balance(me, customer), charged(me, customer)) == ((3, 0), [3, 4])
    assert closed == [True, True]
    with pytest.raises(Declined):
        next(stream(customer))


def test_items_that_used_nothing_are_not_counted(me: Caller, client: Client, customer: str) -> None:
    @client.metered(
        event_type="llm",
        customer="who",
        estimate=UP_TO,
        usage=lambda item: {"tokens": item} if item else None,
    )
    def stream(who: str, items: list[int]) -> Iterator[int]:
        yield from items

    assert list(stream(customer, [0, 0])) == [0, 0]
    assert charged(me, customer) == []
    assert list(stream(customer, [0, 3])) == [0, 3]
    assert charged(me, customer) == [3]

    @client.metered(event_type="call", customer="who", max_amount=1, asset="USD")
    def plain(who: str) -> Iterator[int]:
        yield from (1, 2)

    assert list(plain(customer)) == [1, 2]
    assert charged(me, customer) == [0, 3]


def test_async_functions_and_generators_are_charged_the_same(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
        async def answer(who: str, prompt: str) -> str:
            return prompt

        @client.metered(event_type="llm", customer="who", estimate={"tokens": 3}, usage=length)
        async def stream(who: str) -> AsyncIterator[str]:
            for item in ("a", "b", "c"):
                yield item

        @client.metered(event_type="call", customer="who", max_amount=1, asset="USD")
        async def plain(who: str) -> AsyncIterator[int]:
            yield 1

        assert await answer(customer, "ab") == "ab"
        assert [item async for item in stream(customer)] == ["a", "b", "c"]
        assert [item async for item in plain(customer)] == [1]
        abandoned = stream(customer)
        assert await anext(abandoned) == "a"
        await abandoned.aclose()  # type: ignore[attr-defined]
        async for _ in stream(customer):
            break  # The loop closes it when it is forgotten.
        while len(charged(me, customer)) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)

    run(shared_server.url, story)
    assert (balance(me, customer), charged(me, customer)) == ((3, 0), [1, 1, 0, 3, 2])


def test_a_function_of_the_other_kind_or_without_that_argument_is_refused_at_once(
    client: Client,
) -> None:
    def plain(who: str) -> None: ...

    async def waiting(who: str) -> None: ...

    async def stream(who: str) -> AsyncIterator[int]:
        yield 1

    for function in (waiting, stream):
        with pytest.raises(TypeError, match="use an AsyncClient"):
            client.metered(event_type="llm", customer="who")(function)
    with pytest.raises(TypeError, match="use a Client"):
        AsyncClient("http://x", TEST_KEY).metered(event_type="llm", customer="who")(plain)
    with pytest.raises(ValueError, match="plain has no argument 'user'; it has: who"):
        client.metered(event_type="llm", customer="user")(plain)


def test_a_generator_keeps_what_it_is_sent_what_is_thrown_into_it_and_what_it_returns(
    me: Caller, client: Client, customer: str
) -> None:
    @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
    def echo(who: str) -> Generator[str, str, str]:
        sent = yield "a"
        try:
            yield sent
        except KeyError as error:
            yield str(error.args[0])
        return "the end"

    talk = echo(customer)
    assert (next(talk), talk.send("bc"), talk.throw(KeyError("def"))) == ("a", "bc", "def")
    with pytest.raises(StopIteration) as ended:
        next(talk)
    assert (ended.value.value, charged(me, customer)) == ("the end", [6])
    me.give(customer, "9")
    failing = echo(customer)
    next(failing)
    with pytest.raises(ZeroDivisionError):
        failing.throw(ZeroDivisionError())
    assert charged(me, customer) == [1, 6]


def test_an_async_generator_keeps_what_it_is_sent_and_what_is_thrown_into_it(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
        async def echo(who: str) -> AsyncGenerator[str, str]:
            sent = yield "a"
            try:
                yield sent
            except KeyError as error:
                yield str(error.args[0])

        talk = echo(customer)
        assert (await anext(talk), await talk.asend("bc")) == ("a", "bc")
        assert await talk.athrow(KeyError("def")) == "def"
        assert [item async for item in talk] == []

    run(shared_server.url, story)
    assert charged(me, customer) == [6]


def test_a_generator_that_is_never_begun_asks_for_nothing(
    me: Caller, client: Client, customer: str
) -> None:
    @client.metered(event_type="llm", customer="who", estimate=UP_TO, usage=length)
    def stream(who: str) -> Iterator[str]:
        yield "a"

    stream(customer).close()  # type: ignore[attr-defined]
    assert client.list_holds(customer).total_count == 0
