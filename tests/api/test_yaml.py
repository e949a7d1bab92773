from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import yaml
from sampan.api.errors import Unreadable


def read(text: str) -> Any:
    value, strict = yaml.read(text.encode(), max_depth=50)
    assert strict == []
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("off", False),
        ("y", True),
        ("'yes'", "yes"),
        ('"12"', "12"),
        ("~", None),
        ("", None),
        ("012", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("-3", -3),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!binary aGVsbG8=", "hello"),
        ("!foo bar", "bar"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_read_as_upstream_reads_them(text: str, value: Any) -> None:
    found = read(f"a: {text}")["a"]
    assert (type(found), found) == (type(value), value)


def test_keys_become_text() -> None:
    assert read("{1: a, true: b, 1.5: c, 2020-01-01: d, x: e}") == {
        "1": "a",
        "true": "b",
        "1.5": "c",
        "2020-01-01": "d",
        "x": "e",
    }


def test_only_the_first_document_counts() -> None:
    assert read("---\na: 1\n---\nb: 2\n") == {"a": 1}


def test_aliases_are_copies() -> None:
    value = read("a: &x {b: [1]}\nc: *x\n")
    assert value == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert value["a"] is not value["c"]
    assert value["a"]["b"] is not value["c"]["b"]


def test_merge_keys() -> None:
    assert read("x: &x {a: 1, b: 2}\nz: {<<: *x, b: 3}") == {"x": {"a": 1, "b": 2}, "z": {"a": 1, "b": 3}}
    assert read('"<<": 1') == {"<<": 1}


def test_duplicate_keys_are_told_with_their_line() -> None:
    value, strict = yaml.read(b"a: 1\nm:\n  x: 1\n  x: 2\na: 2\n", max_depth=50)
    assert value == {"a": 2, "m": {"x": 2}}
    assert strict == [
        'yaml: unmarshal errors:\n  line 4: key "x" already set in map\n  line 5: key "a" already set in map'
    ]


BOMB = "\n".join(
    ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("x: *a", "yaml: unknown anchor 'a' referenced"),
        ("a: &x [*x]", "yaml: unknown anchor 'x' referenced"),
        ("a: .inf", "json: unsupported value: .inf"),
        ("? [a]\n: b", "unsupported map key of type: sequence"),
        ("null: n", "unsupported map key of type: null"),
        ("a: \x00", "yaml: control characters are not allowed"),
        ("[" * 60, "yaml: exceeded max depth"),
        ("<<: 3", "yaml: map merge requires map or sequence of maps as the value"),
        (f"a: {'9' * 5000}", "json: unsupported value: number out of range"),
        (BOMB, "yaml: document contains excessive aliasing"),
    ],
)
def test_bad_yaml(text: str, complaint: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(text)
    assert str(caught.value) == complaint


def test_aliases_count_towards_the_depth() -> None:
    nested = "- &a [[[[[[[[[[x]]]]]]]]]]\n- &b [[[[[[[[[[*a]]]]]]]]]]\n- &c [[[[[[[[[[*b]]]]]]]]]]\n"
    with pytest.raises(Unreadable, match="max depth"):
        yaml.read(nested.encode(), max_depth=25)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(codec="ascii", min_codepoint=32)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32)), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_json_is_yaml(value: Any) -> None:
    assert read(json.dumps(value)) == value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value, _ = yaml.read(data, max_depth=50)
    except Unreadable:
        return
    json.dumps(value)
