"""Stripe's real test mode, asked what the double is asked. It needs a key of an account's test
mode (FAREGATE_STRIPE_TEST_SECRET_KEY) and the network:

    pytest -m stripe_live tests/payments/test_stripe_live.py
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import stripe

from faregate.core.ids import IdSource
from faregate.engine import system_clock
from faregate.payments.provider import (
    CheckoutAsked,
    Merchant,
    Money,
    Payer,
    ProviderRefused,
    RefundAsked,
    SavedCharge,
    SetupAsked,
    Sought,
)
from faregate.payments.stripe import API_VERSION, StripeKeys, StripeProvider

KEY = os.environ.get("FAREGATE_STRIPE_TEST_SECRET_KEY", "")
pytestmark = [
    pytest.mark.stripe_live,
    pytest.mark.skipif(
        not KEY.startswith(("sk_test_", "rk_test_")),
        reason="FAREGATE_STRIPE_TEST_SECRET_KEY is not set: no Stripe test mode to ask",
    ),
]
ME = Merchant(1, "acc_live_test", is_live=False)
ADA = Payer("cust_1", "Ada", "ada@example.com")
BACK = ("https://example.com/thanks", "https://example.com/sorry")
USD_20 = Money(2000, "USD", 2)


@asynccontextmanager
async def provider() -> AsyncIterator[StripeProvider]:
    made = StripeProvider(system_clock, test=StripeKeys(KEY, ["whsec_none"]))
    try:
        yield made
    finally:
        await made.close()


def new_id(prefix: str) -> str:
    source = IdSource(secrets.randbits)
    source.tick(system_clock())
    return source.next(prefix)


async def saved(card: str) -> str:
    """Save one of Stripe's test cards with a new Stripe customer."""
    client = stripe.StripeClient(KEY, stripe_version=API_VERSION, http_client=stripe.HTTPXClient())
    customer = await client.v1.customers.create_async({"name": "Ada"})
    method: Any = await client.v1.payment_methods.attach_async(card, {"customer": customer.id})
    return str(method.id)


def test_pages_are_made_and_made_again() -> None:
    async def story() -> None:
        async with provider() as stripe_provider:
            ends = system_clock() + timedelta(hours=24)
            asked = CheckoutAsked(ME, new_id("tup"), ADA, USD_20, "Credit", *BACK, ends, "")
            begun = await stripe_provider.begin_checkout(asked)
            assert await stripe_provider.begin_checkout(asked) == begun
            state = await stripe_provider.look_up(Sought(ME, asked.payment_id, begun.checkout_ref))
            assert state is not None
            assert state.status == "open"
            setup = SetupAsked(ME, new_id("set"), ADA, *BACK, ends, "")
            begun = await stripe_provider.begin_setup(setup)
            state = await stripe_provider.look_up(Sought(ME, setup.setup_id, begun.checkout_ref))
            assert state is not None
            assert state.status == "open"

    asyncio.run(story())


def test_a_saved_card_is_charged_once_and_refunded_in_parts() -> None:
    async def story() -> None:
        async with provider() as stripe_provider:
            method = await saved("pm_card_visa")
            asked = SavedCharge(ME, new_id("tup"), ADA, method, USD_20, "Credit")
            state = await stripe_provider.charge(asked)
            assert (state.status, state.paid_minor) == ("succeeded", 2000)
            assert (await stripe_provider.charge(asked)).payment_ref == state.payment_ref
            ref = state.payment_ref or ""
            part = RefundAsked(ME, new_id("rfd"), asked.payment_id, ref, Money(500, "USD", 2))
            refunded = await stripe_provider.refund(part)
            assert (await stripe_provider.refund(part)).ref == refunded.ref
            more = RefundAsked(ME, new_id("rfd"), asked.payment_id, ref, USD_20)
            with pytest.raises(ProviderRefused) as refused:
                await stripe_provider.refund(more)
            assert refused.value.code == "not_refundable"
            found = await stripe_provider.look_up(Sought(ME, asked.payment_id, None, ref))
            assert found is not None
            assert [r.minor for r in found.returns] == [500]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeCustomerFail", "card_declined"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
def test_a_saved_card_that_is_refused(card: str, code: str) -> None:
    async def story() -> None:
        async with provider() as stripe_provider:
            asked = SavedCharge(ME, new_id("tup"), ADA, await saved(card), USD_20, "Credit")
            state = await stripe_provider.charge(asked)
            assert (state.status, state.code) == ("failed", code)

    asyncio.run(story())
