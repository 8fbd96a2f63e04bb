"""A payment provider that nobody needs an account for: it moves no money, its page is ours, and its
cards are test cards. To the rest of Faregate it is a provider like any other: what becomes of a
payment is its own row, and it tells of it by signed messages that come in at the same door.

It collects for the test mode only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import structs

from faregate.core.codec import decode, encode
from faregate.core.instants import to_us
from faregate.payments.cards import TestCard, find_card
from faregate.payments.provider import (
    BadMessage,
    Begun,
    CheckoutAsked,
    Merchant,
    Message,
    Money,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    RefundAsked,
    Returned,
    SavedCard,
    SavedCharge,
    SetupAsked,
    Sought,
)
from faregate.store.protocol import DuplicateKey, Queries, Store, StoreUnavailable

TOLERANCE_SECONDS: Final = 300
SIGNATURE: Final = "sandbox-signature"

Stage = Literal["open", "confirming", "succeeded", "failed", "expired"]


class SandboxPayment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sandbox knows of a payment (or, without money, of a page to save a card on)."""

    payment_id: str
    stage: Stage
    expires_at: datetime
    money: Money | None = None
    description: str = ""
    payer_name: str = ""
    return_url: str = ""
    failure_url: str = ""
    saves_card: bool = False
    card: str | None = None
    code: str | None = None
    text: str | None = None
    returns: tuple[Returned, ...] = ()
    messages: int = 0

    @property
    def dispute(self) -> Literal["open", "won", "lost"] | None:
        """Return where its dispute stands; None: nobody has disputed it."""
        for returned in self.returns:
            if returned.status in ("open", "won", "lost"):
                return returned.status
        return None


