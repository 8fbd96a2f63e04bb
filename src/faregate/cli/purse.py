"""How the demo's customers pay: they top up on the sandbox's page with a test card, leave a card,
let it top up by itself, or transfer what a contract asks.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from faregate.cli.crowd import Buyer
from faregate.cli.shop import ENTERPRISE, SPARK, SPARKS, STUDIO, TEAM
from faregate.core.amounts import Number, to_decimal
from faregate.core.assets import CURRENCIES
from faregate.core.transactions import AdjustmentRequest
from faregate.engine import Engine
from faregate.payments.types import AutoTopUpTerms, BeginSetup, InitiateTopUp, TopUpDestination

VISA: Final = "4242 4242 4242 4242"
MASTERCARD: Final = "5555 5555 5555 4444"
DECLINED: Final = "4000 0000 0000 0002"
DECLINED_LATER: Final = "4000 0000 0000 0341"
DISPUTED: Final = "4000 0000 0000 0259"
USD_ACCOUNT: Final = "default:USD"
SPARK_ACCOUNT: Final = f"default:{SPARK}"
_EXPIRY, _CODE = "12/40", "123"
_AMOUNTS: Final = (20, 50, 100, 250, 500)
_FIRST: Final = {"in_the_red": 20, "auto_top_up": 60}
"""What some pay at the beginning, in USD."""
_WORTH: Final = 5_000
"""So many USD a month are about what a customer with all uses would spend."""


def usual_amount(buyer: Buyer) -> int:
    """Return how many USD a customer pays at a time."""
    if buyer.product in (STUDIO, SPARKS):
        return 50 if buyer.product == SPARKS else 40
    if buyer.product == TEAM:
        return 250
    return next((a for a in _AMOUNTS if a >= buyer.weight * _WORTH), _AMOUNTS[-1])


class Purse:
    """Pays, in the name of customers. `address` is where the demo's pages are."""

    def __init__(self, engine: Engine, address: str) -> None:
        self._engine = engine
        self._address = address
        self._transfers = 0

    def go_on_with(self, engine: Engine) -> None:
        """Go on with another engine of the same database."""
        self._engine = engine

    async def top_up(
        self, buyer: Buyer, usd: int, card: str | None = VISA, *, sparks: bool = False
    ) -> str:
        """Let a customer pay on the sandbox's page; without a card they leave it open. Returns the
        top-up's id."""
        shown = f"{self._address}/docs"
        wanted = InitiateTopUp(
            buyer.id,
            Number(usd),
            "USD",
            shown,
            shown,
            f"{usd * 100:,} sparks" if sparks else f"Credit, {usd} USD",
            TopUpDestination(SPARK) if sparks else None,
        )
        begun = await self._engine.initiate_top_up(wanted, base_url=self._address)
        if card is not None:
            await self._engine.pay_checkout(begun.id, card, _EXPIRY, _CODE)
            await self.look(buyer)
        return begun.id

    async def leave_card(self, buyer: Buyer, card: str = VISA) -> None:
        """Let a customer leave a card for later."""
        shown = f"{self._address}/docs"
        begun = await self._engine.begin_setup(
            buyer.id, BeginSetup(shown, shown), base_url=self._address
        )
        await self._engine.pay_checkout(begun.id, card, _EXPIRY, _CODE)

    async def agree_auto_top_up(self, buyer: Buyer, threshold: int, amount: int) -> None:
        """Let a customer's card pay `amount` USD whenever less than `threshold` is left."""
        terms = AutoTopUpTerms(
            enabled=True,
            threshold=Number(threshold),
            amount=Number(amount),
            monthly_cap=Number(amount * 20),
        )
        await self._engine.set_auto_top_up(buyer.id, USD_ACCOUNT, terms)

    async def transfer(self, buyer: Buyer, usd: int, description: str) -> None:
        """Book what a customer has transferred to the bank."""
        self._transfers += 1
        name = f"transfer-{self._transfers}"
        paid = AdjustmentRequest(
            name, "USD", Number(usd), "external_topup", description=description
        )
        await self._engine.adjust(buyer.id, paid)
        await self.look(buyer)

    async def fill(self, buyer: Buyer) -> None:
        """Let a customer pay what they pay at the beginning."""
        usd = _FIRST.get(buyer.role or "", usual_amount(buyer))
        if buyer.product == ENTERPRISE:
            await self.transfer(buyer, 9_000, "Contract, paid in advance by bank transfer")
        elif buyer.product == SPARKS:
            await self.top_up(buyer, usd, MASTERCARD, sparks=True)
        else:
            await self.top_up(buyer, usd)

    async def look(self, buyer: Buyer) -> None:
        """See what a customer has left."""
        wallet = await self._engine.get_wallet(buyer.id)
        for account in wallet.accounts:
            buyer.left[account.id] = account.available

    def saw(self, buyer: Buyer, balances: dict[str, int]) -> None:
        """Take in what an answer says is left, in units."""
        for account, units in balances.items():
            scale = CURRENCIES["USD"].scale if account == USD_ACCOUNT else 0
            buyer.left[account] = to_decimal(units, scale)

    async def refill(self, buyer: Buyer) -> bool:
        """Let a customer top up who has little left; tells whether they did."""
        usd, sparks = usual_amount(buyer), buyer.left.get(SPARK_ACCOUNT, Decimal(0))
        has = buyer.left.get(USD_ACCOUNT, Decimal(0))
        if buyer.product == ENTERPRISE:
            return False
        if buyer.product in (STUDIO, SPARKS) and sparks < 100:
            await self.top_up(buyer, 10 if buyer.product == STUDIO else usd, sparks=True)
            return True
        if buyer.product == SPARKS or has >= usd * Decimal("0.15") + _kept_for_fees(buyer):
            return False
        await self.top_up(buyer, usd)
        return True


def _kept_for_fees(buyer: Buyer) -> int:
    """Return how many USD a customer keeps for what is due each month."""
    return 30 if buyer.product == STUDIO else 220 if buyer.product == TEAM else 0
