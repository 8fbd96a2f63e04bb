"""Operations on what calls of models cost: the seller's own prices, and what a call would come
to."""

from __future__ import annotations

from faregate.catalog import model_prices
from faregate.core.codec import checked
from faregate.core.given import check_free
from faregate.core.model_uses import COUNTS
from faregate.core.own_model_prices import CreateModelPrice, ModelPrice
from faregate.core.problems import FaregateError, invalid
from faregate.costing.attaching import Attaching, load_table
from faregate.costing.types import ModelCostQuote, QuoteModelCost, quoted
from faregate.engine.base import EngineBase, Key, Page
from faregate.platform.environments import AccountContext


class ModelCostOperations(EngineBase):
    """Model prices."""

    async def create_model_price(
        self,
        request: CreateModelPrice,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> ModelPrice:
        """Say what a model costs you; it goes before the providers' table for events that come in
        from now on. Raises 409 if there are too many, 422."""
        request = checked(request)
        environment = self._environment(context)
        async with self._catalog_change() as change:
            return await self._once(
                Key("model_prices", idempotency_key, environment),
                change,
                request,
                ModelPrice,
                lambda: model_prices.insert_model_price(
                    change, environment, request, self._ticked(), self._clock()
                ),
            )

    async def get_model_price(
        self, price_id: str, *, context: AccountContext | None = None
    ) -> ModelPrice:
        """Return a model price, also one that was deleted. Raises 404."""
        environment = self._environment(context)
        return await model_prices.get_model_price(self._store, environment, price_id)

    async def list_model_prices(
        self, limit: int = 20, offset: int = 0, *, context: AccountContext | None = None
    ) -> Page:
        """List the model prices that are not deleted, the newest first."""
        environment = self._environment(context)
        items, count = await model_prices.list_model_prices(self._store, environment, limit, offset)
        return Page(items, count, limit, offset)

    async def delete_model_price(
        self, price_id: str, *, context: AccountContext | None = None
    ) -> None:
        """Let a model price price nothing any more; costs that were attached stay. Raises 404."""
        async with self._catalog_change() as change:
            await model_prices.delete_model_price(
                change, self._environment(context), price_id, self._clock()
            )

    async def quote_model_cost(
        self, request: QuoteModelCost, *, context: AccountContext | None = None
    ) -> ModelCostQuote:
        """Say what a call of a model costs you, with the working, whether or not costs are
        attached to events; changes nothing. Raises 422 if the data tells of no call."""
        request = checked(request)
        refusal = check_free("data", request.data)
        if refusal is not None:
            raise FaregateError(refusal)
        environment = await self._look(context)
        await load_table()
        attaching = Attaching(self._catalog.model_prices(environment))
        found = attaching(request.data, request.occurred_at or self._clock())
        if found is None:
            remedy = f"name the model, and count at least one of {', '.join(COUNTS)}"
            raise FaregateError(invalid("data", f"tells of no call of a model: {remedy}"))
        return quoted(found)
