"""The rules of ingestion as the fields of a form, and back: fields in lists with commas between
them, renames and conditions a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from faregate.core.codec import from_dict
from faregate.core.mapping import Condition, MappingRules
from faregate.web.forms import Form
from faregate.web.typed import Typed

LISTS: Final = ("customer", "event_type", "subject", "description")
_NOT: Final = "not "


def shown_rules(rules: MappingRules) -> dict[str, str]:
    """Return rules as what stands in the form's fields."""
    cost = rules.cost
    return {
        **{name: ", ".join(getattr(rules, name)) for name in LISTS},
        "customer_by": rules.customer_by,
        "unknown_customer": rules.unknown_customer,
        "default_event_type": rules.default_event_type or "",
        "event_types": "\n".join(f"{said} = {ours}" for said, ours in rules.event_types.items()),
        "data": "\n".join(f"{key} = {', '.join(names)}" for key, names in rules.data.items()),
        "data_below": rules.data_below or "",
        "read_numbers": "yes" if rules.read_numbers else "",
        "only": "\n".join(map(_shown_condition, rules.only)),
        "cost_amount": "" if cost is None else ", ".join(cost.amount),
        "cost_vendor": "" if cost is None else cost.vendor,
        "cost_vendor_fields": "" if cost is None else ", ".join(cost.vendor_fields),
        "cost_currency": "USD" if cost is None else cost.currency,
    }


def fits_form(rules: MappingRules) -> bool:
    """Tell whether rules come out of the form as they went into it: a field whose name has a comma
    in it would not."""
    return rules_of(Form(list(shown_rules(rules).items()))) == rules


def rules_of(form: Form) -> MappingRules:
    """Read rules from a form. Raises `FaregateError` (422) naming the form's field."""
    typed = Typed(form)
    body: dict[str, Any] = {name: _names(form.get(name)) for name in LISTS}
    if not body["customer"]:
        typed.refuse("customer", "is empty: name the fields that may say who the customer is")
    for name in ("customer_by", "unknown_customer"):
        body[name] = form.get(name)
    for name in ("default_event_type", "data_below"):
        body[name] = form.get(name) or None
    body["event_types"] = _pairs(typed, form, "event_types")
    pairs = _pairs(typed, form, "data")
    body["data"] = {key: _names(names) for key, names in pairs.items()}
    body["read_numbers"] = bool(form.get("read_numbers"))
    body["only"] = [_condition(line) for line in form.get("only").splitlines() if line.strip()]
    if form.get("cost_amount"):
        body["cost"] = {
            "amount": _names(form.get("cost_amount")),
            "vendor": form.get("cost_vendor"),
            "vendor_fields": _names(form.get("cost_vendor_fields")),
            "currency": form.get("cost_currency") or "USD",
        }
        if not form.get("cost_vendor"):
            typed.refuse("cost_vendor", "is empty: say which vendor is paid, by its external id")
    typed.check()
    return from_dict(MappingRules, body)


def beside_fields(errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what is wrong with rules beside the form's fields."""
    placed: dict[str, list[str]] = {}
    for path, said in errors.items():
        first, _, rest = path.replace("[", ".").partition(".")
        name = f"cost_{rest.partition('.')[0]}" if first == "cost" and rest else first
        placed.setdefault(name, []).extend(said)
    return placed


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pairs(typed: Typed, form: Form, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in form.get(name).splitlines():
        if not line.strip():
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not (key and equals and value):
            typed.refuse(name, f"{line.strip()[:60]!r} is no pair: write one as name = other")
        elif key in found:
            typed.refuse(name, f"has {key[:60]!r} twice: leave one out")
        found[key] = value
    return found


def _shown_condition(condition: Condition) -> str:
    if condition.none_of is not None:
        return f"{_NOT}{condition.field} = {', '.join(condition.none_of)}"
    if not condition.exists:
        return f"{_NOT}{condition.field}"
    if condition.one_of is None:
        return condition.field
    return f"{condition.field} = {', '.join(condition.one_of)}"


def _condition(line: str) -> dict[str, Any]:
    field, equals, values = (part.strip() for part in line.partition("="))
    is_not, name = field.startswith(_NOT), field.removeprefix(_NOT).strip()
    if equals:
        return {"field": name, "none_of" if is_not else "one_of": _names(values)}
    return {"field": name, "exists": False} if is_not else {"field": name}
