"""What calls of models cost the seller, over REST: prices of the seller's own, and quotes."""

from __future__ import annotations

import msgspec

from faregate.core.own_model_prices import CreateModelPrice, ModelPrice
from faregate.costing.types import ModelCostQuote, QuoteModelCost
from faregate.engine import Page
from faregate.operations.operation import ADMIN, READ_ALL, Call, Limit, Offset, Operation


class ModelPricePage(msgspec.Struct, frozen=True):
    """A page of model prices."""

    items: list[ModelPrice]
    total_count: int
    limit: int
    offset: int


class ModelPricesQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which model prices."""

    limit: Limit = 20
    offset: Offset = 0


async def _create(call: Call) -> ModelPrice:
    return await call.engine.create_model_price(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list(call: Call) -> Page:
    query = call.query
    return await call.engine.list_model_prices(query.limit, query.offset, context=call.context)


async def _get(call: Call) -> ModelPrice:
    return await call.engine.get_model_price(call.path["model_price_id"], context=call.context)


async def _delete(call: Call) -> None:
    await call.engine.delete_model_price(call.path["model_price_id"], context=call.context)


async def _quote(call: Call) -> ModelCostQuote:
    return await call.engine.quote_model_cost(call.body, context=call.context)


_ONE = "/model-prices/{model_price_id}"

OPERATIONS = (
    Operation(
        "POST",
        "/model-prices",
        _create,
        "Model prices",
        "Say what a model costs you: it goes before the providers' table",
        ADMIN,
        201,
        body=CreateModelPrice,
        answer=ModelPrice,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/model-prices",
        _list,
        "Model prices",
        "List your own model prices, the newest first",
        READ_ALL,
        query=ModelPricesQuery,
        answer=ModelPricePage,
    ),
    Operation(
        "POST",
        "/model-prices/quote",
        _quote,
        "Model prices",
        "Say what a call of a model costs you, with the working; changes nothing",
        READ_ALL,
        body=QuoteModelCost,
        answer=ModelCostQuote,
    ),
    Operation(
        "GET",
        _ONE,
        _get,
        "Model prices",
        "Get a model price of your own, also one that was deleted",
        READ_ALL,
        answer=ModelPrice,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        _ONE,
        _delete,
        "Model prices",
        "Delete a model price; costs that were attached by it stay",
        ADMIN,
        204,
        errors=(404,),
    ),
)
