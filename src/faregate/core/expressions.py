"""How much of something an event used, computed from several numbers in its data:

    input_tokens + 4 * output_tokens
    ceil(max(0, seconds - 30) / 60)

Numbers, names of fields, `+ - * /`, parentheses, and `min`, `max`, `ceil`, `floor`. A name that is
not a plain word stands in double quotes. Everything is exact: what divisions leave is kept as a
fraction until the end, where the quantity is rounded half-even to `VOLUME_DECIMALS`. The text is
parsed, never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

import msgspec

from faregate.core.amounts import half_even
from faregate.core.problems import Problem
from faregate.core.volumes import MAX_VOLUME, VOLUME_ONE, read_parts

MAX_TEXT: Final = 500
MAX_DEPTH: Final = 20
"""How deep parentheses and functions may lie in each other."""
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r'|"(?P<quoted>[^"]{1,100})"|(?P<sign>[-+*/(),]))'
)
_REMEDY: Final = "use numbers, fields of data, + - * /, parentheses, min, max, ceil and floor"
_FUNCTIONS: Final = {"min": (2, 20), "max": (2, 20), "ceil": (1, 1), "floor": (1, 1)}
"""How many arguments they take, at least and at most."""


class Expression(msgspec.Struct, frozen=True, gc=False):
    """A number (`value`), a field (`name`), or an operation on others."""

    operation: str
    arguments: tuple[Expression, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)

    def names(self) -> Iterator[str]:
        """Walk the fields that it reads."""
        if self.operation == "name":
            yield self.name
        for argument in self.arguments:
            yield from argument.names()

    def divides_by_zero(self) -> bool:
        """Tell whether it always does, because a 0 is written there."""
        if self.operation == "/":
            divisor = self.arguments[1]
            if divisor.operation == "number" and not divisor.value:
                return True
        return any(argument.divides_by_zero() for argument in self.arguments)


class ExpressionError(ValueError):
    """Why a text is no expression."""


def parse_expression(text: str) -> Expression:
    """Parse a text. Raises `ExpressionError` with what is wrong, and where."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"has {len(text)} characters: use at most {MAX_TEXT}")
    parser = _Parser(text)
    found = parser.sum(0)
    parser.expect("")
    return found


class _Parser:
    """Reads from left to right: a sum of products of factors."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._kind: str | None = None
        self._token = ""
        self._start = 0
        self._next()

    def _next(self) -> None:
        """Go on to the next token; '' at the end."""
        found = _TOKEN.match(self._text, self._place)
        if found is None:
            rest = self._text[self._place :].strip()
            if rest:
                raise ExpressionError(f"cannot be read from {rest[:20]!r} on: {_REMEDY}")
            self._kind, self._token, self._start = None, "", len(self._text)
            return
        self._kind = found.lastgroup
        self._token = found.group(self._kind or 0)
        self._start, self._place = found.start(self._kind or 0), found.end()

    def expect(self, sign: str) -> None:
        """Pass over a sign, or complain."""
        if self._token != sign or self._kind not in (None, "sign"):
            wanted = f"{sign!r}" if sign else "the end or an operator"
            raise ExpressionError(f"has {self._shown()} where {wanted} should be")
        self._next()

    def _shown(self) -> str:
        return f"{self._token!r} at character {self._start + 1}" if self._token else "its end"

    def _takes(self, signs: str) -> str:
        """Pass over one of these signs if it comes, and return it; else ''."""
        if self._kind != "sign" or self._token not in signs:
            return ""
        sign = self._token
        self._next()
        return sign

    def sum(self, depth: int) -> Expression:
        """Read products that are added or subtracted."""
        found = self._product(depth)
        while sign := self._takes("+-"):
            found = Expression(sign, (found, self._product(depth)))
        return found

    def _product(self, depth: int) -> Expression:
        found = self._factor(depth)
        while sign := self._takes("*/"):
            found = Expression(sign, (found, self._factor(depth)))
        return found

    def _factor(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"lies more than {MAX_DEPTH} deep in itself: make it flatter")
        if self._takes("-"):
            return Expression("-", (Expression("number"), self._factor(depth + 1)))
        if self._takes("("):
            found = self.sum(depth + 1)
            self.expect(")")
            return found
        kind, token = self._kind, self._token
        if kind == "number":
            if len(token) > 40:
                raise ExpressionError(f"has a number of {len(token)} digits: use at most 40")
            self._next()
            return Expression("number", value=Fraction(token))
        if kind not in ("word", "quoted"):
            raise ExpressionError(
                f"has {self._shown()} where a number or a field should be: {_REMEDY}"
            )
        self._next()
        if kind == "quoted" or not self._takes("("):
            return Expression("name", name=token)
        return self._call(token, depth)

    def _call(self, name: str, depth: int) -> Expression:
        if name not in _FUNCTIONS:
            known = ", ".join(_FUNCTIONS)
            raise ExpressionError(f"calls {name!r}, which is no function: there are {known}")
        arguments = [self.sum(depth + 1)]
        while self._takes(","):
            arguments.append(self.sum(depth + 1))
        self.expect(")")
        least, most = _FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise ExpressionError(f"gives {name} {len(arguments)} arguments: it takes {wanted}")
        return Expression(name, tuple(arguments))


def measure_expression(expression: Expression, data: Mapping[str, Any]) -> int | str | Problem:
    """Return the quantity that an event used, in parts of `VOLUME_ONE`; or in words why there is
    none; or the problem of a field that is no number."""
    values: dict[str, Fraction] = {}
    for name in expression.names():
        if data.get(name) is None:
            return f"data.{name} is missing"
        parts = read_parts(name, data[name], "counted")
        if isinstance(parts, Problem):
            return parts
        values[name] = Fraction(parts, VOLUME_ONE)
    try:
        found = _evaluate(expression, values)
    except ZeroDivisionError:
        return "its quantity divides by zero"
    if found < 0:
        return "its quantity is below 0"
    if found > MAX_VOLUME:
        return f"its quantity is above {MAX_VOLUME}"
    quantity, _ = half_even(found.numerator * VOLUME_ONE, found.denominator)
    return quantity


def _evaluate(expression: Expression, values: Mapping[str, Fraction]) -> Fraction:
    operation = expression.operation
    if operation == "number":
        return expression.value
    if operation == "name":
        return values[expression.name]
    first, *rest = [_evaluate(argument, values) for argument in expression.arguments]
    if operation in ("ceil", "floor"):
        return Fraction(ceil(first) if operation == "ceil" else floor(first))
    if operation in ("min", "max"):
        return min(first, *rest) if operation == "min" else max(first, *rest)
    (second,) = rest
    if operation == "+":
        return first + second
    if operation == "-":
        return first - second
    return first * second if operation == "*" else first / second
