"""Reporting over REST what became of a use that was recorded before."""

from __future__ import annotations

from faregate.core.amounts import to_decimal
from faregate.core.outcomes import OutcomeRequest
from faregate.customers.wire import OutcomeSettled, ReversedFee, SettleOutcome
from faregate.operations.operation import INGEST, Call, Operation
from faregate.operations.usage import customer_of, show_fee


async def _settle(call: Call) -> OutcomeSettled:
    body: SettleOutcome = call.body
    customer_id = None
    if body.customer_id is not None or body.customer_external_id is not None:
        customer_id = await customer_of(
            call.engine, call.context, body.customer_id, body.customer_external_id
        )
    request = OutcomeRequest(body.transaction_id, body.outcome, body.data, body.description)
    customer_id, settled = await call.engine.settle_outcome(
        call.path["event_id"], request, customer_id, context=call.context
    )
    view = call.engine.catalog_view(call.context)
    scales = {code: asset.scale for code, asset in view.assets.items()}
    return OutcomeSettled(
        settled.event_id,
        customer_id,
        settled.outcome,
        [show_fee(fee, view) for fee in settled.fees],
        [
            ReversedFee(fee.id, fee.asset, fee.account_id, to_decimal(fee.units, scales[fee.asset]))
            for fee in settled.reversed
        ],
        {code: to_decimal(units, scales[code]) for code, units in settled.net_units.items()},
        {
            account: to_decimal(units, scales[account.rpartition(":")[2]])
            for account, units in settled.balances.items()
        },
        list(settled.warnings),
    )


OPERATIONS = (
    Operation(
        "POST",
        "/events/{event_id:path}/outcome",
        _settle,
        "Events",
        "Say what became of an event: confirmed (charged), changed, or withdrawn (given back)",
        INGEST,
        body=SettleOutcome,
        answer=OutcomeSettled,
        errors=(402, 404, 409),
    ),
)
