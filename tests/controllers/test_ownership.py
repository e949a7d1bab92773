"""Who is kept, taken and let go."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj, name_of
from sampan.api.selectors import label_selector_from
from sampan.controllers.ownership import adoption_patch, by_controller, claim, orphans_in, release_patch


def child(name: str, app: str, owner: str = "", deleting: bool = False) -> Obj:
    metadata: Obj = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "labels": {"app": app},
    }
    if owner:
        metadata["ownerReferences"] = [
            {"uid": owner, "controller": True, "kind": "ReplicaSet", "name": owner}
        ]
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata}


CHILDREN = [
    child("mine", "web", "me"),
    child("stray", "other", "me"),
    child("orphan", "web"),
    child("leaving", "web", deleting=True),
    child("unrelated", "other"),
    child("theirs", "web", "them"),
]


@pytest.mark.parametrize(
    ("deleting", "owned", "adopt", "release"),
    [(False, ["mine"], ["orphan"], ["stray"]), (True, ["mine"], [], [])],
)
def test_claim(deleting: bool, owned: list[str], adopt: list[str], release: list[str]) -> None:
    owner: Obj = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "me", "uid": "me"}}
    if deleting:
        owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = claim(owner, label_selector_from({"matchLabels": {"app": "web"}}), CHILDREN)
    assert [[name_of(each) for each in part] for part in (found.owned, found.adopt, found.release)] == [
        owned,
        adopt,
        release,
    ]


def test_patches_hold_only_for_the_object_that_was_looked_at() -> None:
    owner: Obj = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "me", "uid": "me"}}
    taken = adoption_patch(owner, child("orphan", "web"))["metadata"]
    assert (taken["uid"], taken["resourceVersion"]) == ("uid-orphan", "7")
    assert [ref["uid"] for ref in taken["ownerReferences"]] == ["me"]
    freed = release_patch("me", child("stray", "other", "me"))["metadata"]
    assert freed["ownerReferences"] is None


def test_index_finds_children_by_owner_and_orphans_by_namespace() -> None:
    assert list(by_controller(child("mine", "web", "me"))) == ["me"]
    assert list(by_controller(child("orphan", "web"))) == [orphans_in("ns")]
