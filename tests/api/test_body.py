from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import body, errors
from sampan.api.errors import StatusError

JSON = "application/json"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
        (b"[" * 2000, "exceeded max depth"),
        (b"[" * 300 + b"]" * 300, "exceeded max depth"),
    ],
)
def test_bad_json_is_refused_in_gos_words(data: bytes, complaint: str) -> None:
    with pytest.raises(errors.Unreadable) as caught:
        body.read_json(data)
    assert str(caught.value) == complaint
    with pytest.raises(errors.Unreadable, match="couldn't get version/kind; json parse error: "):
        body.read(data, JSON)


def test_nesting_within_the_limit_is_read() -> None:
    depth = body.MAX_DEPTH
    assert body.read_json(b"[" * depth + b"]" * depth)
    wide = json.dumps({str(number): {"a": []} for number in range(1000)}).encode()
    assert len(body.read_json(wide)) == 1000


@pytest.mark.parametrize(
    ("data", "duplicates"),
    [
        (b'{"a":1,"b":{"c":1}}', []),
        (b'{"a": 1, "b": "\\u003c"}', []),
        (b'{"a":1,"a":1}', ["a"]),
        (b'{"a":1,"a":2,"a":3}', ["a"]),
        (b'{"s":{"l":[{},{"x":1,"x":2}]},"t":1,"t":2}', ["s.l[1].x", "t"]),
        (b'{"a":{"b":1,"b":2},"a":{}}', ["a"]),
    ],
)
def test_duplicate_keys_are_found_with_their_path(data: bytes, duplicates: list[str]) -> None:
    document = body.read(data, JSON)
    assert document.duplicates_in(document.value) == [f'duplicate field "{path}"' for path in duplicates]
    assert document.value == json.loads(data)


def test_numbers_beyond_64_bits_read_the_same_with_and_without_duplicates() -> None:
    plain = body.read(b'{"a":123456789012345678901234567890}', JSON).value
    doubled = body.read(b'{"a":1,"a":123456789012345678901234567890}', JSON).value
    assert plain == doubled
    assert isinstance(doubled["a"], float)


@given(
    st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text())
)
def test_a_body_without_duplicates_has_none(value: dict[str, object]) -> None:
    document = body.read(json.dumps(value).encode(errors="replace"), JSON)
    assert document.duplicates_in(document.value) == []


def test_unknown_format() -> None:
    with pytest.raises(StatusError) as caught:
        body.read(b"{}", "text/csv")
    assert caught.value.code == 415


def test_content_type_parameters_do_not_matter() -> None:
    assert body.read(b"{}", "application/json; charset=utf-8").value == {}
    assert body.read(b"a: 1", "application/yaml").value == {"a": 1}
