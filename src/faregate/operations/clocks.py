"""Test clocks over REST."""

from __future__ import annotations

import msgspec

from faregate.engine import Page
from faregate.operations.operation import ADMIN, READ_ALL, Call, Operation, PageQuery
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock, TestClock


class TestClockPage(msgspec.Struct, frozen=True):
    """A page of test clocks, the newest first."""

    items: list[TestClock]
    total_count: int
    limit: int
    offset: int


async def _create(call: Call) -> TestClock:
    return await call.engine.create_test_clock(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list(call: Call) -> Page:
    query = call.query
    return await call.engine.list_test_clocks(query.limit, query.offset, context=call.context)


async def _get(call: Call) -> TestClock:
    return await call.engine.get_test_clock(call.path["clock_id"], context=call.context)


async def _advance(call: Call) -> TestClock:
    return await call.engine.advance_test_clock(
        call.path["clock_id"], call.body, context=call.context
    )


OPERATIONS = (
    Operation(
        "POST",
        "/test-clocks",
        _create,
        "Test clocks",
        "Make a clock by which customers of the test mode can live",
        ADMIN,
        201,
        body=CreateTestClock,
        answer=TestClock,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/test-clocks",
        _list,
        "Test clocks",
        "List test clocks",
        READ_ALL,
        query=PageQuery,
        answer=TestClockPage,
    ),
    Operation(
        "GET",
        "/test-clocks/{clock_id}",
        _get,
        "Test clocks",
        "Get a test clock",
        READ_ALL,
        answer=TestClock,
        errors=(404,),
    ),
    Operation(
        "POST",
        "/test-clocks/{clock_id}/advance",
        _advance,
        "Test clocks",
        "Move a test clock forward: everything that is due until then happens",
        ADMIN,
        body=AdvanceTestClock,
        answer=TestClock,
        errors=(404,),
    ),
)
