from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import patch
from sampan.api.errors import StatusError

DOCUMENT = {"a": {"b": [1, 2, 3], "c": None}, "x": "y"}
B = [1, 2, 3]


# Each line is what upstream's library (json-patch 4.13) makes of the same patch.
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/a/d", "value": 1}, {"a": {"b": B, "c": None, "d": 1}, "x": "y"}),
        ({"op": "add", "path": "/a/b/-1", "value": 9}, {"a": {"b": [1, 2, 3, 9], "c": None}, "x": "y"}),
        ({"op": "add", "path": "/a/b/-", "value": 9}, {"a": {"b": [1, 2, 3, 9], "c": None}, "x": "y"}),
        ({"op": "add", "path": "/a/b/3", "value": 9}, {"a": {"b": [1, 2, 3, 9], "c": None}, "x": "y"}),
        ({"op": "add", "path": "/a/b/01", "value": 1}, {"a": {"b": [1, 1, 2, 3], "c": None}, "x": "y"}),
        ({"op": "add", "path": "/x"}, {"a": {"b": B, "c": None}, "x": None}),
        ({"op": "add", "path": "/a~1b~0", "value": 1}, {"a": {"b": B, "c": None}, "a/b~": 1, "x": "y"}),
        ({"op": "remove", "path": "/a/b/-1"}, {"a": {"b": [1, 2], "c": None}, "x": "y"}),
        ({"op": "remove", "path": "/a/c"}, {"a": {"b": B}, "x": "y"}),
        ({"op": "replace", "path": "/q", "value": 1}, {"a": {"b": B, "c": None}, "q": 1, "x": "y"}),
        (
            {"op": "replace", "path": "/a/b/0", "value": {"z": 1}},
            {"a": {"b": [{"z": 1}, 2, 3], "c": None}, "x": "y"},
        ),
        ({"op": "replace", "path": "", "value": {"n": 1}}, {"n": 1}),
        ({"op": "move", "from": "/a/b", "path": "/k"}, {"a": {"c": None}, "k": B, "x": "y"}),
        ({"op": "copy", "from": "/a/b", "path": "/k"}, {"a": {"b": B, "c": None}, "k": B, "x": "y"}),
        ({"op": "copy", "from": "/zz", "path": "/k"}, {"a": {"b": B, "c": None}, "k": None, "x": "y"}),
        ({"op": "test", "path": "/q", "value": None}, DOCUMENT),
        ({"op": "test", "path": "/a/c", "value": None}, DOCUMENT),
        ({"op": "test", "path": "/a", "value": {"c": None, "b": B}}, DOCUMENT),
    ],
)
def test_json_patch(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert patch.json_patch(DOCUMENT, [operation]) == expected
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (
            {"op": "add", "path": "/q/d", "value": 1},
            'add operation does not apply: doc is missing path: "/q/d": missing value',
        ),
        (
            {"op": "remove", "path": "/q"},
            "error in remove for path: '/q': Unable to remove nonexistent key: q: missing value",
        ),
        (
            {"op": "remove", "path": "/a/b/9"},
            "error in remove for path: '/a/b/9': Unable to access invalid index: 9: invalid index referenced",
        ),
        (
            {"op": "add", "path": "/a/b/4", "value": 9},
            "error in add for path: '/a/b/4': Unable to access invalid index: 4: invalid index referenced",
        ),
        ({"op": "test", "path": "/x", "value": "z"}, "testing value /x failed: test failed"),
        ({"op": "test", "path": "/x"}, "testing value /x failed: test failed"),
        ({"op": "test", "path": "/a/b/0", "value": True}, "testing value /a/b/0 failed: test failed"),
        ({"op": "foo", "path": "/x"}, "Unexpected kind: foo"),
        ({"op": 1, "path": "/x"}, "Unexpected kind: unknown"),
        ({"path": "/x"}, "Unexpected kind: unknown"),
        ({"op": "add", "value": 1}, "add operation failed to decode path: missing value"),
        (
            {"op": "move", "from": "/a", "path": "/a/b"},
            "move operation does not apply: doc is missing destination path: /a/b: missing value",
        ),
        ({"op": "replace", "path": "", "value": [1]}, "the patched document is not an object"),
    ],
)
def test_json_patch_that_cannot_be_applied(operation: dict[str, Any], reason: str) -> None:
    with pytest.raises(StatusError) as caught:
        patch.json_patch(DOCUMENT, [operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert caught.value.status["details"]["causes"] == [
        {"reason": "UnexpectedServerResponse", "message": reason}
    ]


def test_json_patch_is_all_or_nothing() -> None:
    operations = [{"op": "add", "path": "/n", "value": 1}, {"op": "test", "path": "/n", "value": 2}]
    before = copy.deepcopy(DOCUMENT)
    with pytest.raises(StatusError):
        patch.json_patch(DOCUMENT, operations)
    assert before == DOCUMENT


@pytest.mark.parametrize("body", [{"op": "add"}, ["a"], None, 1])
def test_what_is_no_json_patch(body: Any) -> None:
    with pytest.raises(StatusError) as caught:
        patch.json_patch(DOCUMENT, body)
    assert caught.value.code == 400


def test_too_many_operations() -> None:
    with pytest.raises(StatusError) as caught:
        patch.json_patch(DOCUMENT, [{"op": "test", "path": "/x", "value": "y"}] * 10_001)
    assert caught.value.code == 413


def test_copies_of_copies_end() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(64)]
    with pytest.raises(StatusError) as caught:
        patch.json_patch({"a": {"b": "x" * 1000}}, doubling)
    assert caught.value.code == 422
    assert "exceeding the limit" in caught.value.status["details"]["causes"][0]["message"]


def test_depth_upon_depth_ends() -> None:
    deepening = [{"op": "copy", "from": "/a", "path": "/a/a"}]
    document: dict[str, Any] = {"a": {"a": 1}}
    with pytest.raises(StatusError):
        patch.json_patch(document, deepening * 1000)
    with pytest.raises(StatusError) as caught:
        for _ in range(300):
            document = patch.json_patch(document, deepening)
    assert (caught.value.code, caught.value.message) == (400, "exceeded max depth")
    nest: dict[str, Any] = {}
    for _ in range(150):
        nest = {"a": nest}
    deeper: dict[str, Any] = nest
    for _ in range(75):
        deeper = {"a": deeper}
    with pytest.raises(StatusError, match="exceeded max depth"):
        patch.merge_patch({}, deeper)
    inner = [{"op": "add", "path": "/a" * 150, "value": nest}]
    with pytest.raises(StatusError, match="exceeded max depth"):
        patch.json_patch(nest, inner)


# RFC 7386, appendix A (those whose target and patch are objects).
@pytest.mark.parametrize(
    ("target", "change", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: dict[str, Any], change: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy((target, change))
    assert patch.merge_patch(target, change) == expected
    assert (target, change) == before


@pytest.mark.parametrize("body", [["c"], None, "bar", 1, True])
def test_what_is_no_merge_patch(body: Any) -> None:
    with pytest.raises(StatusError) as caught:
        patch.merge_patch({"a": "b"}, body)
    assert caught.value.code == 400


def test_parse() -> None:
    assert patch.parse(b'[{"op":"test"}]') == [{"op": "test"}]
    for data in (b"", b"{", b"[" * 5000):
        with pytest.raises(StatusError) as caught:
            patch.parse(data)
        assert caught.value.code == 400


def test_strategic_merge_patch_needs_a_schema() -> None:
    with pytest.raises(StatusError) as caught:
        patch.strategic_merge_patch({}, {}, "example.com/v1", "Widget")
    assert caught.value.code == 415


@pytest.mark.parametrize("body", [[], None, "x", 1])
def test_what_is_no_strategic_merge_patch(body: Any) -> None:
    with pytest.raises(StatusError) as caught:
        patch.strategic_merge_patch({}, body, "v1", "Pod")
    assert caught.value.code == 400


# --- properties ---

KEYS = st.text(alphabet="ab/~0", max_size=3)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def merge_difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = merge_difference(before, value)
        elif key not in old or json.dumps(before) != json.dumps(value):
            result[key] = value
    return result


@given(OBJECTS, OBJECTS)
def test_merging_a_difference_makes_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert patch.merge_patch(old, merge_difference(old, new)) == new


@given(OBJECTS, OBJECTS)
def test_merging_twice_is_merging_once(document: dict[str, Any], change: dict[str, Any]) -> None:
    once = patch.merge_patch(document, change)
    assert patch.merge_patch(once, change) == once


@given(OBJECTS)
def test_merging_nothing_changes_nothing(document: dict[str, Any]) -> None:
    assert patch.merge_patch(document, {}) == document
    assert patch.json_patch(document, []) == document
    assert patch.strategic_merge_patch(document, {}, "v1", "Pod") == document


def pointers(value: Any, path: str = "") -> list[str]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += pointers(item, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += pointers(item, f"{path}/{index}")
    return found


@given(OBJECTS, KEYS, VALUES, st.data())
def test_add_and_remove_are_inverse(
    document: dict[str, Any], key: str, value: Any, data: st.DataObject
) -> None:
    parents = [path for path in pointers(document) if isinstance(at(document, path), dict | list)]
    parent = data.draw(st.sampled_from(parents))
    container = at(document, parent)
    token = "0" if isinstance(container, list) else key.replace("~", "~0").replace("/", "~1")
    if isinstance(container, dict) and key in container:
        return
    path = f"{parent}/{token}"
    added = patch.json_patch(document, [{"op": "add", "path": path, "value": value}])
    assert at(added, path) == value
    assert patch.json_patch(added, [{"op": "remove", "path": path}]) == document


def at(document: Any, path: str) -> Any:
    node = document
    for token in path.split("/")[1:]:
        text = token.replace("~1", "/").replace("~0", "~")
        node = node[int(text)] if isinstance(node, list) else node[text]
    return node


@given(OBJECTS, st.data())
def test_every_value_passes_its_own_test(document: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(pointers(document)))
    operation = {"op": "test", "path": path, "value": at(document, path)}
    assert patch.json_patch(document, [operation]) == document


OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "other"]) | VALUES,
        "path": st.text(alphabet="/ab-01~", max_size=6) | VALUES,
        "from": st.text(alphabet="/ab-01~", max_size=6) | VALUES,
        "value": VALUES | st.none(),
    },
)


