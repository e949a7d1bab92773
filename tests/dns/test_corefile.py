"""Corefiles taken apart."""

import pytest

from sampan.dns.corefile import CorefileError, Directive, Section, parse

TEXT = """\
# the cluster
.:53 {
    errors  # said aloud
    forward . "/etc/resolv.conf" {
        policy sequential
    }
    hosts { }
}

example.org, example.com:53 {
    forward . 10.0.0.1 }
one.org,
two.org {
}
"""


def test_blocks_directives_and_their_lines() -> None:
    assert parse(TEXT) == [
        Section(
            (".:53",),
            (
                Directive("errors", (), (), 3),
                Directive("forward", (".", "/etc/resolv.conf"), (("policy", "sequential"),), 4),
                Directive("hosts", (), (), 7),
            ),
            2,
        ),
        Section(("example.org", "example.com:53"), (Directive("forward", (".", "10.0.0.1"), (), 11),), 10),
        Section(("one.org", "two.org"), (), 12),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (".:53", "line 1: '.:53' does not open a block with '{'"),
        (".:53 {\n errors\n", "line 1: the block that begins here has no end"),
        (".:53 {\n hosts {\n", "line 2: the block that begins here has no end"),
        (".:53 {\n a {\n b {\n }\n }\n}", "line 3: a block within a directive's block"),
        ('.:53 {\n a "b\n}', "line 2: a quotation without an end"),
        ("(snippet) {\n}", "line 1: a block begins with the zones it serves; snippets are not supported"),
        ("{\n}", "line 1: a block begins with the zones it serves; snippets are not supported"),
        (".:53 {\n {\n }\n}", "line 2: a block without a name"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, why: str) -> None:
    with pytest.raises(CorefileError) as refusal:
        parse(text)
    assert str(refusal.value) == why


def test_what_lies_beside_it_is_imported() -> None:
    files = {
        "a.override": "log\nerrors",
        "b.override": "import c",
        "c": "loop",
        "x.server": "x.example {\n}\n",
    }
    text = ".:53 {\nimport /etc/coredns/*.override\nimport custom/*.override\n}\nimport *.server\n"
    first, second = parse(text, files)
    assert [directive.name for directive in first.directives] == ["log", "errors", "loop"]
    assert second.keys == ("x.example",)
    with pytest.raises(CorefileError, match="line 2: import: there is no 'missing'"):
        parse(".:53 {\nimport missing\n}\n", files)
    with pytest.raises(CorefileError, match="line 1: import: files that import each other"):
        parse("import a", {"a": "import b", "b": "import a"})
