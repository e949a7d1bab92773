"""Which volume does for which claim, and which class is whose."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api import persistence
from sampan.api.objects import Obj
from sampan.api.persistence import best_match, claims_of, default_class, made_for, names_class, shortcoming


def claim(size: str = "1Gi", *modes: str, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "c", "namespace": "default", "uid": "u-c"},
        "spec": {
            "accessModes": list(modes) or ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **spec,
        },
    }


def volume(name: str, size: str = "1Gi", *modes: str, phase: str = "Available", **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"accessModes": list(modes) or ["ReadWriteOnce"], "capacity": {"storage": size}, **spec},
        "status": {"phase": phase},
    }


REF = {"namespace": "default", "name": "c"}
ON_N1 = {
    "required": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
    }
}


@pytest.mark.parametrize(
    ("wanted", "volumes", "chosen"),
    [
        (claim(), [volume("small", "1Mi")], ""),
        (claim(), [volume("large", "9Gi"), volume("right", "2Gi"), volume("small", "1Mi")], "right"),
        (claim(), [volume("b"), volume("a")], "a"),
        (claim(), [volume("taken", phase="Bound"), volume("new", phase="Pending")], ""),
        (claim(), [volume("theirs", claimRef={"namespace": "default", "name": "other"})], ""),
        (claim(), [volume("right"), volume("named", "8Gi", claimRef=REF, storageClassName="x")], "named"),
        (claim("2Gi"), [volume("named", claimRef=REF)], ""),
        (claim(), [volume("was", claimRef=REF | {"uid": "u-before"})], ""),
        (claim(), [volume("ours", phase="Pending", claimRef=REF | {"uid": "u-c"})], "ours"),
        (claim(), [volume("classy", storageClassName="x")], ""),
        (claim(storageClassName="x"), [volume("none"), volume("classy", storageClassName="x")], "classy"),
        (claim(storageClassName=""), [volume("none"), volume("classy", storageClassName="x")], "none"),
        (claim("1Gi", "ReadWriteMany"), [volume("once")], ""),
        (
            claim(),
            [volume("all", "1Gi", "ReadWriteOnce", "ReadWriteMany"), volume("once", "2Gi")],
            "once",
        ),
        (claim(volumeMode="Block"), [volume("files")], ""),
        (claim(selector={"matchLabels": {"name": "b"}}), [volume("a"), volume("b")], "b"),
        (claim(), [volume("attributed", volumeAttributesClassName="gold")], ""),
    ],
)
def test_the_smallest_that_fits_is_chosen(wanted: Obj, volumes: list[Obj], chosen: str) -> None:
    found = best_match(wanted, volumes)
    assert (found["metadata"]["name"] if found else "") == chosen


def test_a_volume_that_goes_is_not_chosen() -> None:
    going = volume("going")
    going["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert best_match(claim(), [going]) is None


def test_volumes_out_of_reach_of_a_node_do_not_count() -> None:
    volumes = [volume("there", nodeAffinity=ON_N1), volume("anywhere", "2Gi")]
    for node, chosen in (("n1", "there"), ("n2", "anywhere")):
        found = best_match(claim(), volumes, {"metadata": {"name": node}})
        assert found is not None and found["metadata"]["name"] == chosen


@pytest.mark.parametrize(
    ("wanted", "given", "why"),
    [
        (claim(), volume("v"), ""),
        (claim("2Gi"), volume("v"), "requested PV is too small"),
        (claim(storageClassName="x"), volume("v"), "storageClassName does not match"),
        (claim(volumeMode="Block"), volume("v"), "incompatible volumeMode"),
        (claim("1Gi", "ReadWriteMany"), volume("v"), "incompatible accessMode"),
        (claim(volumeAttributesClassName="a"), volume("v"), "volumeAttributesClassName does not match"),
    ],
)
def test_a_volume_that_was_asked_for_by_name_has_to_do(wanted: Obj, given: Obj, why: str) -> None:
    assert shortcoming(given, wanted) == why


def test_the_newest_default_class_counts() -> None:
    def made(name: str, born: str, default: str = "true") -> Obj:
        annotations = {persistence.IS_DEFAULT[0]: default}
        return {"metadata": {"name": name, "creationTimestamp": born, "annotations": annotations}}

    old, new = made("z", "2025-01-01T00:00:00Z"), made("b", "2025-01-02T00:00:00Z")
    assert default_class([old, made("a", "2025-01-02T00:00:00Z"), new]) == made("a", "2025-01-02T00:00:00Z")
    assert default_class([made("a", "2025-01-03T00:00:00Z", "false")]) is None


def test_a_claim_that_wants_no_class_says_so() -> None:
    assert names_class(claim(storageClassName=""))
    assert not names_class(claim())


def test_ephemeral_volumes_are_claims_named_after_the_pod() -> None:
    volumes = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
        {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "c", "emptyDir": {}},
    ]
    pod = {"metadata": {"name": "p", "namespace": "default", "uid": "u-p"}, "spec": {"volumes": volumes}}
    assert [tuple(each) for each in claims_of(pod)] == [
        ("a", "data", True, False),
        ("b", "p-b", False, True),
    ]
    assert persistence.claim_keys(pod) == ["default/data", "default/p-b"]
    assert made_for(claim(), pod) == "PVC default/c was not created for pod default/p (pod is not owner)"
    mine = claim()
    mine["metadata"]["ownerReferences"] = [{"uid": "u-p", "controller": True}]
    assert made_for(mine, pod) == ""
