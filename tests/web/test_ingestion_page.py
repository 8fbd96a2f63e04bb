"""The pages of ingestion: where to point things, rules in a form, and a sample tried before."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from tests.web.forms import errors_of, send
from tests.web.live import PRODUCT, LiveServer

from faregate.catalog.types import CreateProduct
from faregate.core.codec import decode
from faregate.core.mapping import Condition, CostRule, MappingRules
from faregate.core.mapping_defaults import DEFAULT_RULES
from faregate.core.observed import SOURCES, Observed, Source
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.web.dashboard.ingestion_form import fits_form, rules_of, shown_rules
from faregate.web.forms import Form

RULES = MappingRules(
    ("end_user", "metadata.user"),
    customer_by="id",
    unknown_customer="create",
    event_type=("kind",),
    event_types={"chat.completion": "chat", "b": "c"},
    default_event_type="call",
    subject=("team",),
    description=("note", "title"),
    data={"tokens": ("usage.total", "n"), "model": ("model",)},
    data_below="data.",
    read_numbers=True,
    cost=CostRule(("cost", "price"), "openai", ("provider",), "EUR"),
    only=(
        Condition("a"),
        Condition("b", exists=False),
        Condition("c", ("x", "true")),
        Condition("d", none_of=("y",)),
    ),
)
PAGE = "/test/ingestion/cloudevents"
SAMPLE = '{"specversion": "1.0", "id": "1", "source": "s", "type": "api_call", "subject": "ada"}'


@pytest.mark.parametrize("rules", [RULES, MappingRules(("a",)), *DEFAULT_RULES.values()])
def test_rules_come_out_of_the_form_as_they_went_in(rules: MappingRules) -> None:
    assert rules_of(Form(list(shown_rules(rules).items()))) == rules
    assert fits_form(rules)


@pytest.mark.parametrize(
    "rules",
    [
        MappingRules(("a,b",)),
        MappingRules(("a",), data={"x=y": ("z",)}),
        MappingRules(("a",), only=(Condition("not a"),)),
        MappingRules(("a",), only=(Condition("a", ("x,y",)),)),
        MappingRules((" a",)),
    ],
)
def test_rules_that_would_come_out_otherwise_are_not_put_in(rules: MappingRules) -> None:
    assert not fits_form(rules)


def test_every_source_has_a_page_with_what_to_type_and_no_secret(
    client: httpx.Client, server: LiveServer
) -> None:
    listed = client.get("/test/ingestion").text
    for source in SOURCES:
        assert f'href="/test/ingestion/{source}"' in listed
        shown = client.get(f"/test/ingestion/{source}").text
        assert "fg_test_" not in shown
    shown = client.get("/test/ingestion/litellm").text
    assert f"GENERIC_LOGGER_ENDPOINT={server.url}/v1/litellm" in html.unescape(shown)
    assert client.get("/test/ingestion/kafka").status_code == 404


@pytest.mark.parametrize("source", ["otlp", "litellm", "cloudevents"])
def test_the_sample_of_a_source_would_be_booked_as_it_stands(
    source: Source, client: httpx.Client, server: LiveServer
) -> None:
    ada = CreateCustomer("Ada", external_id="ada")
    test = server.engine.context_of("test")
    server.run(lambda e: e.create_customer(ada, context=test))
    page = f"/test/ingestion/{source}"
    shown = client.get(page).text
    (sample,) = re.findall(r'name="sample"[^>]*>(.*?)</textarea>', shown, re.S)
    fields: dict[str, Any] = {
        **shown_rules(DEFAULT_RULES[source]),
        "sample": html.unescape(sample),
    }
    assert "would be booked, with no fee" in send(client, page, f"{page}/try", **fields).text


def test_a_sample_with_a_fee_would_be_charged(client: httpx.Client, server: LiveServer) -> None:
    server.run(lambda e: e.create_product(decode(CreateProduct, PRODUCT)))
    sold = [CreateSubscription([SubscribedProduct(code="calls")])]
    ada = CreateCustomer("Ada", external_id="ada", subscriptions=sold)
    server.run(lambda e: e.create_customer(ada))
    fields: dict[str, Any] = {**shown_rules(DEFAULT_RULES["cloudevents"]), "sample": SAMPLE}
    shown = send(client, PAGE, f"{PAGE}/try", **fields).text
    assert "would be charged" in shown
    assert "with no fee" not in shown


def test_files_are_told_by_the_variables_that_the_command_reads(client: httpx.Client) -> None:
    shown = html.unescape(client.get("/test/ingestion/import").text)
    assert "FAREGATE_API_KEY=$FAREGATE_KEY\nfaregate import uses.csv --dry-run" in shown


def test_rules_are_saved_from_the_form_and_taken_away(
    client: httpx.Client, server: LiveServer
) -> None:
    fields: dict[str, Any] = shown_rules(RULES)
    assert send(client, PAGE, **fields).status_code == 303
    test, live = (server.engine.context_of(mode) for mode in ("test", "live"))
    found = server.run(lambda e: e.get_ingestion_rules("cloudevents", context=test))
    assert found.rules == RULES
    other = server.run(lambda e: e.get_ingestion_rules("cloudevents", context=live))
    assert other.is_default
    assert "Back to the usual rules" in client.get(PAGE).text
    assert send(client, PAGE, f"{PAGE}/reset").status_code == 303
    found = server.run(lambda e: e.get_ingestion_rules("cloudevents", context=test))
    assert found.is_default


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"customer": " , "}, "is empty: name the fields"),
        ({"data": "tokens"}, "is no pair"),
        ({"data": "a = b\na = c"}, "has 'a' twice"),
        ({"cost_vendor": ""}, "say which vendor is paid"),
        ({"cost_currency": "ABC"}, "is not an ISO 4217 currency"),
        ({"event_type": "", "default_event_type": ""}, "give one of the two"),
        ({"customer": "x" * 201}, "200"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    client: httpx.Client, server: LiveServer, changes: dict[str, str], words: str
) -> None:
    fields: dict[str, Any] = {**shown_rules(RULES), "default_event_type": "mine", **changes}
    answer = send(client, PAGE, **fields)
    assert answer.status_code == 422
    assert any(words in said for said in errors_of(answer)), errors_of(answer)
    assert "usage.total, n" in answer.text or "data" in changes


def test_a_sample_is_tried_by_what_is_typed_and_nothing_is_saved(
    client: httpx.Client, server: LiveServer
) -> None:
    test = server.engine.context_of("test")
    server.run(lambda e: e.create_customer(CreateCustomer("Ada", external_id="ada")))
    fields: dict[str, Any] = {**shown_rules(DEFAULT_RULES["cloudevents"]), "sample": SAMPLE}
    shown = send(client, PAGE, f"{PAGE}/try", **fields)
    assert shown.status_code == 200
    assert "would be booked, with no fee" in shown.text
    assert "would be charged" not in shown.text
    shown = send(client, PAGE, f"{PAGE}/try", **{**fields, "customer": "source"})
    assert "refused" in shown.text
    assert "&#39;s&#39; is unknown" in shown.text
    shown = send(client, PAGE, f"{PAGE}/try", **{**fields, "sample": "["})
    assert shown.status_code == 400
    assert any("not valid JSON" in said for said in errors_of(shown))
    found = server.run(lambda e: e.get_ingestion_rules("cloudevents", context=test))
    assert found.is_default
    assert server.run(lambda e: e.list_events(context=test)).total_count == 0


def test_events_that_cost_nothing_are_pointed_at(client: httpx.Client, server: LiveServer) -> None:
    server.run(lambda e: e.create_customer(CreateCustomer("Ada", external_id="ada")))
    fields = {"subject": "ada", "type": "<i>unpriced</i>"}
    told = Observed("1", server.engine.now(), "t", fields, "[0]")
    assert "Booked with a warning" not in client.get(PAGE).text
    server.run(lambda e: e.ingest("cloudevents", [told]))
    shown = client.get(PAGE).text
    assert "no price for event_type=&lt;i&gt;unpriced" in shown


def test_what_was_refused_is_shown_as_text_whatever_it_holds(
    client: httpx.Client, server: LiveServer
) -> None:
    fields = {"subject": "<script>alert(1)</script>", "type": "t"}
    told = Observed("<b>1</b>", server.engine.now(), "t", fields, "[0]")
    server.run(lambda e: e.ingest("cloudevents", [told]))
    shown = client.get(PAGE).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "&lt;b&gt;1" in shown
