"""Vendors, by the published client over a real port."""

from __future__ import annotations

import pytest
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient
from tests.api.caller import calling
from tests.api.conftest import LIVE_KEY, RunningServer


def test_vendors_are_created_listed_and_found(client: CredytApiClient) -> None:
    vendors = client.vendors.vendors_ops
    first = vendors.create_vendor({"name": "Acme GPUs", "external_id": "acme"})
    second = vendors.create_vendor({"name": "Models Inc."})
    assert first.id.startswith("ven_")
    page = vendors.list_vendors()
    assert [(v.id, v.name, v.external_id) for v in page.items_property] == [
        (second.id, "Models Inc.", None),
        (first.id, "Acme GPUs", "acme"),
    ]
    assert (page.total_count, page.limit, page.offset) == (2, 20, 0)
    found = vendors.list_vendors(external_id="acme")
    assert [v.id for v in found.items_property] == [first.id]
    assert vendors.list_vendors(external_id="nobody").total_count == 0
    assert [v.id for v in vendors.list_vendors(limit=1, offset=1).items_property] == [first.id]
    vendor = vendors.get_vendor(first.id)
    assert (vendor.name, vendor.created_at) == ("Acme GPUs", first.created_at)


def test_an_external_id_is_given_once(client: CredytApiClient) -> None:
    vendors = client.vendors.vendors_ops
    vendors.create_vendor({"name": "Acme", "external_id": "acme"})
    with pytest.raises(HttpResponseError) as raised:
        vendors.create_vendor({"name": "Another", "external_id": "acme"})
    answer = raised.value.response
    assert (answer.status_code, list(answer.json()["errors"])) == (409, ["external_id"])
    assert vendors.list_vendors().total_count == 1


def test_a_vendor_of_another_environment_is_not_there(server: RunningServer) -> None:
    with calling(server) as me, calling(server, LIVE_KEY) as other:
        vendor_id = me.made("vendors", {"name": "Acme", "external_id": "acme"})["id"]
        assert me.get(f"vendors/{vendor_id}").status == 200
        assert other.get(f"vendors/{vendor_id}").status == 404
        assert other.get("vendors").body["total_count"] == 0
        assert other.made("vendors", {"name": "Acme", "external_id": "acme"})["id"] != vendor_id


def test_a_vendor_that_is_sent_again_under_its_key_is_made_once(server: RunningServer) -> None:
    with calling(server) as me:
        headers = {"Idempotency-Key": "a vendor"}
        answers = [me.post("vendors", {"name": "Acme"}, headers=headers) for _ in range(2)]
        assert [answer.status for answer in answers] == [201, 201]
        assert answers[0].body == answers[1].body
        assert me.get("vendors").body["total_count"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "Acme", "external_id": ""}, "external_id"),
        ({"name": "Acme", "color": 1}, "color"),
    ],
)
def test_what_is_wrong_with_a_vendor_is_named(
    server: RunningServer, body: dict[str, object], field: str
) -> None:
    with calling(server) as me:
        answer = me.post("vendors", body)
        assert (answer.status, answer.fields) == (422, [field])
        assert me.get("vendors").body["total_count"] == 0
