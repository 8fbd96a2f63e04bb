"""How what an outside system tells becomes a usage event: rules say which of its fields name the
customer, the subject and the type of event, which become data, and what is left out. The rules are
settings; this applies them. Only what they name is taken over, so that what people write to models
is not kept by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.given import MAX_FREE_BYTES, MAX_FREE_KEYS, Id, check_free
from faregate.core.observed import MAX_ID, Observed, Scalar
from faregate.core.prices import Key
from faregate.core.problems import Problem, invalid
from faregate.core.volumes import dimension_text

FieldName = Annotated[str, Meta(min_length=1, max_length=200)]
Fields = Annotated[tuple[FieldName, ...], Meta(max_length=20)]
Texts = Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)]
NamedBy = Literal["external_id", "id", "either"]
COST_DECIMALS: Final = 9
MAX_EVENT_TYPE: Final = 100
MAX_SUBJECT: Final = 200
MAX_DESCRIPTION: Final = 500


class Condition(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Holds if the field is there and, as a text (`true`, `12`), one of these; or if it is not
    there (`exists` false), or at least none of these."""

    field: FieldName
    one_of: Texts | None = None
    exists: bool = True
    none_of: Texts | None = None


class CostRule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Which fields say what an event costs the seller, in which currency, and to which vendor (its
    external id): the first that is there, else `vendor`."""

    amount: Annotated[tuple[FieldName, ...], Meta(min_length=1, max_length=20)]
    vendor: Id
    vendor_fields: Fields = ()
    currency: Key = "USD"


class MappingRules(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """How events are made of what a source tells. Where several fields are named, the first that is
    there counts.

    `customer` are the fields that name the customer, as `customer_by` says: by external id, by id,
    or either. `event_types` gives what `event_type` says another name; where no field says it, it
    is `default_event_type`. `data` has for each key of the event's data the fields that it comes
    from, `data_below` takes over every field below a name (`data.` makes `units` of `data.units`).
    `read_numbers`: texts in data that are JSON numbers become numbers. What does not meet each of
    `only` is skipped. A customer that is not known is refused, or created with that external id.
    """

    customer: Annotated[tuple[FieldName, ...], Meta(min_length=1, max_length=20)]
    customer_by: NamedBy = "either"
    unknown_customer: Literal["refuse", "create"] = "refuse"
    event_type: Fields = ()
    event_types: Annotated[dict[str, Key], Meta(max_length=100)] = {}
    default_event_type: Key | None = None
    subject: Fields = ()
    description: Fields = ()
    data: Annotated[dict[Key, Fields], Meta(max_length=MAX_FREE_KEYS)] = {}
    data_below: FieldName | None = None
    read_numbers: bool = False
    cost: CostRule | None = None
    only: Annotated[tuple[Condition, ...], Meta(max_length=20)] = ()


class MappedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event of the customer that is called `customer`, in the way that the rules say."""

    customer: str
    event: UsageEvent


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """Nothing to charge, and why."""

    why: str


def check_rules(rules: MappingRules) -> Problem | None:
    """Refuse rules by which no event could ever be made."""
    if not rules.event_type and rules.default_event_type is None:
        return invalid("event_type", "or default_event_type is missing: give one of the two")
    for index, condition in enumerate(rules.only):
        said = (condition.one_of is not None, condition.none_of is not None, not condition.exists)
        if sum(said) > 1:
            detail = "has more than one of one_of, none_of and exists: leave all but one out"
            return invalid(f"only[{index}]", detail)
    for key, names in rules.data.items():
        if not names:
            return invalid(f"data.{key}", "names no field: name one, or leave the key out")
    return None


def map_observed(rules: MappingRules, observed: Observed) -> MappedEvent | Skipped | Problem:
    """Make a usage event of what was observed; or say why there is none to make, or what is wrong.

    The event is as if it had been decoded from JSON: everything in it is within its bounds.
    """
    fields = observed.fields
    for condition in rules.only:
        why = _unmet(condition, fields)
        if why is not None:
            return Skipped(why)
    customer = _text(rules.customer, fields)
    if not customer:
        return invalid("customer", f"is not named: none of {_listed(rules.customer)} is there")
    event_type = _event_type(rules, fields)
    if event_type is None:
        return invalid("event_type", f"is missing: none of {_listed(rules.event_type)} is there")
    subject = _text(rules.subject, fields) or None
    description = _text(rules.description, fields) or None
    if description is not None:
        description = description[:MAX_DESCRIPTION]
    for name, text, most in (
        ("customer", customer, MAX_ID),
        ("event_type", event_type, MAX_EVENT_TYPE),
        ("subject", subject, MAX_SUBJECT),
        ("id", observed.id, MAX_ID),
        ("description", description, MAX_DESCRIPTION),
    ):
        wrong = None if text is None else _wrong_text(text, most)
        if wrong is not None:
            return invalid(name, wrong)
    if not observed.id:
        return invalid("id", "is empty: send what is unique in its source")
    if observed.occurred_at.tzinfo is None:
        return invalid("occurred_at", "has no time zone: send one, e.g. Z")
    data = _data(rules, fields)
    if isinstance(data, Problem):
        return data
    costs = None if rules.cost is None else _costs(rules.cost, fields)
    if isinstance(costs, Problem):
        return costs
    return MappedEvent(
        customer,
        UsageEvent(
            observed.id, event_type, observed.occurred_at, subject, description, data or None, costs
        ),
    )


