from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS
from sampan.apiserver import metadata

KEPT = {
    "name": "a",
    "uid": "u1",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "generation": 3,
    "resourceVersion": "7",
}


def test_a_new_object_is_born_here_whatever_its_author_says() -> None:
    obj: Obj = {
        "metadata": {"name": "a", "uid": "mine", "generation": 9, "selfLink": "/x", "managedFields": []}
    }
    metadata.prepare_create(PODS, obj)
    fields = obj["metadata"]
    assert fields["generation"] == 1 and fields["uid"] != "mine" and fields["creationTimestamp"]
    assert not {"selfLink", "managedFields"} & fields.keys()


def test_a_name_is_made_of_its_prefix() -> None:
    obj: Obj = {"metadata": {"generateName": "web-"}}
    metadata.prepare_create(CONFIG_MAPS, obj)
    assert obj["metadata"]["name"].startswith("web-") and len(obj["metadata"]["name"]) == 9
    assert "generation" not in obj["metadata"]


def test_what_is_to_be_made_has_no_revision() -> None:
    with pytest.raises(StatusError, match="resourceVersion should not be set") as caught:
        metadata.prepare_create(PODS, {"metadata": {"name": "a", "resourceVersion": "7"}})
    assert caught.value.code == 400


def test_the_url_says_the_namespace() -> None:
    fields: Obj = {}
    metadata.check_scope(PODS, "ns", fields)
    assert fields == {"namespace": "ns"}
    metadata.check_scope(NODES, "", fields := {})
    assert fields == {}
    with pytest.raises(StatusError, match="does not match the namespace sent on the request"):
        metadata.check_scope(PODS, "ns", {"namespace": "other"})


@pytest.mark.parametrize(("wanted", "refused"), [(None, False), ("", False), ("u1", False), ("u2", True)])
def test_an_object_of_the_same_name_may_be_another(wanted: str | None, refused: bool) -> None:
    if not refused:
        metadata.check_uid(PODS, "a", wanted, KEPT)
        return
    with pytest.raises(StatusError, match="UID in precondition: u2, UID in object meta: u1") as caught:
        metadata.check_uid(PODS, "a", wanted, KEPT)
    assert caught.value.code == 409


def test_an_update_changes_nothing_of_the_servers_own() -> None:
    forged = {"name": "a", "uid": "x", "generation": 99, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    new: Obj = {"metadata": {**forged, "labels": {"app": "web"}}}
    metadata.carry_over(new, {"metadata": KEPT})
    kept = {key: value for key, value in KEPT.items() if key != "resourceVersion"}
    assert new["metadata"] == {**kept, "labels": {"app": "web"}}


# (resource, fields of the old object, of the new one, whether that asks for something else)
@pytest.mark.parametrize(
    ("resource", "old", "new", "counts"),
    [
        (PODS, {"spec": {"x": 1}}, {"spec": {"x": 1}, "status": {"phase": "Running"}}, False),
        (PODS, {"spec": {"x": 1}}, {"spec": {"x": 2}}, True),
        (PODS, {"metadata": {"annotations": {"a": "1"}}}, {"metadata": {}}, False),
        (DEPLOYMENTS, {"metadata": {"annotations": {"a": "1"}}}, {"metadata": {}}, True),
        (CONFIG_MAPS, {"data": {"a": "1"}}, {"data": {"a": "2"}}, False),
    ],
)
def test_a_generation_counts_what_is_asked_for(resource, old: Obj, new: Obj, counts: bool) -> None:
    before = {"spec": {}, **old, "metadata": {"generation": 3, **old.get("metadata", {})}}
    after = {"spec": {}, **new, "metadata": {"generation": 3, **new.get("metadata", {})}}
    metadata.count_change(resource, after, before)
    assert after["metadata"]["generation"] == (4 if counts else 3)


def test_only_the_revision_makes_no_difference() -> None:
    old: Obj = {"metadata": KEPT, "spec": {}}
    assert metadata.same({"metadata": {**KEPT, "resourceVersion": "8"}, "spec": {}}, old)
    assert not metadata.same({"metadata": {**KEPT, "labels": {}}, "spec": {}}, old)
    assert not metadata.same({"metadata": KEPT, "spec": {"x": 1}}, old)


def test_people_read_kind_and_name_first() -> None:
    obj: Obj = {"spec": {}, "metadata": {}, "status": {}, "apiVersion": "v1", "kind": "Pod"}
    assert list(metadata.in_order(obj)) == ["kind", "apiVersion", "metadata", "spec", "status"]
