"""Stripe as a payment provider, through its official SDK: pages are Checkout Sessions, saved cards
are charged by PaymentIntents with nobody there. Money goes to the Stripe account that the secret
key is of, or to one that is connected to it.

Everything that is asked carries our own id, as idempotency key and in the metadata. Stripe keeps a
key for 24 hours; after that, what may have happened is looked for before it is asked again: a page
has ended by then, a charge is found among those of its Stripe customer, a refund among those of its
payment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

import httpx
import stripe
from stripe import StripeClient

from faregate.core.ids import instant_of
from faregate.core.instants import EPOCH
from faregate.payments.provider import (
    BadMessage,
    Begun,
    CheckoutAsked,
    Merchant,
    Message,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    RefundAsked,
    Returned,
    SavedCharge,
    SetupAsked,
    Sought,
)
from faregate.payments.stripe_amounts import to_stripe
from faregate.payments.stripe_errors import AskedOtherwise, declined_state, speaking_plainly
from faregate.payments.stripe_events import SIGNATURE, check_signature, read_event
from faregate.payments.stripe_objects import (
    ENVIRONMENT,
    PAYMENT,
    REFUND,
    Dispute,
    Intent,
    Method,
    Refund,
    Session,
    read,
    returned_dispute,
    returned_refund,
    state_of_intent,
    state_of_session,
)

API_VERSION: Final = "2026-10-28.endive"
TIMEOUT_SECONDS: Final = 20.0
CONNECT_SECONDS: Final = 5.0
RETRIES: Final = 1
KEY_LIFE: Final = timedelta(hours=23)
"""Stripe forgets an idempotency key after 24 hours; its clock and ours may differ."""
SHORTEST_PAGE: Final = timedelta(minutes=32)
LONGEST_PAGE: Final = timedelta(hours=23, minutes=50)
"""Stripe's pages live for 30 minutes to 24 hours, by its own clock."""
PAGE: Final = 100
MAX_PAGES: Final = 10
MAX_NAME: Final = 250

# It would write a file into the user's configuration and tell Stripe about this machine.
stripe.enable_telemetry = False


class StripeKeys:
    """The secrets of one mode: the key that asks Stripe, and those that Stripe's messages to each
    endpoint of ours are signed with. They do not show."""

    __slots__ = ("secret_key", "webhook_secrets")

    def __init__(self, secret_key: str, webhook_secrets: Sequence[str]) -> None:
        self.secret_key = secret_key
        self.webhook_secrets = tuple(webhook_secrets)

    def __repr__(self) -> str:
        return "StripeKeys(...)"


