"""Label and field selectors: text or `LabelSelector` object in, a quick yes or no out.

A selector is compiled once into tuples of what must be equal and what remains, because each watch event is
asked of each watcher's selector.
Source: concepts/overview/working-with-objects/labels, .../field-selectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sampan.api import names
from sampan.api.objects import Obj


class SelectorError(ValueError):
    """A selector that cannot be understood; the text is upstream's."""


class Requirement(NamedTuple):
    """`op` is one of = (also for ==) != in notin exists ! gt lt; `values` is sorted."""

    key: str
    op: str
    values: tuple[str, ...] = ()


_WITH_VALUES = frozenset(("in", "notin"))
_OBJECT_OPS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_EQUAL_OPS = {"=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt"}


class Selector:
    """All requirements must hold; none at all holds always."""

    __slots__ = ("_equal", "_rest", "impossible", "requirements")

    def __init__(self, requirements: tuple[Requirement, ...] = (), *, impossible: bool = False) -> None:
        self.requirements = requirements
        self.impossible = impossible
        self._equal = tuple((r.key, r.values[0]) for r in requirements if r.op == "=")
        self._rest = tuple((r.key, r.op, frozenset(r.values)) for r in requirements if r.op != "=")

    @staticmethod
    def everything() -> Selector:
        return _EVERYTHING

    @staticmethod
    def nothing() -> Selector:
        return _NOTHING

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.impossible

    def matches(self, labels: Mapping[str, str]) -> bool:
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        for key, op, values in self._rest:
            if not _holds(labels.get(key), op, values):
                return False
        return not self.impossible

    def __str__(self) -> str:
        """The text form; parses back to an equal selector (but "nothing", which has none)."""
        return ",".join(map(_text, sorted(self.requirements)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Selector)
            and sorted(self.requirements) == sorted(other.requirements)
            and self.impossible == other.impossible
        )

    def __hash__(self) -> int:
        return hash((frozenset(self.requirements), self.impossible))

    def __repr__(self) -> str:
        return f"Selector({'<nothing>' if self.impossible else str(self)!r})"


_EVERYTHING = Selector()
_NOTHING = Selector(impossible=True)


def _holds(found: str | None, op: str, values: frozenset[str]) -> bool:
    if op in ("!=", "notin"):
        return found is None or found not in values
    if op == "!":
        return found is None
    if found is None:
        return False
    if op == "in":
        return found in values
    if op == "exists":
        return True
    try:
        number, (bound,) = int(found), map(int, values)
    except ValueError:
        return False
    return number > bound if op == "gt" else number < bound


def _text(requirement: Requirement) -> str:
    key, op, values = requirement
    if op == "exists":
        return key
    if op == "!":
        return f"!{key}"
    if op in _WITH_VALUES:
        return f"{key} {op} ({','.join(values)})"
    return f"{key}{ {'gt': '>', 'lt': '<'}.get(op, op) }{values[0]}"


# --- text ---------------------------------------------------------------------------------------------------

_TOKEN: re.Pattern[str] = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)")
_SYMBOLS = frozenset(("=", "==", "!=", "!", "<", ">", "(", ")", ",", ""))


