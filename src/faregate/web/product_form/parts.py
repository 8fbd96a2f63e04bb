"""The parts of a form as JSON values: how the fields of a price, an entitlement and a commitment
become what the API takes. What is left empty is left out.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from faregate.core.codec import decode_request
from faregate.core.prices import WILDCARD
from faregate.core.problems import FaregateError
from faregate.web.product_form.branches import Branch
from faregate.web.product_form.places import Places

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.))(?:\.\d*)?")
_MAX_DIGITS: Final = 100


class _Fields:
    """One branch while it is read into one object: `put` moves a field."""

    def __init__(self, reader: Reader, branch: Branch, path: str, field: str) -> None:
        self._reader = reader
        self._path, self._field = path, field
        self.branch = branch
        self.found: dict[str, Any] = {}

    def put(self, name: str, value: Any, *fields: str) -> None:
        """Put a value where it belongs (`recurring.interval`), if there is one; it comes from these
        fields, of which the first is where errors are shown."""
        for field in fields:
            self._reader.places.note(f"{self._path}.{name}", f"{self._field}-{field}")
        if value is None or value == "":
            return
        into, (*heads, last) = self.found, name.split(".")
        for head in heads:
            into = into.setdefault(head, {})
        into[last] = value

    def text(self, name: str, field: str = "") -> None:
        """Move a text."""
        field = field or name
        self.put(name, self.branch.get(field), field)

    def number(self, name: str, field: str = "") -> None:
        """Move a number."""
        field = field or name
        number = self._reader.number(self.branch.get(field), f"{self._field}-{field}")
        self.put(name, number, field)

    def listed(self, name: str, field: str = "") -> None:
        """Move a list, which is written with commas."""
        field = field or name
        self.put(name, names_in(self.branch.get(field)) or None, field)


class Reader:
    """Reads parts of a form, and notes where each comes from."""

    def __init__(self) -> None:
        self.places = Places()
        self.errors: dict[str, list[str]] = {}

    def json(self, text: str, field: str) -> Any:
        """Read a part that is JSON in the form."""
        try:
            return decode_request(dict[str, Any], text.encode())
        except FaregateError as error:
            self.errors[field] = [f"cannot be read: {error.problem.detail}"]
            return {}

    def number(self, text: str, field: str) -> Decimal | int | None:
        """Read a number; note what is wrong with it."""
        if not text:
            return None
        number = read_number(text)
        if isinstance(number, str):
            self.errors.setdefault(field, []).append(number)
            return None
        return number

    def price(self, branch: Branch, path: str, field: str) -> dict[str, Any]:
        """Read a price that is no JSON."""
        if branch.get("model") == "fixed":
            return self._fixed(branch, path, field)
        return self._usage(branch, path, field)

    def _common(self, fields: _Fields, name: str) -> None:
        fields.put("name", fields.branch.get("name", name), "name")
        asked = fields.branch.get("collected")
        account, timing = fields.branch.get("account"), fields.branch.get("timing")
        if asked == "invoice" or account or timing:
            fields.put("collection.type", "invoice" if asked == "invoice" else "balance")
        fields.put("collection.timing", timing, "timing")
        fields.put("collection.address", account, "account")
        fields.put("collection", None, "collected")

    def _fixed(self, branch: Branch, path: str, field: str) -> dict[str, Any]:
        fields = _Fields(self, branch, path, field)
        is_once = branch.get("charged") == "one_time"
        fields.put("type", "fixed")
        self._common(fields, "One-time fee" if is_once else "Recurring fee")
        if is_once:
            fields.put("billing_model", {"type": "one_time", "one_time": {}}, "charged")
            fields.text("billing_model.one_time.service_period", "service_period")
        else:
            fields.put("billing_model", {"type": "recurring", "recurring": {}}, "charged")
            interval = branch.get("interval", "month")
            fields.put("billing_model.recurring.interval", interval, "interval")
            fields.number("billing_model.recurring.interval_count", "interval_count")
        value = _Fields(self, branch, f"{path}.pricing[0].values[0]", field)
        seat = _Fields(self, branch, f"{path}.pricing[0].values[1]", field)
        value.number("unit_price", "amount")
        if branch.get("seat_price") or branch.get("seats"):
            seat = (
                seat
                if value.found
                else _Fields(self, branch, f"{path}.pricing[0].values[0]", field)
            )
            seat.number("unit_price", "seat_price")
            seat.number("quantity", "seats")
            # Sold by the seat is what says how many come with it.
            seat.found.setdefault("quantity", 1)
        values = [part.found for part in (value, seat) if part.found]
        self._pricing(fields, branch, path, field, values or [{}])
        return fields.found

    def _pricing(
        self, fields: _Fields, branch: Branch, path: str, field: str, values: list[Any]
    ) -> None:
        self.places.note(f"{path}.pricing[0].asset", f"{field}-asset")
        fields.put("pricing", [{"asset": branch.get("asset", "USD").upper(), "values": values}])

    def _usage(self, branch: Branch, path: str, field: str) -> dict[str, Any]:
        fields = _Fields(self, branch, path, field)
        model, measure = branch.get("model", "flat"), branch.get("measure", "unit")
        event_type = branch.get("event_type")
        fields.put("type", "usage_based")
        self._common(fields, f"Use of {event_type}" if event_type else "Use")
        fields.put("billing_model", {"type": "real_time"})
        if model != "flat":
            fields.put("pricing_model", model, "model")
        fields.put("usage_calculation.event_type", event_type, "event_type")
        fields.put("usage_calculation.usage_type", measure, "measure")
        if measure in ("volume", "unit_and_volume"):
            fields.text("usage_calculation.volume_field", "volume_field")
        elif measure == "custom":
            fields.text("usage_calculation.volume_aggregation", "expression")
        elif measure == "cost":
            fields.text("usage_calculation.costs.vendor_external_id", "vendor")
            fields.text("usage_calculation.costs.category", "category")
        fields.listed("usage_calculation.billable_dimensions", "dimensions")
        if model in ("tiered", "bulk"):
            basis = branch.get("basis", default_basis(measure))
            fields.put("tiering.basis", basis, "basis")
            fields.put("tiering.period", branch.get("period", "monthly"), "period")
        values = self._values(branch, path, field, model, measure)
        self._pricing(fields, branch, path, field, values)
        return fields.found

    def _values(
        self, branch: Branch, path: str, field: str, model: str, measure: str
    ) -> list[dict[str, Any]]:
        entries = branch.lists.get("entry", []) or [Branch()]
        names = names_in(branch.get("dimensions"))
        place = f"{path}.pricing[0].values"
        if not names:
            inner = f"{field}-entry-1"
            return self._tiers(entries[0], branch, place, inner, field, (model, measure))
        found = []
        for number, entry in enumerate(entries):
            here, inner = f"{place}[{number}]", f"{field}-entry-{number + 1}"
            self.places.note(here, inner)
            wanted = {}
            for count, name in enumerate(names, 1):
                wanted[name] = entry.get(f"dimension-{count}", WILDCARD)
                self.places.note(f"{here}.dimensions.{name}", f"{inner}-dimension-{count}")
            tiers = self._tiers(entry, branch, f"{here}.values", inner, field, (model, measure))
            found.append({"dimensions": wanted, "values": tiers})
        return found

    def _tiers(
        self,
        entry: Branch,
        price: Branch,
        path: str,
        field: str,
        price_field: str,
        how: tuple[str, str],
    ) -> list[dict[str, Any]]:
        model, measure = how
        tiers = entry.lists.get("tier", []) or [Branch()]
        is_tiered = model in ("tiered", "bulk")
        found: list[dict[str, Any]] = []
        for number, tier in enumerate(tiers if is_tiered else tiers[:1]):
            here, inner = f"{path}[{number}]", f"{field}-tier-{number + 1}"
            self.places.note(here, inner)
            value = _Fields(self, tier, here, inner)
            if is_tiered:
                value.number("up_to")
            if measure in ("unit", "unit_and_volume"):
                value.number("unit_price")
            if measure != "unit":
                value.number("volume_rate")
            if measure not in ("unit", "cost"):
                size_field = f"{price_field}-package_size"
                size = self.number(price.get("package_size"), size_field) if not found else None
                size = found[0].get("package_size") if found else size
                self.places.note(f"{here}.package_size", size_field)
                value.put("package_size", size)
            value.number("min_amount")
            value.number("max_amount")
            found.append(value.found)
        return found

    def entitlement(self, branch: Branch, path: str, field: str) -> dict[str, Any]:
        """Read an entitlement that is no JSON."""
        fields = _Fields(self, branch, path, field)
        fields.put("name", branch.get("name", "Included credit"), "name")
        fields.put("asset", branch.get("asset", "USD").upper(), "asset")
        fields.number("amount")
        fields.put("purpose", branch.get("purpose", "bundled"), "purpose")
        fields.put("lifecycle.duration", branch.get("duration", "month"), "duration")
        fields.number("lifecycle.duration_count", "duration_count")
        refresh = branch.get("refresh", "expire_and_replace")
        if refresh != "once":
            fields.put("lifecycle.refresh.strategy", refresh, "refresh")
        if refresh == "rollover":
            fields.number("lifecycle.refresh.max_amount", "max_amount")
            fields.number("lifecycle.refresh.max_periods", "max_periods")
        fields.number("accounting.revenue_basis", "revenue_basis")
        if "accounting" in fields.found:
            fields.text("accounting.currency", "currency")
        fields.number("priority")
        fields.listed("limited_to.event_types", "event_types")
        return fields.found

    def commitment(self, branch: Branch, path: str, field: str) -> dict[str, Any]:
        """Read a commitment that is no JSON."""
        fields = _Fields(self, branch, path, field)
        fields.put("name", branch.get("name", "Commitment"), "name")
        fields.put("asset", branch.get("asset", "USD").upper(), "asset")
        fields.put("recurring.interval", branch.get("interval", "month"), "interval")
        fields.number("recurring.interval_count", "interval_count")
        fields.number("minimum")
        fields.number("maximum")
        fields.listed("event_types")
        return fields.found


def read_number(text: str) -> Decimal | int | str:
    """Read a number as people write it (`1,000.50`); return what is wrong if it is none."""
    digits = text.replace(" ", "").replace("_", "")
    is_number = len(digits) <= _MAX_DIGITS and _NUMBER.fullmatch(digits) is not None
    if not is_number or not any(map(str.isdigit, digits)):
        remedy = "write e.g. 0.60 or 1,000, with a point before decimals"
        return f"{text!r:.40} is not a number: {remedy}"
    number = Decimal(digits.replace(",", ""))
    return int(number) if number == number.to_integral_value() else number


def names_in(text: str) -> list[str]:
    """Return the names in a list that is written with commas."""
    return [name for name in map(str.strip, text.split(",")) if name]


def default_basis(measure: str) -> str:
    """Return what tiers count if nobody says it."""
    return {"unit": "unit", "custom": "custom"}.get(measure, "volume")
