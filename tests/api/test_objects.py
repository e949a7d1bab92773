"""The questions everybody asks of an object, also of one that says next to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import objects
from sampan.api.objects import Obj

BARE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "17"},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "Unknown"}]
    },
}
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", fullmatch=True)


def test_null_and_missing_are_the_same() -> None:
    nulls: Obj = {
        "metadata": {"labels": None, "annotations": None, "ownerReferences": None, "resourceVersion": ""},
        "status": None,
    }
    for obj in (BARE, nulls):
        assert objects.labels_of(obj) == objects.annotations_of(obj) == {}
        assert objects.controller_of(obj) is None
        assert objects.condition_of(obj, "Ready") is None
        assert not objects.is_deleting(obj)
        assert objects.revision_of(obj) == 0


def test_what_an_object_says_of_itself_is_read_from_its_metadata() -> None:
    deleted = "2026-01-01T00:00:00Z"
    obj: Obj = {"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}, "deletionTimestamp": deleted}}
    assert (objects.labels_of(obj), objects.annotations_of(obj)) == ({"a": "1"}, {"b": "2"})
    assert objects.is_deleting(obj)


@given(st.just("") | NAMES, NAMES)
def test_a_key_splits_into_what_it_was_joined_from(namespace: str, name: str) -> None:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    assert objects.split_key(objects.key_of({"metadata": metadata})) == (namespace, name)


def test_revisions_compare_as_numbers() -> None:
    nine, ten = ({"metadata": {"resourceVersion": text}} for text in ("9", "10"))
    assert objects.revision_of(nine) < objects.revision_of(ten)


def test_only_the_reference_marked_so_is_the_controller() -> None:
    plain, marked = {"uid": "a"}, {"uid": "b", "controller": True}
    refused = {"uid": "c", "controller": False}
    owners = [plain, refused, marked]
    assert objects.controller_of({"metadata": {"ownerReferences": owners}}) is marked
    assert objects.controller_of({"metadata": {"ownerReferences": owners[:2]}}) is None


def test_a_dependent_names_its_owner_in_full() -> None:
    assert objects.owner_reference(POD) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "web",
        "uid": "u1",
        "controller": True,
        "blockOwnerDeletion": True,
    }


@pytest.mark.parametrize(
    ("obj", "reference"),
    [
        (BARE, {"apiVersion": "v1", "kind": "Node", "name": "n1"}),
        (
            POD,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": "web",
                "namespace": "default",
                "uid": "u1",
                "resourceVersion": "17",
            },
        ),
    ],
)
def test_an_event_names_what_it_is_about_and_leaves_out_what_is_not_known(obj: Obj, reference: Obj) -> None:
    assert objects.object_reference(obj) == reference


def test_a_condition_holds_only_when_its_status_says_true() -> None:
    assert objects.condition_is_true(POD, "Ready")
    assert not objects.condition_is_true(POD, "PodScheduled")
    assert not objects.condition_is_true(POD, "Initialized")


def test_a_mutable_copy_leaves_what_is_shared_alone() -> None:
    copy = objects.mutable(POD)
    copy["status"]["conditions"][0]["status"] = "False"
    assert objects.condition_is_true(POD, "Ready")