def _listed(fields: tuple[str, ...]) -> str:
    return ", ".join(fields[:5]) or "no field"


def _unmet(condition: Condition, fields: Mapping[str, Scalar]) -> str | None:
    name = condition.field
    value = fields.get(name)
    if condition.none_of is not None:
        text = dimension_text(value)
        return f"{name} is {text!r:.60}" if text in condition.none_of else None
    if value is None:
        return f"{name} is not there" if condition.exists else None
    if not condition.exists:
        return f"{name} is there"
    text = dimension_text(value)
    if condition.one_of is None or text in condition.one_of:
        return None
    return f"{name} is {text!r:.60}"


def _first(names: tuple[str, ...], fields: Mapping[str, Scalar]) -> Scalar | None:
    for name in names:
        value = fields.get(name)
        if value is not None and value != "":
            return value
    return None


def _text(names: tuple[str, ...], fields: Mapping[str, Scalar]) -> str | None:
    value = _first(names, fields)
    return value if isinstance(value, str) else dimension_text(value)


def _event_type(rules: MappingRules, fields: Mapping[str, Scalar]) -> str | None:
    said = _text(rules.event_type, fields)
    if not said:
        return rules.default_event_type
    return rules.event_types.get(said, said)


def _wrong_text(text: str, most: int) -> str | None:
    if len(text) > most:
        return f"has {len(text)} characters ({text[:40]!r}…): at most {most} are kept"
    return None if _is_plain(text) else "has a NUL character or is no Unicode: leave that out"


def _is_plain(text: str) -> bool:
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _data(rules: MappingRules, fields: Mapping[str, Scalar]) -> dict[str, Any] | Problem:
    data: dict[str, Any] = {}
    below = rules.data_below
    if below is not None:
        for name, value in fields.items():
            if name.startswith(below) and len(name) > len(below):
                data[name[len(below) :]] = value
    for key, names in rules.data.items():
        found = _first(names, fields)
        if found is not None:
            data[key] = found
    if len(data) > MAX_FREE_KEYS:
        return invalid("data", f"has {len(data)} keys: name those that you need in the rules")
    for key, value in data.items():
        if not _is_plain(key):
            return invalid("data", "has a key with a NUL character: leave that out")
        wrong = _wrong_value(value)
        if wrong is not None:
            return invalid(f"data.{key}", wrong)
        if rules.read_numbers and type(value) is str:
            data[key] = _number(value)
    return check_free("data", data) or data


def _wrong_value(value: Scalar) -> str | None:
    if type(value) is str:
        return _wrong_text(value, MAX_FREE_BYTES)
    if isinstance(value, Decimal) and not value.is_finite():
        return f"is {value}: send a number"
    return None


def _number(text: str) -> Scalar:
    """Read a text as a JSON number, if it is one."""
    if not text or len(text) > 60 or text[-1] not in "0123456789" or text[0] not in "-0123456789":
        return text
    try:
        value = _numbers.decode(text.encode())
    except (msgspec.DecodeError, ValueError, ArithmeticError):
        return text
    return value if isinstance(value, (int, Decimal)) else text


_numbers: Final = msgspec.json.Decoder(float_hook=Decimal)


def _costs(rule: CostRule, fields: Mapping[str, Scalar]) -> list[Cost] | Problem | None:
    amount = _first(rule.amount, fields)
    if amount is None:
        return None
    if isinstance(amount, str):
        amount = _number(amount)
    if isinstance(amount, (bool, str)) or not Decimal(amount).is_finite():
        return invalid("cost", f"is {amount!r:.60}: it is an amount, so send a number")
    if abs(Decimal(amount).adjusted()) > 20:
        return invalid("cost", f"is {amount!s:.60}: send a number from 0 to 1e18")
    exact = round(Decimal(amount), COST_DECIMALS)
    vendor = _text(rule.vendor_fields, fields) or rule.vendor
    wrong = _wrong_text(vendor, MAX_ID)
    if wrong is not None:
        return invalid("cost.vendor", wrong)
    return [Cost("told", Number(exact), vendor_external_id=vendor, currency=rule.currency)]