class _Tokens:
    """One token of lookahead over a selector's text; `""` is its end."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = _TOKEN.findall(text.rstrip()) or [""]
        self._at = 0

    def peek(self) -> str:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token


def parse_label_selector(text: str) -> Selector:
    """`app=web,tier in (a, b),!legacy`; raises SelectorError. The empty text selects everything."""
    if not text or text.isspace():
        return _EVERYTHING
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    while True:
        token = tokens.peek()
        if token == "" and not requirements:
            break
        if token in _SYMBOLS and token != "!":
            wanted = "identifier after ','" if requirements else "!, identifier, or 'end of string'"
            raise SelectorError(f"found '{token}', expected: {wanted}")
        try:
            requirements.append(_parse_requirement(tokens))
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from None
        token = tokens.take()
        if token == "":
            break
        if token != ",":
            raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
    return Selector(tuple(requirements))


def _parse_requirement(tokens: _Tokens) -> Requirement:
    key = tokens.take()
    absent = key == "!"
    if absent:
        key = tokens.take()
    if key in _SYMBOLS:
        raise SelectorError(f"found '{key}', expected: identifier")
    _check_key(key)
    if absent:
        return Requirement(key, "!")
    if tokens.peek() in ("", ","):
        return Requirement(key, "exists")
    op = tokens.take()
    if op in _WITH_VALUES:
        return Requirement(key, op, _checked(key, _parse_values(tokens)))
    if op not in _EQUAL_OPS:
        raise SelectorError(f"found '{op}', expected: in, notin, =, ==, !=, gt, lt")
    value = "" if tokens.peek() in ("", ",") else tokens.take()
    if value in _SYMBOLS and value:
        raise SelectorError(f"found '{value}', expected: identifier")
    if op in "<>" and not re.fullmatch(r"[+-]?[0-9]+", value):
        raise SelectorError(
            f"key: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
        )
    return Requirement(key, _EQUAL_OPS[op], _checked(key, {value}))


def _parse_values(tokens: _Tokens) -> set[str]:
    if (token := tokens.take()) != "(":
        raise SelectorError(f"found '{token}' expected: '('")
    values = set()
    while True:
        if tokens.peek() in (",", ")"):
            values.add("")  # `in (a,)` and `in ()` name the empty value
        else:
            token = tokens.take()
            if token in _SYMBOLS:
                raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
            values.add(token)
        token = tokens.take()
        if token == ")":
            return values
        if token != ",":
            raise SelectorError(f"found '{token}', expected: ',' or ')'")


def _check_key(key: str) -> None:
    if complaints := names.qualified_name(key):
        raise SelectorError(f'key: Invalid value: "{key}": {"; ".join(complaints)}')


def _checked(key: str, values: set[str]) -> tuple[str, ...]:
    ordered = tuple(sorted(values))
    for index, value in enumerate(ordered):
        if complaints := names.label_value(value):
            raise SelectorError(f'values[{index}][{key}]: Invalid value: "{value}": {"; ".join(complaints)}')
    return ordered


# --- objects ------------------------------------------------------------------------------------------------


def label_selector_from(selector: Obj | None) -> Selector:
    """Of a `LabelSelector` object: None selects nothing, `{}` everything; raises SelectorError."""
    if selector is None:
        return _NOTHING
    requirements = [
        Requirement(key, "=", (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        op = _OBJECT_OPS.get(expression.get("operator", ""))
        if op is None:
            raise SelectorError(f'"{expression.get("operator")}" is not a valid label selector operator')
        values = tuple(sorted(set(expression.get("values") or ())))
        if op in _WITH_VALUES and not values:
            raise SelectorError(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
            )
        requirements.append(Requirement(expression["key"], op, values if op in _WITH_VALUES else ()))
    return Selector(tuple(requirements)) if requirements else _EVERYTHING


def label_selector_of(labels: Mapping[str, str] | None) -> Selector:
    """Of a plain map, as Services and ReplicationControllers carry it: empty selects everything."""
    return label_selector_from({"matchLabels": labels or {}})


def format(selector: Obj | None) -> str:
    """A `LabelSelector` object as kubectl prints it: `<none>` for none and for the empty one."""
    try:
        return str(label_selector_from(selector)) or "<none>"
    except SelectorError:
        return "<error>"


# --- fields -------------------------------------------------------------------------------------------------


class FieldSelector:
    """Requirements (path, "=" or "!=", value); a field the object lacks counts as the empty text."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: tuple[tuple[str, str, str], ...] = ()) -> None:
        self.requirements = requirements

    @property
    def is_everything(self) -> bool:
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(path, "") == value) == (op == "=") for path, op, value in self.requirements)

    def exact(self, path: str) -> str | None:
        """The one value `path` must have, or None when the selector leaves it open."""
        return next((value for name, op, value in self.requirements if name == path and op == "="), None)

    def __str__(self) -> str:
        return ",".join(f"{path}{op}{_escape(value)}" for path, op, value in self.requirements)


_FIELD_TERM = re.compile(r"(?:[^\\,]|\\.|\\$)+")
_FIELD_OP = re.compile(r"!=|==|=")


def parse_field_selector(text: str) -> FieldSelector:
    r"""`status.phase=Running,spec.nodeName!=a`; `\,` `\=` `\\` are literal; raises SelectorError."""
    requirements = []
    for term in _FIELD_TERM.findall(text):
        op = _FIELD_OP.search(term)
        if op is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        value = _unescape(term[op.end() :])
        requirements.append((term[: op.start()], "!=" if op[0] == "!=" else "=", value))
    return FieldSelector(tuple(requirements))


def _escape(value: str) -> str:
    return re.sub(r"[\\,=]", r"\\\g<0>", value)


def _unescape(value: str) -> str:
    if bad := re.search(r"(?<!\\)(?:\\\\)*(\\(?![\\,=]).?|=)", value):
        raise SelectorError(f"invalid field selector: invalid value: {bad[1]}")
    return re.sub(r"\\(.)", r"\1", value)
