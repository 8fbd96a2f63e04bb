"""One customer, at a glance: what they have left and in which order it will be used, what they do
at this moment, what limits them, what they are subscribed to. What changes any of it is on the tabs
beside."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.web.dashboard import (
    customer_feed,
    customer_limits,
    customer_money,
    customer_payments,
    customer_plan,
    customer_portal,
    customer_settings,
    customer_subscribing,
)
from faregate.web.dashboard.customer_frame import customer_of, frame_of, page_of, pretty
from faregate.web.dashboard.visit import Page, Visit


async def show(visit: Visit) -> Response:
    """Show the tab of everything in short."""
    frame = await frame_of(visit)
    accounts = await visit.engine.order_of_use(customer_of(visit), context=visit.context)
    holds = await visit.engine.open_holds(customer_of(visit), context=visit.context)
    return page_of(
        visit,
        frame,
        "",
        "customer.html",
        accounts=accounts,
        open_holds=len(holds),
        presets=customer_money.PRESETS,
        usual=customer_money.usual_account(accounts),
        plans=customer_plan.shown_plans(visit, frame),
        states=customer_plan.STATES,
        bars=await customer_limits.bars(visit),
        raw=pretty(frame.customer),
        feed=await customer_feed.feed_of(visit, frame, is_glance=True),
    )


PAGES: Final = (
    Page("customers/{customer_id}", show),
    *customer_feed.PAGES,
    *customer_money.PAGES,
    *customer_payments.PAGES,
    *customer_plan.PAGES,
    *customer_subscribing.PAGES,
    *customer_limits.PAGES,
    *customer_settings.PAGES,
    *customer_portal.PAGES,
)
