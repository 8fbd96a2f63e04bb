"""What customers pay by themselves: what it would bring, and what has become of it."""

from __future__ import annotations

from decimal import Decimal

from tests.engine.test_previews import everything, monthly
from tests.ledger.shop import USD, Clock, give, make_customer, refusal, sell_tokens, tell

from faregate import CreateCustomer, Engine
from faregate.catalog.types import CreateAsset, CreateProduct, StartingRate
from faregate.core.amounts import Number
from faregate.core.bonuses import TopUpBonus
from faregate.core.codec import from_dict
from faregate.core.payment_rules import PaymentRules, TopUpBounds
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CancelSubscription, CreateSubscription
from faregate.engine.own_payments import Begun
from faregate.engine.paying import AN_HOUR
from faregate.payments.types import AutoTopUpTerms

CARD = ("4242424242424242", "12/40", "123")
PAGE = "https://shop.example/back?ref="


async def shop(engine: Engine) -> None:
    await sell_tokens(engine)
    rates = [StartingRate("USD", inverse_rate=Number("3"))]
    await engine.create_asset(CreateAsset("GEMS", "Gems", rates=rates))
    bounds = {"USD": TopUpBounds(Number("5"), Number("100"))}
    await engine.change_settings(payments=PaymentRules(top_ups=bounds))
    once = TopUpBonus("first", percent=Number("10"), once_per_customer=True)
    await engine.set_top_up_bonus("USD", [once])


def test_offers_say_what_an_amount_brings_with_its_bonus_and_at_the_rate_of_now(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await shop(engine)
            ada = await make_customer(engine, None)
            # Nothing is in the wallet: it is offered what pays for what they have subscribed to.
            (dollars,) = await engine.top_up_offers(ada)
            assert (dollars.account_id, dollars.currency.code, dollars.rate) == (USD, "USD", None)
            assert (dollars.minimum, dollars.maximum) == (5, 100)
            assert [(o.amount, o.credit, o.bonus) for o in dollars.offers] == [
                (10, 10, 1),
                (20, 20, 2),
                (50, 50, 5),
                (100, 100, 10),
            ]
            gems = AdjustmentRequest("gems", "GEMS", Number("7"), "gift")
            await engine.adjust(ada, gems)
            await give(engine, ada, "1", "money")
            money, bought = await engine.top_up_offers(ada)
            assert (money.account_id, bought.account_id) == (USD, "default:GEMS")
            assert (bought.currency.code, bought.rate) == ("USD", 3)
            assert [(o.amount, o.credit, o.bonus) for o in bought.offers][:2] == [
                (10, 30, 0),
                (20, 60, 0),
            ]
            # What an offer promises is what a payment brings, and the bonus is had once.
            begun = await engine.begin_own_top_up(ada, USD, Number("50"), f"{PAGE}1")
            await engine.pay_checkout(begun.id, *CARD)
            settled = await engine.settle_begun(ada, "top_up", f"{PAGE}1")
            assert settled == Begun(begun.id, "succeeded")
            assert (await engine.get_account(ada, USD)).available == 56
            (money, _) = await engine.top_up_offers(ada)
            assert {offer.bonus for offer in money.offers} == {0}

    tell(story())


def test_a_page_belongs_to_one_payment_of_one_customer(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await shop(engine)
            ada, eve = await make_customer(engine), await make_customer(engine)
            begin = engine.begin_own_top_up
            first = await begin(ada, USD, Number("20"), f"{PAGE}1")
            assert (await begin(ada, USD, Number("20"), f"{PAGE}1")).id == first.id
            assert (await begin(ada, USD, Number("20"), f"{PAGE}2")).id != first.id
            assert await engine.settle_begun(eve, "top_up", f"{PAGE}1") is None
            assert "no payment" in str(await refusal(engine.get_own_top_up(eve, first.id)))
            assert (await engine.get_own_top_up(ada, first.id)).status == "initiated"
            refused = await refusal(begin(ada, "other:USD", Number("20"), f"{PAGE}3"))
            assert refused.problem.kind.status == 404
            for amount in ("4.99", "100.01", "0", "7.001"):
                refused = await refusal(begin(ada, USD, Number(amount), f"{PAGE}4"))
                assert "amount" in refused.problem.errors
            for number in range(AN_HOUR - 2):
                await begin(ada, USD, Number("20"), f"{PAGE}more-{number}")
            too_often = await refusal(begin(ada, USD, Number("20"), f"{PAGE}one-more"))
            assert too_often.problem.kind.status == 409
            assert (await begin(ada, USD, Number("20"), f"{PAGE}2")).status == "initiated"
            for number in range(AN_HOUR):
                await engine.begin_own_card(ada, f"{PAGE}card-{number}")
            too_often = await refusal(engine.begin_own_card(ada, f"{PAGE}one-more"))
            assert too_often.problem.kind.status == 409

    tell(story())


def test_a_customers_auto_top_up_needs_a_card_and_an_amount_that_could_be_paid_by_hand(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await shop(engine)
            ada = await make_customer(engine)
            agree = engine.set_own_auto_top_up

            def terms(amount: str, *, enabled: bool = True) -> AutoTopUpTerms:
                return AutoTopUpTerms(enabled, Number("5"), Number(amount), "USD")

            assert (await refusal(agree(ada, USD, terms("20")))).problem.kind.status == 409
            await engine.begin_own_card(ada, f"{PAGE}card")
            (setup,) = await engine._begun_before(ada, "setup", None)
            await engine.pay_checkout(setup.id, *CARD)
            settled = await engine.settle_begun(ada, "setup", f"{PAGE}card")
            assert settled == Begun(setup.id, "succeeded")
            assert "amount" in (await refusal(agree(ada, USD, terms("101")))).problem.errors
            assert (await refusal(agree(ada, "x:USD", terms("20")))).problem.kind.status == 404
            assert (await agree(ada, USD, terms("20"))).enabled
            assert not (await agree(ada, USD, terms("20", enabled=False))).enabled

    tell(story())


def test_what_a_subscription_costs_next_is_told_and_that_it_ends_is_taken_back(
    database_url: str,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            plan = {"name": "Team", "code": "team", "publish": True, "prices": [monthly(20)]}
            await engine.create_product(from_dict(CreateProduct, plan))
            ada = (await engine.create_customer(CreateCustomer("Ada"))).id
            await give(engine, ada, "25", "first")
            request = from_dict(CreateSubscription, {"products": [{"code": "team"}]})
            made = await engine.create_subscription(ada, request)
            before = await everything(engine, ada)
            upcoming = await engine.upcoming_fees(ada, made.id)
            # It says the price also where the balance would not cover it.
            assert upcoming.at == made.renews_at
            assert [(d.amount, d.asset) for d in upcoming.due] == [(Decimal(20), "USD")]
            assert await everything(engine, ada) == before
            assert (await refusal(engine.keep_own_plan(ada, made.id))).problem.kind.status == 409
            await engine.cancel_own_plan(ada, made.id)
            assert (await engine.upcoming_fees(ada, made.id)).due == []
            kept = await engine.keep_own_plan(ada, made.id)
            assert (kept.subscription.status, kept.subscription.ends_at) == ("active", None)
            await engine.cancel_subscription(ada, made.id, CancelSubscription("now"))
            # Only the seller lets it begin again.
            assert (await refusal(engine.keep_own_plan(ada, made.id))).problem.kind.status == 409
            assert (await engine.upcoming_fees(ada, made.id)).at is None

    tell(story())
