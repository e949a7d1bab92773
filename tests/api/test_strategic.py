from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import patch
from sampan.api.errors import StatusError

A = {
    "name": "a",
    "image": "i1",
    "ports": [{"containerPort": 80, "name": "h"}, {"containerPort": 81}],
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    "args": ["x", "y"],
}
B = {"name": "b", "image": "i2"}
V, W = {"name": "v", "emptyDir": {}}, {"name": "w", "secret": {"secretName": "s"}}
SPEC: dict[str, Any] = {
    "containers": [A, B],
    "volumes": [V, W],
    "tolerations": [{"key": "a"}],
    "nodeSelector": {"a": "1"},
}


def apply(spec: Any) -> Any:
    document = {"apiVersion": "v1", "kind": "Pod", "spec": SPEC}
    before = copy.deepcopy((document, spec))
    result = patch.strategic_merge_patch(document, {"spec": spec}, "v1", "Pod")
    assert (document, spec) == before
    return result["spec"]


# Each line is what upstream's library (apimachinery 0.35) makes of the same patch.
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"containers": [{"name": "a", "image": "new"}]}, {"containers": [{**A, "image": "new"}, B]}),
        ({"containers": [{"name": "c", "image": "n"}]}, {"containers": [{"name": "c", "image": "n"}, A, B]}),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, {"containers": [B]}),
        ({"containers": [{"name": "zz", "$patch": "delete"}]}, {}),
        ({"containers": [{"$patch": "replace"}, {"name": "q"}]}, {"containers": [{"name": "q"}]}),
        ({"containers": [{"name": "q"}, {"$patch": "replace"}]}, {"containers": [{"name": "q"}]}),
        ({"containers": [{"name": "a", "$patch": "replace", "image": "only"}]}, {"containers": []}),
        ({"containers": []}, {}),
        ({"containers": None}, {"containers": None}),
        (
            {
                "containers": [
                    {"name": "a", "env": [{"name": "B", "$patch": "delete"}, {"name": "C"}], "args": ["z"]}
                ]
            },
            {"containers": [{**A, "env": [{"name": "C"}, {"name": "A", "value": "1"}], "args": ["z"]}, B]},
        ),
        (
            {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": None}]}]},
            {"containers": [{**A, "ports": [{"containerPort": 80}, {"containerPort": 81}]}, B]},
        ),
        (
            {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "z"}}]},
            {"volumes": [{"name": "v", "secret": {"secretName": "z"}}, W]},
        ),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "z"}}]},
            {"volumes": [{**V, "secret": {"secretName": "z"}}, W]},
        ),
        (
            {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a", "image": "n"}],
            },
            {"containers": [B, {**A, "image": "n"}]},
        ),
        (
            {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
                "containers": [{"name": "c"}],
            },
            {"containers": [B, {"name": "c"}, A]},
        ),
        ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, {"containers": [B, A]}),
        ({"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        ({"nodeSelector": {"$patch": "replace", "b": "2"}}, {"nodeSelector": {"b": "2"}}),
        ({"nodeSelector": {"$patch": "delete"}}, {"nodeSelector": {}}),
        ({"nodeSelector": {"a": None, "c": "3"}}, {"nodeSelector": {"c": "3"}}),
        ({"containers": {"name": "a"}}, {"containers": {"name": "a"}}),
        (
            {"initContainers": [{"name": "n", "ports": [{"containerPort": 53}, {"containerPort": 53}]}]},
            {"initContainers": [{"name": "n", "ports": [{"containerPort": 53}, {"containerPort": 53}]}]},
        ),
        (
            {"securityContext": {"sysctls": [{"name": "x"}]}},
            {"securityContext": {"sysctls": [{"name": "x"}]}},
        ),
        ({"affinity": {"nodeAffinity": None}}, {"affinity": {}}),
    ],
)
def test_changes_of_a_pod(change: dict[str, Any], expected: dict[str, Any]) -> None:
    wanted = {key: value for key, value in {**SPEC, **expected}.items() if value is not None}
    assert apply(change) == wanted


