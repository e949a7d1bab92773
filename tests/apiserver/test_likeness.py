"""Sharing what is alike must never show: not in values, not in order, not in deep copies."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sampan.apiserver.likeness import take_over

SCALARS = st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([0.0, 1.0, "", "a", "TCP"])
TREES = st.recursive(
    SCALARS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from("abc"), parts, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), TREES, max_size=4)


def containers(tree: Any) -> Iterator[int]:
    if isinstance(tree, dict | list):
        yield id(tree)
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from containers(part)


def fresh(obj: Any) -> Any:
    return orjson.loads(orjson.dumps(obj))


def text(obj: Any) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def test_equal_parts_at_the_same_place_are_the_models() -> None:
    ports = [{"name": "http", "port": 80}]
    model = fresh(
        {"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports, "type": "NodePort"}}
    )
    new = fresh({"kind": "Service", "metadata": {"name": "b"}, "spec": {"ports": ports, "type": "ClusterIP"}})
    assert not take_over(new, model)
    assert new["kind"] is model["kind"]
    assert new["spec"]["ports"] is model["spec"]["ports"]
    assert new["spec"] is not model["spec"]
    assert new["spec"]["type"] == "ClusterIP"


def test_numbers_of_other_kinds_are_not_equal() -> None:
    new: dict[str, Any] = {"a": {"n": 1}, "b": {"n": True}, "c": {"n": 1.0}}
    take_over(new, {"a": {"n": True}, "b": {"n": 1.0}, "c": {"n": 1}})
    assert orjson.dumps(new) == b'{"a":{"n":1},"b":{"n":true},"c":{"n":1.0}}'


@given(st.lists(OBJECTS, min_size=2, max_size=4))
def test_nobody_can_tell(objects: list[dict[str, Any]]) -> None:
    """A chain of objects, each with the one before as its model."""
    chain = [fresh(obj) for obj in objects]
    for model, new in itertools.pairwise(chain):
        assert take_over(new, model) == (text(new) == text(model))
    assert [orjson.dumps(one) for one in chain] == [orjson.dumps(one) for one in objects]
    for one in chain:
        places = list(containers(one))
        assert len(places) == len(set(places)), "a part is there twice: deep copies would stay tied"
        assert orjson.dumps(copy.deepcopy(one)) == orjson.dumps(one)
