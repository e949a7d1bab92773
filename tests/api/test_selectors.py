import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import selectors
from sampan.api.selectors import Requirement, Selector, SelectorError

KEYS = st.sampled_from(("app", "tier", "example.com/x", "in", "a-b_c.d"))
VALUES = st.sampled_from(("web", "", "v1.2", "in", "notin", "5"))


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    key, op = draw(KEYS), draw(st.sampled_from(("=", "!=", "in", "notin", "exists", "!", "gt", "lt")))
    if op in ("exists", "!"):
        return Requirement(key, op)
    if op in ("gt", "lt"):
        return Requirement(key, op, (str(draw(st.integers(0, 99))),))
    several = op in ("in", "notin")
    values = draw(st.sets(VALUES, min_size=1, max_size=3 if several else 1))
    return Requirement(key, op, tuple(sorted(values)))


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("app=web", {"app": "web", "x": "y"}, True),
        ("app==web", {"app": "web"}, True),
        ("app=web", {"app": "db"}, False),
        ("app=web", {}, False),
        ("app=", {"app": ""}, True),
        ("app!=web", {}, True),
        ("app!=web", {"app": "web"}, False),
        ("app in (web, db)", {"app": "db"}, True),
        ("app in (web,db)", {}, False),
        ("app notin (web)", {}, True),
        ("app notin (web)", {"app": "web"}, False),
        ("app", {"app": ""}, True),
        ("!app", {"app": ""}, False),
        ("!app", {}, True),
        ("n>4", {"n": "5"}, True),
        ("n>4", {"n": "x"}, False),
        ("n<4", {"n": "5"}, False),
        ("app=web,tier in (a),!old", {"app": "web", "tier": "a"}, True),
        ("in in (in)", {"in": "in"}, True),
        (" app = web , tier ", {"app": "web", "tier": "x"}, True),
    ],
)
def test_matching(text, labels, matches):
    assert selectors.parse_label_selector(text).matches(labels) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a>b", "the value must be an integer"),
        ("_a=b", 'key: Invalid value: "_a": name part must consist of'),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=-b", 'Invalid value: "-b": a valid label must be an empty string'),
    ],
)
def test_what_cannot_be_understood_is_said(text, message):
    with pytest.raises(SelectorError) as raised:
        selectors.parse_label_selector(text)
    assert message in str(raised.value)


@given(st.lists(requirements(), max_size=4))
def test_the_text_of_a_selector_parses_back_to_it(parts):
    selector = Selector(tuple(parts))
    assert selectors.parse_label_selector(str(selector)) == selector


@given(st.text(max_size=30))
def test_parsing_any_text_ends_in_a_selector_or_a_selector_error(text):
    for parse in (selectors.parse_label_selector, selectors.parse_field_selector):
        try:
            parse(text)
        except SelectorError:
            continue


def test_label_selector_objects():
    selector = selectors.label_selector_from(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["b", "a"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert str(selector) == "app=web,!old,tier notin (a,b)"
    assert selector.matches({"app": "web", "tier": "c"})
    assert not selector.matches({"app": "web", "tier": "a"})
    assert selectors.label_selector_from(None) == Selector.nothing()
    assert selectors.label_selector_from({}).is_everything
    with pytest.raises(SelectorError, match='"X" is not a valid label selector operator'):
        selectors.label_selector_from({"matchExpressions": [{"key": "a", "operator": "X"}]})


def test_nothing_matches_nothing_and_everything_all():
    assert Selector.everything().matches({})
    assert not Selector.nothing().matches({"a": "b"})


def test_format():
    assert selectors.format(None) == "<none>"
    assert selectors.format({}) == "<none>"
    assert selectors.format({"matchLabels": {"b": "1", "a": "2"}}) == "a=2,b=1"


def test_field_selectors():
    selector = selectors.parse_field_selector(r"status.phase!=Running,metadata.name=a\,b\=c,spec.nodeName==n")
    assert selector.requirements == (
        ("status.phase", "!=", "Running"),
        ("metadata.name", "=", "a,b=c"),
        ("spec.nodeName", "=", "n"),
    )
    assert selector.matches({"status.phase": "Pending", "metadata.name": "a,b=c", "spec.nodeName": "n"})
    assert not selector.matches({"status.phase": "Running", "metadata.name": "a,b=c", "spec.nodeName": "n"})
    assert selector.exact("spec.nodeName") == "n"
    assert selector.exact("status.phase") is None
    assert selectors.parse_field_selector(str(selector)).requirements == selector.requirements
    assert selectors.parse_field_selector("spec.nodeName=").matches({})


@pytest.mark.parametrize("text", ["a", "a=b,c", r"a=\x", "a=b=c", "a=b\\"])
def test_field_selectors_that_cannot_be_understood(text):
    with pytest.raises(SelectorError, match="invalid"):
        selectors.parse_field_selector(text)
