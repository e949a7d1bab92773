"""What a Pod's claims ask of nodes, by example."""

from __future__ import annotations

import pytest

from harness.storage import WAITS, bound_claim, claim, only_on, ref, storage_class, volume
from sampan.api.objects import Obj, annotations_of, key_of
from sampan.api.persistence import NO_PROVISIONER, SELECTED_NODE
from sampan.scheduler.volumes import (
    NO_SUCH_VOLUME,
    NO_VOLUME,
    NONE,
    OUT_OF_REACH,
    UNBOUND,
    NotBindable,
    Storage,
    VolumesAsked,
    placement,
    refusals,
    volumes_asked,
)


def node(name: str = "n1", **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}}


def pod(*claims: str, ephemeral: str = "") -> Obj:
    volumes: list[Obj] = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    if ephemeral:
        volumes.append({"name": ephemeral, "ephemeral": {}})
    return {"metadata": {"name": "p", "namespace": "default", "uid": "u-p"}, "spec": {"volumes": volumes}}


def asked(of: Obj, *objects: Obj) -> VolumesAsked:
    shelves: dict[str, dict[str, Obj]] = {}
    for each in objects:
        shelves.setdefault(each["kind"], {})[key_of(each)] = each
    volumes = shelves.get("PersistentVolume", {})
    return volumes_asked(
        of,
        Storage(
            claim=shelves.get("PersistentVolumeClaim", {}).get,
            volume=volumes.get,
            storage_class=shelves.get("StorageClass", {}).get,
            offers=lambda wanted: volumes.values(),
            node_of=lambda wanted: annotations_of(wanted).get(SELECTED_NODE, ""),
        ),
    )


LATE = storage_class("late", WAITS)
STATIC = storage_class("static", WAITS, NO_PROVISIONER)


def going() -> Obj:
    found = bound_claim()
    found["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    return found


@pytest.mark.parametrize(
    ("user", "objects", "why"),
    [
        (pod("data"), [], 'persistentvolumeclaim "data" not found'),
        (
            pod(ephemeral="x"),
            [],
            'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-x"',
        ),
        (
            pod(ephemeral="x"),
            [claim("p-x")],
            "PVC default/p-x was not created for pod default/p (pod is not owner)",
        ),
        (pod("data"), [going()], 'persistentvolumeclaim "data" is being deleted'),
        (
            pod("data"),
            [claim(phase="Lost", volumeName="v")],
            'persistentvolumeclaim "data" bound to non-existent persistentvolume "v"',
        ),
        (pod("data"), [claim()], UNBOUND),
        (pod("data"), [claim(storageClassName="soon"), storage_class("soon")], UNBOUND),
        (pod("data"), [claim(storageClassName="late", volumeName="v"), LATE], UNBOUND),
    ],
)
def test_why_no_node_need_be_asked(user: Obj, objects: list[Obj], why: str) -> None:
    with pytest.raises(NotBindable, match=f"^{why.replace('(', '.').replace(')', '.')}$"):
        asked(user, *objects)


def test_a_pod_without_claims_asks_nothing() -> None:
    assert asked({"metadata": {"name": "p"}, "spec": {}}) is NONE
    assert refusals(NONE, node()) == ()


@pytest.mark.parametrize(
    ("objects", "reasons"),
    [
        ([bound_claim(), volume(nodeAffinity=only_on("n1"))], ()),
        ([bound_claim(), volume(nodeAffinity=only_on("n2"))], (OUT_OF_REACH,)),
        ([bound_claim()], (NO_SUCH_VOLUME,)),
        ([claim(storageClassName="static"), STATIC], (NO_VOLUME,)),
        ([claim(storageClassName="static"), STATIC, volume(storageClassName="static")], ()),
        (
            [
                claim(storageClassName="static"),
                STATIC,
                volume(storageClassName="static", nodeAffinity=only_on("n2")),
            ],
            (NO_VOLUME,),
        ),
        ([claim(storageClassName="late"), LATE], ()),
    ],
)
def test_a_node_has_what_is_asked_or_says_what_it_lacks(objects: list[Obj], reasons: tuple[str, ...]) -> None:
    assert refusals(asked(pod("data"), *objects), node()) == reasons


def test_what_is_there_goes_before_what_would_have_to_be_made() -> None:
    there = volume(storageClassName="late")
    found = placement(asked(pod("data"), claim(storageClassName="late"), LATE, there), node())
    assert found is not None and found.found[0][0] is there and not found.provided
    found = placement(asked(pod("data"), claim(storageClassName="late"), LATE), node())
    assert found is not None and found.provided and not found.found


def test_two_claims_never_get_one_volume_and_the_large_one_is_left_the_large() -> None:
    claims = [claim("large", "2Gi", storageClassName="static"), claim("small", storageClassName="static")]
    volumes = [
        volume("v2", "2Gi", storageClassName="static"),
        volume("v3", "3Gi", storageClassName="static"),
    ]
    found = placement(asked(pod("large", "small"), STATIC, *claims, *volumes), node())
    assert found is not None
    assert {c["metadata"]["name"]: v["metadata"]["name"] for v, c in found.found} == {
        "small": "v2",
        "large": "v3",
    }
    assert placement(asked(pod("large", "small"), STATIC, *claims, volumes[0]), node()) is None


def test_a_claim_that_was_promised_a_node_stays_there() -> None:
    promised = claim(storageClassName="late")
    promised["metadata"]["annotations"] = {SELECTED_NODE: "n2"}
    question = asked(pod("data"), promised, LATE, volume(storageClassName="late"))
    assert placement(question, node("n1")) is None
    found = placement(question, node("n2"))
    assert found is not None and found.provided == (promised,)


def test_a_provisioner_works_where_its_class_lets_it() -> None:
    terms = [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}]
    of_zone = storage_class("late", WAITS, allowedTopologies=terms)
    question = asked(pod("data"), claim(storageClassName="late"), of_zone)
    assert refusals(question, node(zone="b")) == ()
    assert refusals(question, node(zone="c")) == (NO_VOLUME,)


def test_claims_of_one_pod_only_are_named() -> None:
    only = bound_claim(accessModes=["ReadWriteOncePod"])
    assert asked(pod("data"), only, volume(claimRef=ref())).alone == {"default/data"}
