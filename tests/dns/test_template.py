"""Answers made by pattern."""

import socket

import pytest

from sampan.dns import wire
from sampan.dns.corefile import CorefileError, parse
from sampan.dns.template import Template, read
from sampan.dns.wire import Record
from sampan.dns.zone import Answer


def template(arguments: str, *lines: str) -> Template:
    (section,) = parse("\n".join((".:53 {", f"template {arguments} {{", *lines, "}", "}")))
    return read(section.directives[0], ("",))


def test_the_fields_of_a_question() -> None:
    made = template("IN A example.org", 'answer "{{ .Name }} 60 {{ .Class }} {{ .Type }} 10.0.0.1"')
    found = made.answer("web.example.org", wire.A)
    assert found is not None and found.rcode == wire.NOERROR
    assert found.answers == [Record("web.example.org", wire.A, 60, bytes((10, 0, 0, 1)))]
    for name, kind in (("web.example.com", wire.A), ("web.example.org", wire.AAAA)):
        assert made.answer(name, kind) is None, "others are to be asked"


def test_what_a_pattern_found() -> None:
    made = template(
        "ANY A",
        r"match ^ip-(?P<a>\d+)-(\d+)[.](?P<zone>.*)[.]$",
        'answer "{{ .Name }} IN A 10.0.{{ .Group.a }}.{{index .Match 2}}"',
        'additional "{{ .Group.zone }}. 5 TXT {{ .Zone }}"',
    )
    found = made.answer("ip-1-2.example", wire.A)
    assert found is not None and [each.data for each in found.answers] == [bytes((10, 0, 1, 2))]
    assert found.additional == [Record("example", wire.TXT, 5, b"\x01.")]
    assert made.answer("ip-1.example", wire.A) == Answer(wire.SERVFAIL), "who has a pattern means it"
    assert template("ANY A", "match ^x", "fallthrough").answer("y", wire.A) is None
    assert made.answer("ip-1-999.example", wire.A) == Answer(wire.SERVFAIL), "no address"


def test_no_addresses_of_one_family() -> None:
    found = template("IN AAAA .", "rcode NOERROR").answer("web.example", wire.AAAA)
    assert found is not None and (found.rcode, found.answers) == (wire.NOERROR, [])
    found = template("ANY ANY bad.example", "rcode nxdomain").answer("x.bad.example", wire.MX)
    assert found is not None and found.rcode == wire.NXDOMAIN


def test_an_alias_is_followed() -> None:
    made = template("IN ANY a.example", 'answer "{{ .Name }} 60 IN CNAME Web.Example.org."')
    found = made.answer("a.example", wire.A)
    assert found is not None and found.leads_to == "web.example.org"
    found = made.answer("a.example", wire.CNAME)
    assert found is not None and found.leads_to == ""


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("x. AAAA fd00::1", socket.inet_pton(socket.AF_INET6, "fd00::1")),
        ("x. 5 IN MX 10 mail.example.", b"\0\x0a" + wire.encode_name("mail.example")),
        ("x. SRV 1 2 80 web.example.", wire.srv_data(80, "web.example", 1, 2)),
        ("x. SOA ns.x. h.x. 1 2 3 4 5", wire.encode_name("ns.x") + wire.encode_name("h.x") + bytes(
            (0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5)
        )),
    ],
)  # fmt: skip
def test_records_as_in_a_zone_file(text: str, data: bytes) -> None:
    found = template("ANY ANY x", f'authority "{text}"').answer("x", wire.A)
    assert found is not None and [each.data for each in found.authority] == [data]


@pytest.mark.parametrize(
    ("arguments", "line", "why"),
    [
        ("IN", "rcode NOERROR", "needs a class and a type"),
        ("CH A", "rcode NOERROR", "no class 'CH'"),
        ("IN LOC", "rcode NOERROR", "'LOC' is no type"),
        ("IN A", "match (", "'('"),
        ("IN A", "rcode WHY", "'rcode WHY' is not understood"),
        ("IN A", "ederror 21", "'ederror 21' is not understood"),
        ("IN A", 'answer "x. 60 IN A 10.0.0.256"', "'x. 60 IN A 10.0.0.256'"),
        ("IN A", 'answer "x. 60 IN LOC 1"', "is no record of A, AAAA"),
        ("IN A", 'answer "{{ .Remote }} 60 IN A 10.0.0.1"', "'{{ .Remote }}' is not understood"),
    ],
)
def test_what_is_not_meant_is_refused_with_its_line(arguments: str, line: str, why: str) -> None:
    with pytest.raises(CorefileError) as refusal:
        template(arguments, line)
    assert str(refusal.value).startswith("line 2: ") and why in str(refusal.value)
