"""What becomes of claims and volumes, step by step: by example, and from any state that can be reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from harness import storage
from harness.storage import WAITS, storage_class, volume
from sampan.api.objects import Obj, key_of, name_of, uid_of
from sampan.api.persistence import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    IS_DEFAULT,
    PROVISIONED_BY,
    SELECTED_NODE,
    best_match,
    claim_key,
    claim_ref,
    class_of,
    is_complete,
)
from sampan.controllers.persistentvolume import claims, volumes
from sampan.controllers.persistentvolume.step import Step, Write


def claim(name: str = "c", uid: str = "", phase: str = "Pending", **spec: Any) -> Obj:
    found = storage.claim(name, spec.pop("size", "1Gi"), phase, **spec)
    found["metadata"]["uid"] = uid or f"u-{name}"
    return found


def default_class(name: str) -> Obj:
    found = storage_class(name)
    found["metadata"]["annotations"] = {IS_DEFAULT[0]: "true"}
    return found


SHELVES = {"PersistentVolumeClaim": "claims", "PersistentVolume": "volumes"}


class World:
    """A server without clients, and the Market on it."""

    def __init__(self, *objects: Obj) -> None:
        self.there: dict[str, dict[str, Obj]] = {"claims": {}, "volumes": {}, "classes": {}}
        for obj in objects:
            self.put(obj)

    def put(self, obj: Obj) -> None:
        shelf = {"PersistentVolumeClaim": "claims", "PersistentVolume": "volumes"}.get(
            obj.get("kind", ""), "classes"
        )
        self.there[shelf][key_of(obj)] = obj

    def claim(self, key: str) -> Obj | None:
        return self.there["claims"].get(key)

    def volume(self, name: str) -> Obj | None:
        return self.there["volumes"].get(name)

    def offers(self, wanted: Obj) -> Iterable[Obj]:
        return self.there["volumes"].values()

    def classes(self) -> Iterable[Obj]:
        return self.there["classes"].values()

    def storage_class(self, name: str) -> Obj | None:
        return self.there["classes"].get(name)

    def apply(self, write: Write) -> None:
        before = self.there["claims" if "Claim" in write.obj["kind"] else "volumes"][key_of(write.obj)]
        if write.status:
            self.put({**before, "status": write.obj["status"]})
        else:
            self.put({**write.obj, "status": before["status"]})

    def steps(self) -> list[tuple[str, Step]]:
        """What could be done next, for every object."""
        return [
            *((f"claim {key}", claims.step(each, self)) for key, each in self.there["claims"].items()),
            *((f"volume {key}", volumes.step(each, self)) for key, each in self.there["volumes"].items()),
        ]

    def settle(self, most: int = 200) -> None:
        for _ in range(most):
            writes = [write for _, step in self.steps() for write in step.writes]
            if not writes:
                return
            self.apply(writes[0])
        raise AssertionError("the steps go in circles")


def bound(world: World, name: str = "c") -> str:
    found = world.claim(f"default/{name}")
    assert found is not None
    return found["spec"].get("volumeName", "") if found["status"]["phase"] == "Bound" else ""


def reasons(step: Step) -> list[str]:
    return [said.reason for said in step.says]


def test_binding_takes_four_writes_in_upstreams_order() -> None:
    world = World(claim(), volume())
    seen = []
    while writes := claims.step(world.there["claims"]["default/c"], world).writes:
        world.apply(writes[0])
        seen.append((writes[0].obj["kind"], writes[0].status))
    assert seen == [
        ("PersistentVolume", False),
        ("PersistentVolume", True),
        ("PersistentVolumeClaim", False),
        ("PersistentVolumeClaim", True),
    ]
    pv, pvc = world.there["volumes"]["v"], world.there["claims"]["default/c"]
    assert pv["spec"]["claimRef"]["uid"] == "u-c" and pv["status"]["phase"] == "Bound"
    assert pv["metadata"]["annotations"] == {BOUND_BY_CONTROLLER: "yes"}
    assert pvc["metadata"]["annotations"] == {BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"}
    assert pvc["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }


def test_who_named_the_other_is_remembered() -> None:
    world = World(claim(volumeName="v"), volume())
    world.settle()
    assert bound(world) == "v"
    assert world.there["claims"]["default/c"]["metadata"]["annotations"] == {BIND_COMPLETED: "yes"}
    world = World(claim(), volume(claimRef={"namespace": "default", "name": "c"}))
    world.settle()
    assert bound(world) == "v"
    assert "annotations" not in world.there["volumes"]["v"]["metadata"]


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ([claim()], ["FailedBinding"]),
        ([claim(storageClassName="fast")], ["ProvisioningFailed"]),
        (
            [
                claim(storageClassName="fast"),
                storage_class("fast", provisioner="kubernetes.io/no-provisioner"),
            ],
            ["ProvisioningFailed"],
        ),
        ([claim(storageClassName="late"), storage_class("late", WAITS)], ["WaitForFirstConsumer"]),
        (
            [claim(storageClassName="late"), storage_class("late", WAITS), volume(storageClassName="late")],
            ["WaitForFirstConsumer"],
        ),
        ([claim(volumeName="v", size="2Gi"), volume()], ["VolumeMismatch"]),
        (
            [claim(volumeName="v"), volume(claimRef={"namespace": "default", "name": "x", "uid": "u-x"})],
            ["FailedBinding"],
        ),
        ([claim(volumeName="v")], []),
    ],
)
def test_what_a_claim_that_waits_is_told(objects: list[Obj], told: list[str]) -> None:
    step = claims.step(objects[0], World(*objects))
    assert not step.writes
    assert reasons(step) == told


def test_provisioning_is_asked_for_once() -> None:
    world = World(claim(storageClassName="fast"), storage_class("fast"))
    world.settle()
    pvc = world.there["claims"]["default/c"]
    assert set(pvc["metadata"]["annotations"].values()) == {"x.io/disk"}
    assert reasons(claims.step(pvc, world)) == ["ExternalProvisioning"]


def test_of_a_class_that_waits_a_node_must_be_chosen_first() -> None:
    waiting = claim(storageClassName="late")
    world = World(waiting, storage_class("late", WAITS), volume(storageClassName="late"))
    waiting["metadata"]["annotations"] = {SELECTED_NODE: "n1"}
    world.settle()
    assert not bound(world)  # the scheduler has left that volume out
    world.put(volume("named", claimRef={"namespace": "default", "name": "c", "uid": "u-c"}))
    world.settle()
    assert bound(world) == "named"


def test_a_claim_gets_the_default_class_late_and_none_if_it_wants_none() -> None:
    world = World(claim("any"), claim("none", storageClassName=""), default_class("std"))
    world.settle()
    assert class_of(world.there["claims"]["default/any"]) == "std"
    assert class_of(world.there["claims"]["default/none"]) == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda world: world.there["volumes"].clear(), "ClaimLost"),
        (lambda world: world.there["claims"]["default/c"]["spec"].pop("volumeName"), "ClaimLost"),
        (
            lambda world: world.there["volumes"]["v"]["spec"].update(
                claimRef={"namespace": "default", "name": "c", "uid": "u-other"}
            ),
            "ClaimMisbound",
        ),
    ],
)
def test_a_bound_claim_that_has_lost_its_volume_says_so_once(change: Any, told: str) -> None:
    world = World(claim(), volume())
    world.settle()
    change(world)
    step = claims.step(world.there["claims"]["default/c"], world)
    assert reasons(step) == [told]
    world.settle()
    assert world.there["claims"]["default/c"]["status"] == {"phase": "Lost"}


@pytest.mark.parametrize(
    ("policy", "provisioned", "phase", "told"),
    [
        ("Retain", False, "Released", ""),
        ("Delete", True, "Released", ""),
        ("Delete", False, "Failed", "VolumeFailedDelete"),
        ("Recycle", False, "Failed", "VolumeFailedRecycle"),
    ],
)
def test_what_becomes_of_a_volume_when_its_claim_has_gone(
    policy: str, provisioned: bool, phase: str, told: str
) -> None:
    released = volume(
        phase="Bound",
        persistentVolumeReclaimPolicy=policy,
        claimRef={"namespace": "default", "name": "c", "uid": "u-c"},
    )
    if provisioned:
        released["metadata"]["annotations"] = {PROVISIONED_BY: "x.io/disk"}
    world = World(released, claim(uid="u-the-next"))
    world.settle()
    after = world.there["volumes"]["v"]["status"]
    assert after["phase"] == phase and after.get("reason", "") == told
    assert not bound(world)


def test_a_retained_volume_is_there_again_when_its_claim_is_taken_off_it() -> None:
    world = World(volume(phase="Released"), claim())
    world.settle()
    assert bound(world) == "v"


def test_a_volume_whose_claim_took_another_is_free_again() -> None:
    ref = {"namespace": "default", "name": "c", "uid": "u-c"}
    ours, theirs = volume("ours", phase="Bound", claimRef=dict(ref)), volume("kept", claimRef=dict(ref))
    ours["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
    world = World(claim(volumeName="v"), volume(claimRef=dict(ref)), ours, theirs)
    world.settle()
    assert bound(world) == "v"
    assert not claim_ref(world.there["volumes"]["ours"])
    assert "uid" not in claim_ref(world.there["volumes"]["kept"])
    assert world.there["volumes"]["kept"]["status"]["phase"] == "Available"


NAMES = st.sampled_from(("a", "b", "c"))
SIZES = st.sampled_from(("1Gi", "2Gi"))
CLASSES = st.sampled_from((None, "", "x"))


class Binding(RuleBasedStateMachine):
    """Users come and go, processes end between any two writes: what is left is put right, whatever it is."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(storage_class("x"))
        self.born = 0

    @rule(
        name=NAMES,
        size=SIZES,
        asked=st.sampled_from(("", "va", "vb")),
        of_class=st.sampled_from((None, "", "x")),
    )
    def claim_comes(self, name: str, size: str, asked: str, of_class: str | None) -> None:
        if f"default/{name}" not in self.world.there["claims"]:
            self.born += 1
            wanted = claim(name, f"u-{self.born}", size=size)
            wanted["spec"] |= {"volumeName": asked} if asked else {}
            wanted["spec"] |= {} if of_class is None else {"storageClassName": of_class}
            self.world.put(wanted)

    @rule(
        name=NAMES, size=SIZES, kept_for=st.sampled_from(("", "a", "b")), of_class=st.sampled_from(("", "x"))
    )
    def volume_comes(self, name: str, size: str, kept_for: str, of_class: str | None) -> None:
        if f"v{name}" not in self.world.there["volumes"]:
            new = volume(f"v{name}", size, "Pending", storageClassName=of_class or "")
            if kept_for:
                new["spec"]["claimRef"] = {"namespace": "default", "name": kept_for}
            self.world.put(new)

    @rule(name=NAMES)
    def claim_goes(self, name: str) -> None:
        self.world.there["claims"].pop(f"default/{name}", None)

    @rule(name=NAMES)
    def volume_goes(self, name: str) -> None:
        self.world.there["volumes"].pop(f"v{name}", None)

    @rule(name=NAMES)
    def volume_is_given_back(self, name: str) -> None:
        old = self.world.volume(f"v{name}")
        if old is not None and old["status"]["phase"] == "Released":
            self.world.put({**old, "spec": {k: v for k, v in old["spec"].items() if k != "claimRef"}})

    @rule(number=st.integers(0, 20))
    def one_write(self, number: int) -> None:
        writes = [write for _, step in self.world.steps() for write in step.writes]
        if writes:
            self.world.apply(writes[number % len(writes)])

    @invariant()
    def no_volume_is_bound_twice(self) -> None:
        takers = [
            each["spec"]["volumeName"]
            for each in self.world.there["claims"].values()
            if each["status"]["phase"] == "Bound" and self.is_theirs(each)
        ]
        assert len(takers) == len(set(takers))

    def is_theirs(self, pvc: Obj) -> bool:
        pv = self.world.volume(pvc["spec"].get("volumeName", ""))
        return pv is not None and claim_ref(pv).get("uid") == uid_of(pvc)

    @rule()
    def it_settles_without_half_bound_pairs(self) -> None:
        self.world.settle()
        for pvc in self.world.there["claims"].values():
            phase = pvc["status"]["phase"]
            assert (phase == "Bound") <= self.is_theirs(pvc), pvc
            assert (phase == "Pending") <= (not is_complete(pvc)), pvc
            if phase == "Pending" and not pvc["spec"].get("volumeName"):
                assert best_match(pvc, self.world.offers(pvc)) is None, pvc
        for pv in self.world.there["volumes"].values():
            owner = self.world.claim(claim_key(pv)) if claim_ref(pv).get("uid") else None
            alive = owner is not None and uid_of(owner) == claim_ref(pv)["uid"]
            wanted = {True: ("Bound",), False: ("Available", "Released")}[alive]
            assert pv["status"]["phase"] in wanted, pv
            if alive and owner is not None:
                assert owner["spec"]["volumeName"] == name_of(pv)


TestBinding = Binding.TestCase
TestBinding.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
