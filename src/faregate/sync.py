"""The engine for programs without an event loop: the same operations, each waiting for its answer.
The loop runs in a thread of its own, so calls may come from any thread.

    with SyncEngine.open("sqlite:///faregate.db") as engine:
        engine.record_events("cust_…", [UsageEvent(...)])
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from faregate.engine import Engine

P = ParamSpec("P")
R = TypeVar("R")


def _sync(
    method: Callable[Concatenate[Engine, P], Awaitable[R]],
) -> Callable[Concatenate[SyncEngine, P], R]:
    """Make a waiting method of an asynchronous one, with the same arguments."""

    def call(self: SyncEngine, /, *args: P.args, **kwargs: P.kwargs) -> R:
        async def run() -> R:
            return await method(self.engine, *args, **kwargs)

        return self.wait(run())

    call.__doc__ = method.__doc__
    call.__name__ = getattr(method, "__name__", "call")
    return call


class SyncEngine:
    """An engine whose methods wait. Make one with `SyncEngine.open`."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = engine
        self._loop = loop

    @classmethod
    @contextmanager
    def open(cls, url: str, **options: Any) -> Iterator[SyncEngine]:
        """Open a database until the block ends. Options are those of `Engine.open`."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="faregate", daemon=True)
        thread.start()
        opened = Engine.open(url, **options)
        try:
            engine = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result()
            try:
                yield cls(engine, loop)
            finally:
                closing = opened.__aexit__(None, None, None)
                asyncio.run_coroutine_threadsafe(closing, loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the engine's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    create_account = _sync(Engine.create_account)
    get_account_details = _sync(Engine.get_account_details)
    list_accounts = _sync(Engine.list_accounts)
    acting_for = _sync(Engine.acting_for)
    create_key = _sync(Engine.create_key)
    list_keys = _sync(Engine.list_keys)
    revoke_key = _sync(Engine.revoke_key)
    create_operator = _sync(Engine.create_operator)
    invite_operator = _sync(Engine.invite_operator)
    list_invitations = _sync(Engine.list_invitations)
    withdraw_invitation = _sync(Engine.withdraw_invitation)
    reset_link = _sync(Engine.reset_link)
    sign_in_link = _sync(Engine.sign_in_link)
    list_operators = _sync(Engine.list_operators)
    get_operator = _sync(Engine.get_operator)
    rename_operator = _sync(Engine.rename_operator)
    set_operator_role = _sync(Engine.set_operator_role)
    disable_operator = _sync(Engine.disable_operator)
    enable_operator = _sync(Engine.enable_operator)
    list_audit_entries = _sync(Engine.list_audit_entries)
    check_audit_log = _sync(Engine.check_audit_log)
    change_settings = _sync(Engine.change_settings)
    create_asset = _sync(Engine.create_asset)
    list_assets = _sync(Engine.list_assets)
    get_asset = _sync(Engine.get_asset)
    add_asset_rate = _sync(Engine.add_asset_rate)
    quote_asset = _sync(Engine.quote_asset)
    create_vendor = _sync(Engine.create_vendor)
    get_vendor = _sync(Engine.get_vendor)
    list_vendors = _sync(Engine.list_vendors)
    customer_stats = _sync(Engine.customer_stats)
    list_customer_stats = _sync(Engine.list_customer_stats)
    event_stats = _sync(Engine.event_stats)
    vendor_stats = _sync(Engine.vendor_stats)
    stats = _sync(Engine.stats)
    create_coupon = _sync(Engine.create_coupon)
    get_coupon = _sync(Engine.get_coupon)
    list_coupons = _sync(Engine.list_coupons)
    delete_coupon = _sync(Engine.delete_coupon)
    add_discount = _sync(Engine.add_discount)
    remove_discount = _sync(Engine.remove_discount)
    create_product = _sync(Engine.create_product)
    create_version = _sync(Engine.create_version)
    update_version = _sync(Engine.update_version)
    get_product = _sync(Engine.get_product)
    get_version = _sync(Engine.get_version)
    list_products = _sync(Engine.list_products)
    diff_versions = _sync(Engine.diff_versions)
    archive_version = _sync(Engine.archive_version)
    delete_product = _sync(Engine.delete_product)
    count_subscribers = _sync(Engine.count_subscribers)
    list_subscribers = _sync(Engine.list_subscribers)
    migrate_subscribers = _sync(Engine.migrate_subscribers)
    create_limit = _sync(Engine.create_limit)
    list_limits = _sync(Engine.list_limits)
    get_limit = _sync(Engine.get_limit)
    change_limit = _sync(Engine.change_limit)
    delete_limit = _sync(Engine.delete_limit)
    create_customer_limit = _sync(Engine.create_customer_limit)
    customer_limits = _sync(Engine.customer_limits)
    get_customer_limit = _sync(Engine.get_customer_limit)
    change_customer_limit = _sync(Engine.change_customer_limit)
    delete_customer_limit = _sync(Engine.delete_customer_limit)
    block_customer = _sync(Engine.block_customer)
    preview_product = _sync(Engine.preview_product)
    simulate_usage = _sync(Engine.simulate_usage)
    create_customer = _sync(Engine.create_customer)
    customer_id_of = _sync(Engine.customer_id_of)
    update_customer = _sync(Engine.update_customer)
    get_customer = _sync(Engine.get_customer)
    list_customers = _sync(Engine.list_customers)
    search_customers = _sync(Engine.search_customers)
    order_of_use = _sync(Engine.order_of_use)
    open_holds = _sync(Engine.open_holds)
    latest_of_customer = _sync(Engine.latest_of_customer)
    list_transactions = _sync(Engine.list_transactions)
    create_subscription = _sync(Engine.create_subscription)
    list_subscriptions = _sync(Engine.list_subscriptions)
    get_subscription = _sync(Engine.get_subscription)
    move_subscription = _sync(Engine.move_subscription)
    pause_subscription = _sync(Engine.pause_subscription)
    resume_subscription = _sync(Engine.resume_subscription)
    cancel_subscription = _sync(Engine.cancel_subscription)
    reactivate_subscription = _sync(Engine.reactivate_subscription)
    initiate_top_up = _sync(Engine.initiate_top_up)
    get_top_up = _sync(Engine.get_top_up)
    list_top_ups = _sync(Engine.list_top_ups)
    get_receipt = _sync(Engine.get_receipt)
    receive_message = _sync(Engine.receive_message)
    settle_payment = _sync(Engine.settle_payment)
    reconcile_payments = _sync(Engine.reconcile_payments)
    set_top_up_bonus = _sync(Engine.set_top_up_bonus)
    credit_revenue = _sync(Engine.credit_revenue)
    work = _sync(Engine.work)
    losses = _sync(Engine.losses)
    overview = _sync(Engine.overview)
    pulse = _sync(Engine.pulse)
    sum_up = _sync(Engine.sum_up)
    list_due_work = _sync(Engine.list_due_work)
    retry_due_work = _sync(Engine.retry_due_work)
    create_test_clock = _sync(Engine.create_test_clock)
    get_test_clock = _sync(Engine.get_test_clock)
    list_test_clocks = _sync(Engine.list_test_clocks)
    advance_test_clock = _sync(Engine.advance_test_clock)
    set_subscription_status = _sync(Engine.set_subscription_status)
    set_collection_method = _sync(Engine.set_collection_method)
    set_subscription_version = _sync(Engine.set_subscription_version)
    record_events = _sync(Engine.record_events)
    settle_outcome = _sync(Engine.settle_outcome)
    get_event = _sync(Engine.get_event)
    list_events = _sync(Engine.list_events)
    create_job = _sync(Engine.create_job)
    get_job = _sync(Engine.get_job)
    list_jobs = _sync(Engine.list_jobs)
    cancel_job = _sync(Engine.cancel_job)
    delete_job = _sync(Engine.delete_job)
    job_file = _sync(Engine.job_file)
    run_jobs = _sync(Engine.run_jobs)
    prune_jobs = _sync(Engine.prune_jobs)
    explore_events = _sync(Engine.explore_events)
    explain_event = _sync(Engine.explain_event)
    explain_events = _sync(Engine.explain_events)
    authorize = _sync(Engine.authorize)
    authorize_batch = _sync(Engine.authorize_batch)
    capture = _sync(Engine.capture)
    update_hold = _sync(Engine.update_hold)
    extend_hold = _sync(Engine.extend_hold)
    void_hold = _sync(Engine.void_hold)
    get_hold = _sync(Engine.get_hold)
    list_holds = _sync(Engine.list_holds)
    adjust = _sync(Engine.adjust)
    charge = _sync(Engine.charge)
    get_transaction = _sync(Engine.get_transaction)
    set_overdraft = _sync(Engine.set_overdraft)
    update_account = _sync(Engine.update_account)
    get_wallet = _sync(Engine.get_wallet)
    get_account = _sync(Engine.get_account)
    list_grants = _sync(Engine.list_grants)
    verify = _sync(Engine.verify)
    refund_top_up = _sync(Engine.refund_top_up)
    list_refunds = _sync(Engine.list_refunds)
    create_webhook_destination = _sync(Engine.create_webhook_destination)
    get_webhook_destination = _sync(Engine.get_webhook_destination)
    list_webhook_destinations = _sync(Engine.list_webhook_destinations)
    update_webhook_destination = _sync(Engine.update_webhook_destination)
    delete_webhook_destination = _sync(Engine.delete_webhook_destination)
    rotate_webhook_secret = _sync(Engine.rotate_webhook_secret)
    test_webhook = _sync(Engine.test_webhook)
    list_webhook_deliveries = _sync(Engine.list_webhook_deliveries)
    redeliver_webhooks = _sync(Engine.redeliver_webhooks)
    deliver_webhooks = _sync(Engine.deliver_webhooks)
    prune_webhooks = _sync(Engine.prune_webhooks)
    begin_setup = _sync(Engine.begin_setup)
    list_payment_methods = _sync(Engine.list_payment_methods)
    make_default_method = _sync(Engine.make_default_method)
    remove_payment_method = _sync(Engine.remove_payment_method)
    get_auto_top_up = _sync(Engine.get_auto_top_up)
    set_auto_top_up = _sync(Engine.set_auto_top_up)
    create_portal_session = _sync(Engine.create_portal_session)
    end_portal_sessions = _sync(Engine.end_portal_sessions)
    get_portal_brand = _sync(Engine.get_portal_brand)
    set_portal_settings = _sync(Engine.set_portal_settings)
    set_portal_logo = _sync(Engine.set_portal_logo)
    set_own_limit = _sync(Engine.set_own_limit)
    change_own_limit = _sync(Engine.change_own_limit)
    remove_own_limit = _sync(Engine.remove_own_limit)
    set_own_alert = _sync(Engine.set_own_alert)
    list_own_alerts = _sync(Engine.list_own_alerts)
    top_up_offers = _sync(Engine.top_up_offers)
    upcoming_fees = _sync(Engine.upcoming_fees)
    preview_own_plan = _sync(Engine.preview_own_plan)
    take_own_plan = _sync(Engine.take_own_plan)
    customer_usage = _sync(Engine.customer_usage)
    uses_left = _sync(Engine.uses_left)
    list_own_plans = _sync(Engine.list_own_plans)
    preview_own_move = _sync(Engine.preview_own_move)
    move_own_plan = _sync(Engine.move_own_plan)
    cancel_own_plan = _sync(Engine.cancel_own_plan)
    keep_own_plan = _sync(Engine.keep_own_plan)
    preview_subscription = _sync(Engine.preview_subscription)
    preview_move = _sync(Engine.preview_move)
    preview_cancellation = _sync(Engine.preview_cancellation)
    take_up_collections = _sync(Engine.take_up_collections)
