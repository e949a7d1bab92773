"""Names that stand for others."""

import pytest

from sampan.dns.corefile import CorefileError, Directive
from sampan.dns.rewrite import Rewrite, read


def rule(text: str, *body: str) -> Rewrite:
    return read(Directive("rewrite", tuple(text.split()), tuple(tuple(line.split()) for line in body), 3))


@pytest.mark.parametrize(
    ("how", "name", "becomes"),
    [
        ("exact a.example b.example", "a.example", "b.example"),
        ("exact a.example b.example", "x.a.example", None),
        ("suffix .corp .example", "x.corp", "x.example"),
        ("prefix old- new-", "old-web.example", "new-web.example"),
        ("substring old new", "a.old.b", "a.new.b"),
        (r"regex ^(.*)-(.*)\.corp\.$ {2}.{1}.example", "a-b.corp", "b.a.example"),
        (r"regex (.*)\.corp\.$ {1}.example.", "a.corp.org", None),
        (r"regex ^(a)?b\.$ x{1}.example", "b", "x.example"),
    ],
)
def test_names_are_rewritten(how: str, name: str, becomes: str | None) -> None:
    assert rule(f"name {how}").apply(name) == becomes


def test_the_form_of_several_lines() -> None:
    assert rule("stop", "name regex a b", "answer name b a") == Rewrite("regex", "a", "b")
    assert rule("name exact a b", "answer auto") == Rewrite("exact", "a", "b")


@pytest.mark.parametrize(
    ("text", "body", "why"),
    [
        ("class CH IN", (), "rewrite knows"),
        ("name regex ( b", (), "rewrite: '\\('"),
        ("name regex (a) {2}", (), "names a group that"),
        ("stop", ("name regex a b", "answer value a b"), "'answer value a b' is not understood"),
    ],
)
def test_what_is_not_meant_is_refused(text: str, body: tuple[str, ...], why: str) -> None:
    with pytest.raises(CorefileError, match=f"line 3: .*{why}"):
        rule(text, *body)