class StripeProvider:
    """Collects through Stripe, in each mode that there are keys for.

    `accounts` names the connected Stripe account (`acct_…`) of each of our accounts other than the
    platform's own. `api_base` is where Stripe is, for a double of it.
    """

    name = "stripe"

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        test: StripeKeys | None = None,
        live: StripeKeys | None = None,
        accounts: Mapping[str, str] | None = None,
        api_base: str | None = None,
        retries: int = RETRIES,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._clock = clock
        self._keys = {is_live: keys for is_live, keys in ((False, test), (True, live)) if keys}
        self._accounts = dict(accounts or {})
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._http = stripe.HTTPXClient(timeout=timeout)
        self._clients = {
            is_live: StripeClient(
                keys.secret_key,
                stripe_version=API_VERSION,
                base_addresses={} if api_base is None else {"api": api_base},
                max_network_retries=retries,
                http_client=self._http,
            )
            for is_live, keys in self._keys.items()
        }

    async def close(self) -> None:
        """Close the connections to Stripe."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    def connect(self, account_id: str, stripe_account: str) -> None:
        """Say which Stripe account collects for one of our accounts."""
        self._accounts[account_id] = stripe_account

    def serves(self, merchant: Merchant) -> bool:
        """Collect for the platform, and for accounts whose Stripe account is known."""
        known = merchant.is_platform or merchant.account_id in self._accounts
        return known and merchant.is_live in self._keys

    # -- what begins -----------------------------------------------------------------------------

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        """Make a Checkout Session on which the customer pays."""
        metadata = _metadata(asked.merchant, asked.payment_id)
        intent: dict[str, Any] = {"metadata": metadata, "description": asked.description}
        if asked.saves_card:
            intent["setup_future_usage"] = "off_session"
        price = {
            "currency": asked.money.currency.lower(),
            "unit_amount": to_stripe(asked.money),
            "product_data": {"name": asked.description[:MAX_NAME]},
        }
        return await self._begin(
            asked,
            asked.payment_id,
            {
                "mode": "payment",
                "line_items": [{"quantity": 1, "price_data": price}],
                "payment_intent_data": intent,
                # What is paid is what was asked, in the currency in which it was asked.
                "adaptive_pricing": {"enabled": False},
            },
            is_kept=asked.saves_card,
        )

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        """Make a Checkout Session on which the customer leaves a card."""
        metadata = _metadata(asked.merchant, asked.setup_id)
        return await self._begin(
            asked,
            asked.setup_id,
            {
                "mode": "setup",
                "allowed_payment_method_types": ["card"],
                "setup_intent_data": {"metadata": metadata},
            },
            is_kept=True,
        )

    async def _begin(
        self,
        asked: CheckoutAsked | SetupAsked,
        our_id: str,
        more: dict[str, Any],
        *,
        is_kept: bool,
    ) -> Begun:
        params: dict[str, Any] = {
            **more,
            "client_reference_id": our_id,
            "metadata": _metadata(asked.merchant, our_id),
            "success_url": asked.return_url,
            "cancel_url": asked.failure_url,
            "expires_at": int(_end_of_page(our_id, asked.expires_at).timestamp()),
        }
        payer = asked.payer
        guest: dict[str, Any] = {"customer_creation": "always"} if is_kept else {}
        if payer.email is not None:
            guest["customer_email"] = payer.email
        known = guest if payer.provider_ref is None else {"customer": payer.provider_ref}
        try:
            session = await self._new_session(asked.merchant, our_id, {**params, **known})
        except ProviderRefused as error:
            if error.code != "no_such_payment" or payer.provider_ref is None:
                raise
            # Their Stripe customer was deleted there: they are a new one.
            session = await self._new_session(
                asked.merchant, f"{our_id}:guest", {**params, **guest}
            )
        if session.url is None:
            raise ProviderRefused("expired", "The page has ended: begin another payment.")
        return Begun(session.id, session.url, EPOCH + timedelta(seconds=session.expires_at))

    async def _new_session(self, merchant: Merchant, key: str, params: Any) -> Session:
        sessions = self._client(merchant).v1.checkout.sessions
        options = self._options(merchant, f"page:{key}")
        try:
            with speaking_plainly():
                return read(Session, await sessions.create_async(params, options))
        except AskedOtherwise:
            # The customer has another name or address by now: the page is there all the same.
            found = await self._find_session(merchant, params["client_reference_id"])
            if found is None:
                raise
            return found

    async def _find_session(self, merchant: Merchant, our_id: str) -> Session | None:
        begun = instant_of(our_id) or self._clock()
        created = {"gte": int((begun - timedelta(days=1)).timestamp())}
        params: dict[str, Any] = {"limit": PAGE, "created": created}
        sessions = self._client(merchant).v1.checkout.sessions
        for _ in range(MAX_PAGES):
            with speaking_plainly():
                page = await sessions.list_async(cast(Any, params), self._options(merchant))
            for one in page.data:
                session = read(Session, one)
                if session.client_reference_id == our_id:
                    return session
            if not page.has_more:
                return None
            params["starting_after"] = page.data[-1].id
        return None

    # -- what moves money ------------------------------------------------------------------------

    async def charge(self, asked: SavedCharge) -> PaymentState:
        """Charge a saved card with nobody there. One that is refused, or that its bank wants the
        customer to confirm, is a payment that failed."""
        merchant, client = asked.merchant, self._client(asked.merchant)
        with speaking_plainly():
            found = await client.v1.payment_methods.retrieve_async(
                asked.method_ref, options=self._options(merchant)
            )
        customer = read(Method, found).customer or asked.payer.provider_ref
        if customer is None:
            raise ProviderRefused("card_declined", "The card is no longer saved with its customer.")
        begun = instant_of(asked.payment_id)
        if begun is not None and self._clock() - begun > KEY_LIFE:
            known = await self._find_charge(merchant, customer, asked.payment_id, begun)
            if known is not None:
                return await self._state(merchant, known)
        params: dict[str, Any] = {
            "amount": to_stripe(asked.money),
            "currency": asked.money.currency.lower(),
            "customer": customer,
            "payment_method": asked.method_ref,
            "off_session": True,
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "description": asked.description,
            "metadata": _metadata(merchant, asked.payment_id),
        }
        options = self._options(merchant, f"charge:{asked.payment_id}")
        with speaking_plainly():
            try:
                made = await client.v1.payment_intents.create_async(cast(Any, params), options)
            except stripe.CardError as error:
                return declined_state(error)
        return await self._state(merchant, read(Intent, made))

    async def _find_charge(
        self, merchant: Merchant, customer: str, payment_id: str, begun: datetime
    ) -> Intent | None:
        """Find a charge among those of its Stripe customer: this list, unlike a search, has what
        was made a moment ago."""
        created = {"gte": int((begun - timedelta(days=1)).timestamp())}
        params: dict[str, Any] = {"customer": customer, "created": created, "limit": PAGE}
        params["expand"] = ["data.latest_charge", "data.payment_method"]
        intents = self._client(merchant).v1.payment_intents
        for _ in range(MAX_PAGES):
            with speaking_plainly():
                page = await intents.list_async(cast(Any, params), self._options(merchant))
            for one in page.data:
                intent = read(Intent, one)
                if intent.metadata.get(PAYMENT) == payment_id:
                    return intent
            if not page.has_more:
                return None
            params["starting_after"] = page.data[-1].id
        raise ProviderDown(f"it is not certain whether {payment_id} was charged")

    async def refund(self, asked: RefundAsked) -> Returned:
        """Give money back. A refund that was made already, however long ago, is found."""
        merchant = asked.merchant
        for refund in await self._refunds(merchant, asked.payment_ref):
            if (refund.metadata or {}).get(REFUND) == asked.refund_id:
                return returned_refund(refund, asked.money.currency)
        params: dict[str, Any] = {
            "payment_intent": asked.payment_ref,
            "amount": to_stripe(asked.money),
            "metadata": {**_metadata(merchant, asked.payment_id), REFUND: asked.refund_id},
        }
        options = self._options(merchant, f"refund:{asked.refund_id}")
        refunds = self._client(merchant).v1.refunds
        with speaking_plainly("not_refundable"):
            made = await refunds.create_async(cast(Any, params), options)
        return returned_refund(read(Refund, made), asked.money.currency)

    # -- what is known ---------------------------------------------------------------------------

    async def look_up(self, sought: Sought) -> PaymentState | None:
        """Say where a payment stands, by what Stripe calls it; or, if we died before we knew that,
        by our id in its metadata. Stripe's search lags behind by up to a minute; until then None
        may mean that it is too early to say."""
        merchant = sought.merchant
        try:
            if sought.checkout_ref is not None:
                return await self._look_at_page(merchant, sought.checkout_ref)
            if sought.payment_ref is not None:
                intent = await self._intent(merchant, sought.payment_ref)
            else:
                found = await self._search(merchant, sought.payment_id)
                if found is None:
                    return None
                intent = found
        except ProviderRefused as error:
            if error.code == "no_such_payment":
                return None
            raise
        return await self._state(merchant, intent)

    async def _look_at_page(self, merchant: Merchant, ref: str) -> PaymentState:
        intent = ("payment_intent.latest_charge", "payment_intent.payment_method")
        params: Any = {"expand": [*intent, "setup_intent.payment_method"]}
        sessions = self._client(merchant).v1.checkout.sessions
        with speaking_plainly():
            found = await sessions.retrieve_async(ref, params, self._options(merchant))
        session = read(Session, found)
        returns: tuple[Returned, ...] = ()
        if isinstance(session.payment_intent, Intent):
            returns = await self._returns(merchant, session.payment_intent)
        return state_of_session(session, returns)

    async def _intent(self, merchant: Merchant, ref: str) -> Intent:
        params: Any = {"expand": ["latest_charge", "payment_method"]}
        intents = self._client(merchant).v1.payment_intents
        with speaking_plainly():
            found = await intents.retrieve_async(ref, params, self._options(merchant))
        return read(Intent, found)

    async def _search(self, merchant: Merchant, payment_id: str) -> Intent | None:
        if not re.fullmatch(r"[\w:-]+", payment_id):
            return None
        params: Any = {
            "query": f"metadata['{PAYMENT}']:'{payment_id}'",
            "expand": ["data.latest_charge", "data.payment_method"],
            "limit": PAGE,
        }
        intents = self._client(merchant).v1.payment_intents
        with speaking_plainly():
            page = await intents.search_async(params, self._options(merchant))
        environment = str(merchant.environment_id)
        found = [read(Intent, one) for one in page.data]
        ours = [i for i in found if i.metadata.get(ENVIRONMENT) == environment]
        ours.sort(key=lambda intent: intent.status != "succeeded")
        return ours[0] if ours else None

    async def _state(self, merchant: Merchant, intent: Intent) -> PaymentState:
        return state_of_intent(intent, await self._returns(merchant, intent))

    async def _returns(self, merchant: Merchant, intent: Intent) -> tuple[Returned, ...]:
        """Everything that has gone back of a payment. A refund that failed is no longer in the
        charge's own sum, so refunds are always asked for."""
        if intent.status != "succeeded":
            return ()
        currency = intent.currency.upper()
        refunds = await self._refunds(merchant, intent.id)
        returns = [returned_refund(refund, currency) for refund in refunds]
        if intent.is_disputed:
            params: Any = {"payment_intent": intent.id, "limit": PAGE}
            disputes = self._client(merchant).v1.disputes
            with speaking_plainly():
                page = await disputes.list_async(params, self._options(merchant))
            found = [returned_dispute(read(Dispute, one), currency) for one in page.data]
            returns += [one for one in found if one is not None]
        return tuple(returns)

    async def _refunds(self, merchant: Merchant, ref: str) -> list[Refund]:
        params: dict[str, Any] = {"payment_intent": ref, "limit": PAGE}
        refunds, found = self._client(merchant).v1.refunds, list[Refund]()
        for _ in range(MAX_PAGES):
            with speaking_plainly():
                page = await refunds.list_async(cast(Any, params), self._options(merchant))
            found += [read(Refund, one) for one in page.data]
            if not page.has_more:
                return found
            params["starting_after"] = found[-1].id
        raise ProviderDown(f"{ref} has more than {PAGE * MAX_PAGES} refunds")

    # -- what is told ----------------------------------------------------------------------------

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        """Read an event. Whatever it says, only which payment it is about is taken from it."""
        keys = self._keys.get(merchant.is_live)
        if keys is None:
            raise BadMessage("it is of a mode that there are no keys for")
        check_signature(headers.get(SIGNATURE, ""), body, keys.webhook_secrets, now)
        return read_event(body, merchant, self._accounts)

    # -- how it is asked -------------------------------------------------------------------------

    def _client(self, merchant: Merchant) -> StripeClient:
        client = self._clients.get(merchant.is_live)
        if client is None:
            mode = "LIVE" if merchant.is_live else "TEST"
            raise ProviderRefused("misconfigured", f"FAREGATE_STRIPE_{mode}_SECRET_KEY is not set.")
        return client

    def _options(self, merchant: Merchant, key: str | None = None) -> Any:
        options: dict[str, str] = {}
        if key is not None:
            # Environments of one Faregate may share a Stripe account; so may two Faregates, whose
            # ids differ.
            options["idempotency_key"] = f"faregate:{merchant.environment_id}:{key}"
        if not merchant.is_platform:
            account = self._accounts.get(merchant.account_id)
            if account is None:
                text = f"The account {merchant.account_id} has no Stripe account."
                raise ProviderRefused("misconfigured", text)
            options["stripe_account"] = account
        return options


def _metadata(merchant: Merchant, our_id: str) -> dict[str, str]:
    return {PAYMENT: our_id, ENVIRONMENT: str(merchant.environment_id)}


def _end_of_page(our_id: str, wanted: datetime) -> datetime:
    """Return when a page ends: as asked, within what Stripe allows. Asked again, it is the same."""
    begun = instant_of(our_id)
    if begun is None:
        return wanted - timedelta(minutes=10)
    return min(max(wanted, begun + SHORTEST_PAGE), begun + LONGEST_PAGE)