@given(OBJECTS, st.lists(OPERATIONS, max_size=4) | VALUES)
def test_any_json_patch_applies_or_is_refused(document: dict[str, Any], operations: Any) -> None:
    before = copy.deepcopy(document)
    try:
        assert isinstance(patch.json_patch(document, operations), dict)
    except StatusError as error:
        assert error.code in (400, 422)
    assert document == before


@given(OBJECTS, VALUES | st.none())
def test_any_merge_patch_applies_or_is_refused(document: dict[str, Any], change: Any) -> None:
    try:
        assert isinstance(patch.merge_patch(document, change), dict)
    except StatusError as error:
        assert error.code == 400


@pytest.mark.parametrize(
    ("content_type", "change"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/spec/ports/-", "value": {"port": 81}}]),
        ("application/merge-patch+json", {"spec": {"ports": [{"port": 80}, {"port": 81}]}}),
        ("application/strategic-merge-patch+json", {"spec": {"ports": [{"port": 81}]}}),
    ],
)
def test_each_content_type_is_its_own_patch(content_type: str, change: Any) -> None:
    patched = patch.apply({"spec": {"ports": [{"port": 80}]}}, change, content_type, "v1", "Service")
    assert sorted(port["port"] for port in patched["spec"]["ports"]) == [80, 81]
    assert content_type in patch.TYPES


def test_what_is_no_patch_is_refused() -> None:
    with pytest.raises(StatusError) as caught:
        patch.apply({}, {}, "application/json", "v1", "Service")
    assert caught.value.code == 415 and "application/merge-patch+json" in caught.value.message
