"""Which ReplicaSet is which, and the annotations that `kubectl rollout` reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj, annotations_of, name_of
from sampan.controllers.deployment import revision as revisions
from sampan.controllers.deployment.revision import (
    DESIRED_REPLICAS,
    HASH_LABEL,
    HISTORY_LENGTH,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def template(image: str = "web:1", **metadata: Any) -> Obj:
    return {"metadata": {"labels": {"app": "web"}, **metadata}, "spec": {"containers": [{"image": image}]}}


def deployment(annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "web", "namespace": "default", "annotations": annotations or {}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            **spec,
        },
    }


def replica_set(
    name: str, image: str = "web:1", number: int = 0, created_s: int = 0, replicas: int = 0, **status: Any
) -> Obj:
    made = template(image)
    made["metadata"]["labels"][HASH_LABEL] = name
    return {
        "metadata": {
            "name": name,
            "generation": 1,
            "creationTimestamp": f"2026-01-01T00:00:{created_s:02}Z",
            "annotations": {REVISION: str(number)} if number else {},
        },
        "spec": {"replicas": replicas, "template": made},
        "status": {"observedGeneration": 1, **status},
    }


def test_the_names_that_kubectl_reads() -> None:
    assert (HASH_LABEL, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS) == (
        "pod-template-hash",
        "deployment.kubernetes.io/revision",
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (template(), True),
        (template(labels={"app": "web", HASH_LABEL: "abc"}), True),
        (template(creationTimestamp=None, annotations={}), True),
        (template("web:2"), False),
        (template(labels={"app": "db"}), False),
        (template(annotations={"restartedAt": "now"}), False),
    ],
)
def test_templates_are_the_same_but_for_the_hash_and_what_is_empty(other: Obj, same: bool) -> None:
    assert revisions.same_template(template(), other) is same
    assert revisions.same_template(other, template()) is same


def test_the_new_set_is_the_oldest_with_todays_template() -> None:
    sets = [
        replica_set("later", created_s=2),
        replica_set("b", created_s=1),
        replica_set("a", created_s=1),
        replica_set("old", "web:0", created_s=0),
    ]
    new, old = revisions.split(deployment(), sets)
    assert new is not None and name_of(new) == "a"
    assert [name_of(each) for each in old] == ["old", "b", "later"]
    assert revisions.split(deployment(template=template("web:9")), sets)[0] is None


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("", 0), ("seven", 0), (None, 0)])
def test_a_revision_that_is_no_number_is_none(text: str | None, number: int) -> None:
    annotations = {} if text is None else {REVISION: text}
    assert revisions.revision({"metadata": {"annotations": annotations}}) == number


def test_the_next_revision_is_higher_than_every_other() -> None:
    assert revisions.next_revision([]) == 1
    assert revisions.next_revision([replica_set("a", number=3), replica_set("b", number=1)]) == 4


def test_a_set_used_again_remembers_the_numbers_it_had() -> None:
    used = replica_set("a", number=4)
    used["metadata"]["annotations"] |= {REVISION_HISTORY: "1,2", "team": "old"}
    of = deployment({"team": "new", LAST_APPLIED: "{}", REVISION: "9"})
    assert revisions.changed_annotations(of, used, 6) == {
        "team": "new",
        REVISION: "6",
        REVISION_HISTORY: "1,2,4",
    }


def test_a_set_that_is_up_to_date_needs_no_change_and_a_number_never_falls() -> None:
    for number in (3, 4):
        assert revisions.changed_annotations(deployment(), replica_set("a", number=4), number) == {}


def test_the_first_number_is_no_history() -> None:
    assert revisions.changed_annotations(deployment(), replica_set("a"), 1) == {REVISION: "1"}


@given(st.integers(1, 900))
def test_the_history_stays_within_its_length_and_keeps_the_latest(last: int) -> None:
    used = replica_set("a", number=last)
    used["metadata"]["annotations"][REVISION_HISTORY] = ",".join(str(n) for n in range(1, last))
    kept = revisions.changed_annotations(deployment(), used, last + 1)[REVISION_HISTORY]
    assert len(kept) <= HISTORY_LENGTH
    whole = ",".join(str(n) for n in range(1, last + 1))
    assert kept == whole if len(whole) <= HISTORY_LENGTH else whole.endswith("," + kept)


@pytest.mark.parametrize(
    ("limit", "gone"),
    [({}, []), ({"revisionHistoryLimit": 2}, ["r1"]), ({"revisionHistoryLimit": 0}, ["r1", "r2", "r3"])],
)
def test_surplus_history_goes_lowest_revision_first(limit: dict[str, int], gone: list[str]) -> None:
    old = [replica_set(f"r{n}", number=n) for n in (3, 1, 2)]
    assert [name_of(each) for each in revisions.surplus_history(deployment(**limit), old)] == gone


def test_a_set_that_may_have_pods_is_never_surplus() -> None:
    asks, has, stale, going = replica_set("asks", replicas=1), *map(replica_set, ("has", "stale", "going"))
    has["status"]["replicas"] = 1
    stale["metadata"]["generation"] = 2
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    sets = [asks, has, stale, going, replica_set("empty")]
    surplus = revisions.surplus_history(deployment(revisionHistoryLimit=0), sets)
    assert [name_of(each) for each in surplus] == ["empty"]


def test_the_new_set_carries_the_hash_in_name_selector_and_labels() -> None:
    of = deployment({"team": "a", LAST_APPLIED: "{}"}, minReadySeconds=5)
    made = revisions.new_replica_set(of, "7d9f", 2, 4, 5)
    labels = {"app": "web", HASH_LABEL: "7d9f"}
    assert made["metadata"] == {
        "name": "web-7d9f",
        "namespace": "default",
        "labels": labels,
        "annotations": {"team": "a", REVISION: "4", DESIRED_REPLICAS: "3", MAX_REPLICAS: "5"},
    }
    assert made["spec"] == {
        "replicas": 2,
        "minReadySeconds": 5,
        "selector": {"matchLabels": labels},
        "template": {**template(), "metadata": {"labels": labels}},
    }
    assert (made["apiVersion"], made["kind"]) == ("apps/v1", "ReplicaSet")
    assert revisions.same_template(made["spec"]["template"], of["spec"]["template"])
    assert HASH_LABEL not in of["spec"]["template"]["metadata"]["labels"]
    assert REVISION not in annotations_of(of)