class SandboxProvider:
    """The sandbox over a store. `base_url` of a request says where its pages are."""

    name = "sandbox"

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def begin(self, secret: bytes) -> None:
        """Say with what messages are signed: all processes on one database have the same."""
        self._secret = secret

    def serves(self, merchant: Merchant) -> bool:
        """Collect for everybody, in the test mode."""
        return not merchant.is_live

    async def begin_checkout(self, asked: CheckoutAsked) -> Begun:
        """Make a page on which a test card pays."""
        payment = SandboxPayment(
            asked.payment_id,
            "open",
            asked.expires_at,
            asked.money,
            asked.description,
            asked.payer.name,
            asked.return_url,
            asked.failure_url,
            asked.saves_card,
        )
        return await self._begin(asked.merchant, payment, asked.base_url)

    async def begin_setup(self, asked: SetupAsked) -> Begun:
        """Make a page on which a test card is left."""
        payment = SandboxPayment(
            asked.setup_id,
            "open",
            asked.expires_at,
            payer_name=asked.payer.name,
            return_url=asked.return_url,
            failure_url=asked.failure_url,
            saves_card=True,
        )
        return await self._begin(asked.merchant, payment, asked.base_url)

    async def _begin(self, merchant: Merchant, payment: SandboxPayment, base_url: str) -> Begun:
        kept = await self._keep(merchant, payment)
        url = f"{base_url}/checkout/{kept.payment_id}"
        return Begun(f"sbx_{kept.payment_id}", url, kept.expires_at)

    async def charge(self, asked: SavedCharge) -> PaymentState:
        """Charge a test card that was saved."""
        card = find_card(asked.method_ref.removeprefix("card_"))
        if card is None:
            raise ProviderRefused("card_declined", "The card is no test card.")
        payment = SandboxPayment(
            asked.payment_id,
            "open",
            self._clock(),
            asked.money,
            asked.description,
            asked.payer.name,
            card=card.number,
        )
        payment = _paid(payment, card, is_present=False)
        kept = await self._keep(asked.merchant, payment)
        return _state(kept)

    async def refund(self, asked: RefundAsked) -> Returned:
        """Give money back, at once."""

        def change(payment: SandboxPayment) -> SandboxPayment:
            if any(r.refund_id == asked.refund_id for r in payment.returns):
                return payment
            left = 0 if payment.money is None else payment.money.minor
            left -= sum(r.minor for r in payment.returns if r.status not in ("failed", "won"))
            if payment.stage != "succeeded" or asked.money.minor > left:
                text = f"Only {max(0, left)} of the payment can still be given back."
                raise ProviderRefused("not_refundable", text)
            one = Returned(
                f"sbr_{asked.refund_id}", "refund", asked.money.minor, "succeeded", asked.refund_id
            )
            return structs.replace(payment, returns=(*payment.returns, one))

        payment = await self._change(asked.payment_id, change)
        return next(r for r in payment.returns if r.refund_id == asked.refund_id)

    async def look_up(self, sought: Sought) -> PaymentState | None:
        """Say where a payment stands."""
        found = await self._find(self._store, sought.payment_id)
        if found is None or found[0] != sought.merchant.environment_id:
            return None
        return _state(found[1], self._clock())

    def read_message(
        self, headers: Mapping[str, str], body: bytes, merchant: Merchant, now: datetime
    ) -> Message:
        """Read a message; its signature is over its instant and itself."""
        parts = dict(p.split("=", 1) for p in headers.get(SIGNATURE, "").split(",") if "=" in p)
        sent, given = parts.get("t", ""), parts.get("v1", "")
        if not (sent.isascii() and sent.isdigit()):
            raise BadMessage(f"the header {SIGNATURE} is missing or not readable")
        if not hmac.compare_digest(self._sign(sent, body).encode(), given.encode()):
            raise BadMessage("the signature is not the sandbox's")
        if abs(int(sent) - int(now.timestamp())) > TOLERANCE_SECONDS:
            raise BadMessage(f"it is older than {TOLERANCE_SECONDS} seconds")
        told = decode(dict[str, str], body)
        if told.get("environment") != str(merchant.environment_id):
            raise BadMessage("it is of another environment")
        return Message(told["id"], told["payment_id"])

    # -- the other side: what happens on the sandbox's pages ------------------------------------

    async def find(self, payment_id: str) -> tuple[int, SandboxPayment] | None:
        """Return a payment with its environment, for its page."""
        return await self._find(self._store, payment_id)

    async def pay(self, payment_id: str, number: str) -> SandboxPayment:
        """Pay (or save) with a test card. What has ended stays as it is. Raises `ProviderRefused`
        if the number is none of a test card."""
        card = find_card(number)
        if card is None:
            raise ProviderRefused("card_declined", "That is no test card: use one of the list.")
        now = self._clock()

        def change(payment: SandboxPayment) -> SandboxPayment:
            if payment.stage in ("succeeded", "expired"):
                return payment
            if now >= payment.expires_at:
                return structs.replace(payment, stage="expired")
            payment = structs.replace(payment, card=card.number, code=None, text=None)
            if card.confirms:
                return structs.replace(payment, stage="confirming")
            return _paid(payment, card, is_present=True)

        return await self._change(payment_id, change)

    async def confirm(self, payment_id: str, *, is_confirmed: bool) -> SandboxPayment:
        """Go on with a payment that waits for its customer to confirm it; or not, then another card
        may be tried."""

        def change(payment: SandboxPayment) -> SandboxPayment:
            card = find_card(payment.card or "")
            if payment.stage != "confirming" or card is None:
                return payment
            if self._clock() >= payment.expires_at:
                return structs.replace(payment, stage="expired")
            if not is_confirmed:
                text = "The payment was not confirmed. Try again, or use another card."
                code = "authentication_required"
                return structs.replace(payment, stage="open", code=code, text=text)
            return _paid(payment, card, is_present=True)

        return await self._change(payment_id, change)

    async def settle_dispute(
        self, payment_id: str, status: Literal["won", "lost"]
    ) -> SandboxPayment:
        """Decide the open dispute of a payment, as a bank would; one that is decided stays so."""

        def change(payment: SandboxPayment) -> SandboxPayment:
            returns = tuple(
                [
                    structs.replace(r, status=status)
                    if r.reason == "dispute" and r.status == "open"
                    else r
                    for r in payment.returns
                ]
            )
            return structs.replace(payment, returns=returns)

        return await self._change(payment_id, change)

    def message(self, payment_id: str, environment_id: int) -> tuple[dict[str, str], bytes]:
        """Make the message that tells of a payment: headers and body."""
        sent = str(int(self._clock().timestamp()))
        told = {
            "id": f"msg_{secrets.token_hex(12)}",
            "payment_id": payment_id,
            "environment": str(environment_id),
        }
        body = encode(told)
        return {SIGNATURE: f"t={sent},v1={self._sign(sent, body)}"}, body

    # -- its rows ---------------------------------------------------------------------------------

    def _sign(self, sent: str, body: bytes) -> str:
        return hmac.new(self._secret, sent.encode() + b"." + body, hashlib.sha256).hexdigest()

    async def _find(
        self, queries: Queries, payment_id: str, *, locks: bool = False
    ) -> tuple[int, SandboxPayment] | None:
        ending = " FOR UPDATE" if locks and self._store.url.startswith("postgresql") else ""
        try:
            rows = await queries.fetch(
                f"SELECT environment_id, state FROM sandbox_payments WHERE id = $1{ending}",
                payment_id,
            )
        except StoreUnavailable as error:
            raise ProviderDown("the sandbox's own database does not answer") from error
        return (rows[0][0], decode(SandboxPayment, rows[0][1])) if rows else None

    async def _keep(self, merchant: Merchant, payment: SandboxPayment) -> SandboxPayment:
        """Write a payment; one that is there under its id stays, and is returned."""
        now = to_us(self._clock())
        try:
            async with self._store.transaction() as transaction:
                found = await self._find(transaction, payment.payment_id)
                if found is not None:
                    return found[1]
                await transaction.fetch(
                    "INSERT INTO sandbox_payments (id, environment_id, state, created_at, "
                    "updated_at) VALUES ($1, $2, $3, $4, $4)",
                    payment.payment_id,
                    merchant.environment_id,
                    encode(payment).decode(),
                    now,
                )
        except DuplicateKey:
            return await self._keep(merchant, payment)
        except StoreUnavailable as error:
            raise ProviderDown("the sandbox's own database does not answer") from error
        return payment

    async def _change(
        self, payment_id: str, change: Callable[[SandboxPayment], SandboxPayment]
    ) -> SandboxPayment:
        try:
            async with self._store.transaction() as transaction:
                found = await self._find(transaction, payment_id, locks=True)
                if found is None:
                    raise ProviderRefused("no_such_payment", "There is no such payment.")
                after = change(found[1])
                if after != found[1]:
                    await transaction.fetch(
                        "UPDATE sandbox_payments SET state = $2, updated_at = $3 WHERE id = $1",
                        payment_id,
                        encode(after).decode(),
                        to_us(self._clock()),
                    )
        except StoreUnavailable as error:
            raise ProviderDown("the sandbox's own database does not answer") from error
        return after


