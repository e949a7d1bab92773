"""Answers made by pattern: the directive `template` of CoreDNS. Pure.

Of Go's text templates there is what such answers need: the fields of the question, and what a pattern found.
Source: the plugin's own documentation (coredns.io/plugins/template).
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sampan.dns import wire
from sampan.dns.corefile import CorefileError, Directive
from sampan.dns.wire import Record, encode_name
from sampan.dns.zone import Answer

_TYPES: Mapping[str, int] = {name: number for number, name in wire.TYPE_NAMES.items()}
_RCODES: Mapping[str, int] = {name: number for number, name in wire.RCODE_NAMES.items()}
_FIELD = re.compile(r"{{-?\s*(.*?)\s*-?}}")
_GROUP = re.compile(r"\.Group\.(\w+)|index \.Match (\d+)|index \.Group \"(\w+)\"")
_DEFAULT_TTL_S = 3600


@dataclass(frozen=True, slots=True)
class Template:
    """Questions of `type` (ANY: of all) below `zones`; of these, those that a pattern finds something in."""

    zones: tuple[str, ...]
    type: int
    patterns: tuple[re.Pattern[str], ...] = ()
    answers: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    rcode: int = wire.NOERROR
    falls_through: bool = False

    def answer(self, name: str, kind: int) -> Answer | None:
        """None if others are to be asked."""
        zone = max((zone for zone in self.zones if _below(name, zone)), key=len, default=None)
        if zone is None or self.type not in (wire.ANY, kind):
            return None
        patterns = self.patterns or (re.compile(""),)
        found = next((match for pattern in patterns if (match := pattern.search(f"{name}."))), None)
        if found is None:
            return None if self.falls_through else Answer(wire.SERVFAIL)
        values = {
            ".Name": f"{name}.",
            ".Zone": f"{zone}.",
            ".Class": "IN",
            ".Type": wire.TYPE_NAMES.get(kind, f"TYPE{kind}"),
        }
        try:
            answers, authority, additional = (
                [_record(_filled(text, values, found)) for text in texts]
                for texts in (self.answers, self.authority, self.additional)
            )
        except (ValueError, OSError, struct.error, IndexError):
            return Answer(wire.SERVFAIL)
        target = _target(answers, kind)
        return Answer(self.rcode, answers, authority, additional, leads_to=target)


def read(directive: Directive, zones: Sequence[str]) -> Template:
    """`zones`: those of the block, for want of others. Raises CorefileError."""
    if len(directive.arguments) < 2:
        raise _wrong(directive, "template needs a class and a type: template IN A example.org")
    cls, kind, *names = (word for word in directive.arguments)
    if cls.upper() not in ("IN", "ANY"):
        raise _wrong(directive, f"template: there is no class {cls!r} here")
    if kind.upper() not in _TYPES:
        raise _wrong(directive, f"template: {kind!r} is no type of records that is known here")
    own = tuple(name.rstrip(".").lower() for name in names) or tuple(zones)
    plan = Template(own, _TYPES[kind.upper()])
    for words in directive.body:
        plan = _with_line(plan, words, directive)
    return plan


def _with_line(plan: Template, words: tuple[str, ...], directive: Directive) -> Template:
    match words:
        case ("match", *patterns) if patterns:
            try:
                return replace(plan, patterns=(*plan.patterns, *map(re.compile, patterns)))
            except re.error as error:
                raise _wrong(directive, f"template: {' '.join(patterns)!r}: {error}") from error
        case ("answer" | "additional" | "authority" as part, *texts) if texts:
            for text in texts:
                _check(text, plan, directive)
            if part == "answer":
                return replace(plan, answers=(*plan.answers, *texts))
            if part == "additional":
                return replace(plan, additional=(*plan.additional, *texts))
            return replace(plan, authority=(*plan.authority, *texts))
        case ("rcode", code) if code.upper() in _RCODES:
            return replace(plan, rcode=_RCODES[code.upper()])
        case ("fallthrough", *_):
            return replace(plan, falls_through=True)
        case ("upstream", *_):
            return plan  # a CNAME is always followed
    raise _wrong(directive, f"template: {' '.join(words)!r} is not understood")


def _check(text: str, plan: Template, directive: Directive) -> None:
    """That it is a record, and asks for nothing but fields that there are."""
    for found in _FIELD.finditer(text):
        if found[1] not in (".Name", ".Zone", ".Class", ".Type", ".Match") and not _GROUP.fullmatch(found[1]):
            raise _wrong(directive, f"template: {found[0]!r} is not understood")
    said = {found[1] for found in _FIELD.finditer(text)}
    if ".Type" not in said and not any(word in _MAKERS for word in text.split()):
        raise _wrong(directive, f"template: {text!r} is no record of {', '.join(_MAKERS)}")
    if "{{" not in text:
        try:
            _record(text)
        except (ValueError, OSError, struct.error, IndexError) as error:
            raise _wrong(directive, f"template: {text!r}: {error}") from error


def _filled(text: str, values: Mapping[str, str], found: re.Match[str]) -> str:
    def value(field: re.Match[str]) -> str:
        if field[1] in values:
            return values[field[1]]
        if field[1] == ".Match":
            return found[0]
        group = _GROUP.fullmatch(field[1])
        assert group is not None  # `_check` saw to it
        name, number, quoted = group.groups()
        return found[int(number) if number else name or quoted] or ""

    return _FIELD.sub(value, text)


def _record(text: str) -> Record:
    """`NAME [TTL] [IN] TYPE DATA...`, as in a zone file. Raises ValueError and the like."""
    name, *rest = text.split()
    ttl_s = _DEFAULT_TTL_S
    while rest and rest[0] not in _MAKERS:
        word = rest.pop(0)
        if word.isdecimal():
            ttl_s = int(word)
        elif word.upper() != "IN":
            raise ValueError(f"{word!r} is no type")
    kind, *data = rest
    owner = _plain(name)
    encode_name(owner)
    return Record(owner, _TYPES[kind], ttl_s, _MAKERS[kind](data))


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _name_data(words: Sequence[str]) -> bytes:
    (name,) = words
    return encode_name(_plain(name))


def _soa_data(words: Sequence[str]) -> bytes:
    server, mailbox, *numbers = words
    if len(numbers) != 5:
        raise ValueError("SOA has five numbers")
    return _name_data([server]) + _name_data([mailbox]) + struct.pack("!5I", *map(int, numbers))


_MAKERS: Mapping[str, Callable[[Sequence[str]], bytes]] = {
    "A": lambda words: socket.inet_pton(socket.AF_INET, words[0]),
    "AAAA": lambda words: socket.inet_pton(socket.AF_INET6, words[0]),
    "CNAME": _name_data,
    "PTR": _name_data,
    "NS": _name_data,
    "MX": lambda words: struct.pack("!H", int(words[0])) + _name_data(words[1:]),
    "SRV": lambda words: struct.pack("!HHH", *map(int, words[:3])) + _name_data(words[3:]),
    "TXT": lambda words: wire.txt_data(" ".join(words).strip('"')),
    "SOA": _soa_data,
}


def _target(answers: Sequence[Record], kind: int) -> str:
    """Where a CNAME leads, if that is all there is."""
    last = answers[-1] if answers else None
    if last is None or last.type != wire.CNAME or kind in (wire.CNAME, wire.ANY):
        return ""
    return wire.read_name(last.data, 0, pointers=False)[0]


def _below(name: str, zone: str) -> bool:
    return not zone or name == zone or name.endswith(f".{zone}")


def _wrong(directive: Directive, why: str) -> CorefileError:
    return CorefileError(directive.line, why)
