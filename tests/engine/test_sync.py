"""The engine for programs without an event loop has what the other one has."""

import inspect

from tests.ledger.shop import NOON, Clock

from faregate import (
    AdjustmentRequest,
    CaptureRequest,
    CreateCustomer,
    Engine,
    HoldRequest,
    SyncEngine,
)
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.outcomes import OutcomeRequest

INSIDE = {
    "accept_invitation",
    "account_of_portal_session",
    "allow_assistant",
    "begin_leaving_card",
    "begin_own_card",
    "begin_own_top_up",
    "begin_paying",
    "change_password",
    "choose_portal_locale",
    "confirm_checkout",
    "context_of_customer",
    "count_open_confirmations",
    "customer_names",
    "decide_confirmation",
    "decide_dispute",
    "do_confirmed",
    "end_assistant",
    "end_operator_session",
    "end_other_sessions",
    "enter_portal",
    "exchange_oauth_code",
    "external_ids",
    "find_assistant",
    "find_key",
    "find_link",
    "find_oauth_client",
    "find_oauth_code",
    "find_or_ask_confirmation",
    "find_portal_brand",
    "find_portal_logo",
    "find_portal_session",
    "find_receipt",
    "find_refreshable",
    "find_session",
    "first_invitation",
    "get_checkout",
    "get_confirmation",
    "get_own_top_up",
    "get_to_pay",
    "has_due_work",
    "has_operators",
    "has_webhooks_due",
    "is_ready",
    "last_changes_by",
    "latest_events",
    "leave_portal",
    "list_assistants",
    "list_confirmations",
    "list_ended_assistants",
    "list_operator_sessions",
    "listed_event_stats",
    "look_at_portal_link",
    "pay_checkout",
    "refresh_assistant",
    "register_oauth_client",
    "set_own_auto_top_up",
    "same_confirmed_before",
    "settle_begun",
    "sign_in",
    "sign_out",
    "sum_up_beside",
    "use_reset_link",
    "use_sign_in_link",
}
"""What only the faces of this package call."""


def test_every_operation_has_its_waiting_twin() -> None:
    operations = {
        name
        for name, value in inspect.getmembers(Engine, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert operations - INSIDE <= set(dir(SyncEngine))


def test_what_became_of_an_event_without_a_loop(database_url: str) -> None:
    with SyncEngine.open(database_url, clock=Clock(NOON)) as engine:
        customer = engine.create_customer(CreateCustomer(name="Ada"))
        engine.record_events(customer.id, [UsageEvent("e", "case", NOON, outcome="pending")])
        _, settled = engine.settle_outcome("e", OutcomeRequest("t", "withdrawn"))
        assert (settled.outcome, settled.net_units) == ("withdrawn", {})
        assert engine.get_event("e")[1].outcome == "withdrawn"
        assert engine.verify().is_clean


def test_a_hold_from_asking_to_capture_without_a_loop(database_url: str) -> None:
    with SyncEngine.open(database_url, clock=Clock(NOON)) as engine:
        customer = engine.create_customer(CreateCustomer(name="Ada"))
        engine.adjust(customer.id, AdjustmentRequest("t", "USD", Number("10"), "gift"))
        hold = engine.authorize(customer.id, HoldRequest("h", max_amount=Number("4"), asset="USD"))
        done = engine.capture(customer.id, hold.id, CaptureRequest("c", Number("1")))
        assert (done.captured_units, done.released_units) == (10**9, 3 * 10**9)
        assert engine.verify().is_clean
