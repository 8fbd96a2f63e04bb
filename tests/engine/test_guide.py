"""The guide's drafts are taken as they are, and cost what a month of them costs by hand."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any, get_args

import pytest
from msgspec import structs
from tests.ledger.shop import NOON, Clock, tell

from faregate import Engine
from faregate.catalog import guide
from faregate.catalog.guide import Answers, plan
from faregate.core.problems import FaregateError
from faregate.core.sample_use import sample_uses

QUESTIONS = (guide.Costs, guide.Differ, guide.Paid, guide.Fee, guide.Counted)
ALL = [Answers(*answers) for answers in product(*map(get_args, QUESTIONS))]

MONTHS: list[tuple[dict[str, Any], dict[str, str]]] = [
    # 1,000 uses at 0.01.
    ({}, {"USD": "10"}),
    # 1,000 uses of 1,000 tokens are a million, at 10.
    ({"costs": "per_volume"}, {"USD": "10"}),
    # The first model, "small", at 0.01.
    ({"differ": "model"}, {"USD": "10"}),
    # 1,000 uses are in the first tier.
    ({"differ": "customer"}, {"USD": "10"}),
    # 1,000 uses that cost 0.01 each, and 30 percent.
    ({"differ": "each"}, {"USD": "13"}),
    # 20 for the month; its credit of 20 pays the 10 of use.
    ({"fee": "included"}, {"USD": "20"}),
    ({"fee": "only"}, {"USD": "20"}),
    ({"fee": "only", "paid": "contract"}, {"USD": "50"}),
    # 1,000 uses at a credit each.
    ({"counted": "credits"}, {"CREDITS": "1000"}),
    # 2,000 credits come with the month.
    ({"counted": "credits", "fee": "included"}, {"USD": "20", "CREDITS": "0"}),
    # A cost of 0.01 USD is one credit; 30 percent on top.
    ({"counted": "credits", "differ": "each"}, {"CREDITS": "1300"}),
    ({"currency": "EUR", "fee": "included", "paid": "contract"}, {"EUR": "50"}),
]


def test_every_answer_makes_a_draft_that_is_taken_as_it_is(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            credit = plan(Answers(counted="credits")).asset
            assert credit is not None
            await engine.create_asset(credit)
            for answers in ALL:
                made = plan(answers)
                assert made.asset in (None, credit)
                preview = await engine.preview_product(made.product)
                assert not preview.warnings
                assert not [use.warnings for use in preview.uses if use.warnings]
                asked = sum(month.left + month.usage for month in preview.month)
                assert asked > 0, answers
                assert made.advice
            assert (await engine.list_products()).total_count == 0

    assert len(ALL) == 144
    tell(story())


def test_a_normal_month_of_each_plan_costs_what_it_costs_by_hand(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            credit = plan(Answers(counted="credits")).asset
            assert credit is not None
            await engine.create_asset(credit)
            for number, (answers, wanted) in enumerate(MONTHS):
                made = plan(Answers(**answers, code=f"plan-{number}"))
                preview = await engine.preview_product(made.product)
                left = {month.asset: month.left for month in preview.month}
                assert left == {code: Decimal(text) for code, text in wanted.items()}, answers
                created = await engine.create_product(made.product)
                assert (created.code, created.status) == (f"plan-{number}", "draft")

    tell(story())


def test_one_use_of_a_draft_costs_what_it_costs_when_it_is_sold(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            made = plan(Answers(costs="per_volume", differ="model")).product
            (use,) = sample_uses(made.prices)
            use = structs.replace(use, data={"model": "large", "tokens": 3})
            preview = await engine.preview_product(made, [use])
            await engine.create_product(structs.replace(made, publish=True))
            fees, _ = await engine.simulate_usage(made.code, 1, [use.event(1, NOON)])
            assert [fee.amount for fee in preview.uses[0].fees] == [Decimal("0.00015")]
            assert [fee.units for fee in fees] == [150_000]
            assert preview.words == [
                "For model small: $10.00 per 1,000,000 tokens of each use; "
                "for model large: $50.00 per 1,000,000 tokens of each use; "
                "for anything else: $20.00 per 1,000,000 tokens of each use."
            ]

    tell(story())


def test_a_draft_that_is_wrong_is_refused_as_it_would_be_when_it_is_written(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            wrong = plan(Answers(counted="credits")).product
            with pytest.raises(FaregateError) as previewed:
                await engine.preview_product(wrong)
            with pytest.raises(FaregateError) as created:
                await engine.create_product(wrong)
            assert previewed.value.problem == created.value.problem
            assert list(previewed.value.problem.errors) == ["prices[0].pricing[0].asset"]
            many = [structs.replace(use, times=5_001) for use in sample_uses(wrong.prices)]
            fine = plan(Answers()).product
            with pytest.raises(FaregateError, match=r"uses\[0\].times is 5001: send at most 5,000"):
                await engine.preview_product(fine, many)

    tell(story())