def _paid(payment: SandboxPayment, card: TestCard, *, is_present: bool) -> SandboxPayment:
    """Return a payment after its card was charged."""
    refuses = card.code is not None and not (card.fails_later and is_present)
    if refuses:
        # Whoever is there may try another card.
        stage: Stage = "open" if is_present else "failed"
        return structs.replace(payment, stage=stage, code=card.code, text=card.text)
    if card.confirms_always and not is_present:
        text = "The customer must confirm the payment."
        code = "authentication_required"
        return structs.replace(payment, stage="failed", code=code, text=text)
    returns = payment.returns
    if card.is_disputed and payment.money is not None:
        dispute = Returned(f"sbd_{payment.payment_id}", "dispute", payment.money.minor, "open")
        returns = (*returns, dispute)
    return structs.replace(payment, stage="succeeded", returns=returns, code=None, text=None)


def _state(payment: SandboxPayment, now: datetime | None = None) -> PaymentState:
    stage = payment.stage
    if stage in ("open", "confirming") and now is not None and now >= payment.expires_at:
        stage = "expired"
    money, card = payment.money, None
    if payment.card is not None and payment.saves_card and stage == "succeeded":
        test = find_card(payment.card)
        brand = None if test is None else test.brand
        card = SavedCard(f"card_{payment.card}", None, brand, payment.card[-4:], 12, 2040)
    return PaymentState(
        "open" if stage == "confirming" else stage,
        f"sbx_{payment.payment_id}",
        money.minor if money is not None and stage == "succeeded" else 0,
        None if money is None else money.currency,
        card,
        payment.returns,
        payment.code,
        payment.text,
    )