def test_replacing_the_whole() -> None:
    assert apply({"$patch": "replace", "containers": [{"name": "z"}]}) == {"containers": [{"name": "z"}]}
    assert patch.strategic_merge_patch({"a": 1}, {"$patch": "delete"}, "v1", "Pod") == {}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"containers": [{"image": "x"}]}, "map: map[image:x] does not contain declared merge key: name"),
        (
            {"nodeSelector": {"$patch": "merge", "b": "2"}},
            "unknown patch type: merge in map: map[$patch:merge b:2]",
        ),
        (
            {"volumes": [{"name": "v", "$retainKeys": ["secret"], "secret": {}}]},
            "invalid patch format of retainKeys",
        ),
        ({"nodeSelector": {"$retainKeys": "x"}}, "invalid patch format of retainKeys"),
        (
            {"$setElementOrder/nope": ["x"]},
            'unable to find api field in struct PodSpec for the json field "nope"',
        ),
        ({"$setElementOrder/volumes": "x"}, "expected a []interface {}, but received a string"),
        (
            {"$setElementOrder/nodeSelector": ["x"]},
            "expected a []interface {}, but received a map[string]interface {}",
        ),
        (
            {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "c"}]},
            "The order in patch list:\n[map[name:c]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
    ],
)
def test_bad_patches(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(StatusError) as caught:
        apply(change)
    assert (caught.value.code, caught.value.message) == (400, complaint)


def test_items_of_one_list_are_of_one_kind() -> None:
    for items in (["x"], [None]):
        with pytest.raises(StatusError, match="list element types are not identical"):
            apply({"containers": items})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"finalizers": ["c"]}, ["c", "a", "b"]),
        ({"finalizers": ["a", "c", "c"]}, ["a", "c", "b"]),
        ({"$deleteFromPrimitiveList/finalizers": ["a"]}, ["b"]),
        ({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["z"]}, ["z", "b"]),
        ({"$setElementOrder/finalizers": ["b", "c", "a"], "finalizers": ["c"]}, ["b", "c", "a"]),
        (
            {
                "$deleteFromPrimitiveList/finalizers": ["a"],
                "$setElementOrder/finalizers": ["c", "b"],
                "finalizers": ["c"],
            },
            ["c", "b"],
        ),
    ],
)
def test_lists_of_scalars(change: dict[str, Any], expected: list[str]) -> None:
    document = {"metadata": {"finalizers": ["a", "b"]}}
    result = patch.strategic_merge_patch(document, {"metadata": change}, "v1", "Pod")
    assert result["metadata"]["finalizers"] == expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"$retainKeys": ["type"], "type": "Recreate"}, {"type": "Recreate"}),
        ({"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": None}, {"type": "Recreate"}),
        ({"type": "Recreate"}, {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        (
            {
                "$retainKeys": ["type", "rollingUpdate"],
                "rollingUpdate": {"maxSurge": 2, "maxUnavailable": None},
            },
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}},
        ),
    ],
)
def test_strategy_of_a_deployment(strategy: dict[str, Any], expected: dict[str, Any]) -> None:
    document = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    result = patch.strategic_merge_patch(document, {"spec": {"strategy": strategy}}, "apps/v1", "Deployment")
    assert result["spec"]["strategy"] == expected


def test_service_ports_merge_by_port_alone() -> None:
    ports = [{"port": 80, "protocol": "TCP", "name": "t"}, {"port": 80, "protocol": "UDP", "name": "u"}]
    document = {"spec": {"ports": ports}}

    def change(*items: dict[str, Any], **directives: Any) -> Any:
        body = {"spec": {"ports": list(items), **directives}}
        return patch.strategic_merge_patch(document, body, "v1", "Service")["spec"]["ports"]

    assert change({"port": 80, "name": "n"}) == [{**ports[0], "name": "n"}, ports[1]]
    assert change({"port": 80, "$patch": "delete"}) == []
    order = {"$setElementOrder/ports": [{"port": 81}, {"port": 80}]}
    assert change({"port": 81}, **order) == [{"port": 81}, *ports]


NAMES = st.sampled_from("abcd")
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES}, optional={"image": st.text(max_size=2), "args": st.lists(NAMES, max_size=2)}
    ),
    max_size=4,
    unique_by=lambda container: container["name"],
)


@given(CONTAINERS, CONTAINERS)
def test_setting_the_order_makes_the_list_wanted(old: list[Any], new: list[Any]) -> None:
    """What kubectl apply sends: all wanted items, deletions, and the order."""
    names = [container["name"] for container in new]
    deletions = [{"name": item["name"], "$patch": "delete"} for item in old if item["name"] not in names]
    before = {item["name"]: item for item in old}
    changed = [{**dict.fromkeys(before.get(item["name"], {}).keys() - item.keys()), **item} for item in new]
    order = [{"name": name} for name in names]
    body = {"spec": {"containers": changed + deletions, "$setElementOrder/containers": order}}
    result = patch.strategic_merge_patch({"spec": {"containers": old}}, body, "v1", "Pod")
    assert result["spec"]["containers"] == new


@given(CONTAINERS, CONTAINERS)
def test_applying_twice_is_applying_once(old: list[Any], change: list[Any]) -> None:
    body = {"spec": {"containers": change}}
    once = patch.strategic_merge_patch({"spec": {"containers": old}}, body, "v1", "Pod")
    assert patch.strategic_merge_patch(once, body, "v1", "Pod") == once
    assert {item["name"] for item in once["spec"]["containers"]} == {item["name"] for item in old + change}


FIELDS = st.sampled_from(
    [
        *("metadata", "finalizers", "labels", "spec", "containers", "name", "env", "x"),
        *("$patch", "$retainKeys", "$setElementOrder/containers", "$setElementOrder/finalizers"),
        "$deleteFromPrimitiveList/finalizers",
    ]
)
CHANGES = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["delete", "replace", "merge", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(FIELDS, CHANGES, max_size=3))
def test_any_patch_applies_or_is_refused(change: dict[str, Any]) -> None:
    document = {"metadata": {"finalizers": ["a"], "labels": {"x": "1"}}, "spec": SPEC}
    before = copy.deepcopy(document)
    try:
        assert isinstance(patch.strategic_merge_patch(document, change, "v1", "Pod"), dict)
    except StatusError as error:
        assert error.code == 400
    assert document == before
