"""The process is killed with SIGKILL while it does what a person has confirmed: before anything is
done, and when it is done and nobody knows. The same call, made again, does it, once."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import timedelta

import pytest
from tests.faults.confirming import call
from tests.ledger.shop import NOON, Clock
from tests.loops import in_a_loop

from faregate import CreateCustomer, Engine
from faregate.core.problems import FaregateError

PRODUCT = {"name": "Calls", "code": "calls", "publish": True, "prices": []}


async def confirm(engine: Engine) -> None:
    """Confirm what is open."""
    who = await engine.create_operator("ada@example.com", "Ada", "admin", "ada's own password")
    (found,) = await engine.list_confirmations("live")
    await engine.decide_confirmation(found.id, "live", who, is_confirmed=True)


@pytest.mark.parametrize("point", ["claimed", "done"])
@pytest.mark.parametrize("tool", ["adjust_wallet", "create_product"])
@in_a_loop
async def test_what_was_confirmed_is_done_once_whenever_the_process_dies(
    database_url: str, tool: str, point: str
) -> None:
    clock = Clock(NOON)
    async with Engine.open(database_url, clock=clock) as engine:
        _, secret = await engine.create_key("live", "admin", "assistant")
        context = engine.context_of("live")
        customer = (await engine.create_customer(CreateCustomer("Acme"), context=context)).id
        gift = {"customer_id": customer, "transaction_id": "g", "asset": "USD", "amount": 25}
        arguments = json.dumps(PRODUCT if tool == "create_product" else gift | {"reason": "gift"})
        with pytest.raises(FaregateError, match="a person has to confirm it"):
            await call(engine, secret, tool, arguments)
        await confirm(engine)
    module = "tests.faults.confirming"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, database_url, secret, tool, arguments, point
    )
    assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
    async with Engine.open(database_url, clock=clock) as engine:
        (found,) = await engine.list_confirmations("live")
        assert (found.state, found.outcome) == ("used", None)
        with pytest.raises(FaregateError, match="make it again in a minute"):
            await call(engine, secret, tool, arguments)
        clock.now += timedelta(minutes=1)
        answer = await call(engine, secret, tool, arguments)
        if tool == "adjust_wallet":
            assert await call(engine, secret, tool, arguments) == answer
        assert [one.outcome for one in await engine.list_confirmations("live")] == ["done"]
        if tool == "adjust_wallet":
            (account,) = (await engine.get_wallet(customer, context=context)).accounts
            assert account.available == 25
        else:
            page = await engine.list_products(context=context)
            assert [one.code for one in page.items] == ["calls"]
        assert (await engine.verify()).is_clean


@in_a_loop
async def test_what_is_confirmed_after_the_clock_went_back_is_done(database_url: str) -> None:
    clock = Clock(NOON)
    arguments = json.dumps(PRODUCT)
    async with Engine.open(database_url, clock=clock) as engine:
        _, secret = await engine.create_key("live", "admin", "assistant")
        with pytest.raises(FaregateError, match="a person has to confirm it"):
            await call(engine, secret, "create_product", arguments)
        await confirm(engine)
        await call(engine, secret, "create_product", arguments)
    clock.now -= timedelta(hours=2)
    async with Engine.open(database_url, clock=clock) as engine:
        with pytest.raises(FaregateError, match="a person has to confirm it"):
            await call(engine, secret, "create_product", arguments)
        (asked,) = [one for one in await engine.list_confirmations("live") if one.state == "open"]
        who = (await engine.list_operators())[0]
        await engine.decide_confirmation(asked.id, "live", who, is_confirmed=True)
        # It is not asked for once more: it is done, and finds that there is such a product.
        with pytest.raises(FaregateError, match="calls"):
            await call(engine, secret, "create_product", arguments)
        found = await engine.get_confirmation(asked.id, "live")
        assert (found.state, found.outcome) == ("used", "refused")
