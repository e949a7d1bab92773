"""What the node knows of a Pod, from one event to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness import podviews
from harness.podviews import NOW, make_view
from sampan.api.objects import Obj, mutable
from sampan.kubelet.containerview import LABEL_ATTEMPT, Fault, spec_hash
from sampan.kubelet.lifecycle import ContainerState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Exit

FAULT = Fault("CreateContainerError", "no", NOW)


def newer(view: PodView, revision: str = "2", **spec: Any) -> Obj:
    pod = mutable(view.pod)
    pod["metadata"]["resourceVersion"] = revision
    pod["spec"] |= spec
    return pod


def test_a_restart_counts_and_keeps_what_came_before() -> None:
    view = make_view("web")
    (web,) = view.app
    podviews.run(web)
    first = web.record
    web.started = web.ready = True
    podviews.end(web, 1)
    assert (web.state, web.ready, web.started, web.image) == (ContainerState.EXITED, False, False, None)
    web.message = "last words"
    podviews.run(web, NOW + 20)
    assert (web.attempt, web.last_message, web.message) == (1, "last words", "")
    assert web.last is not None and first is not None and web.last.spec.id == first.spec.id


def test_an_attempt_that_could_not_be_made_is_made_again_under_its_number() -> None:
    view = make_view("web")
    (web,) = view.app
    web.begin(NOW)
    web.failed(FAULT)
    assert (web.attempt, web.fault, web.image) == (0, FAULT, None)
    podviews.run(web)
    assert (web.attempt, web.fault) == (0, None)


def test_succeeded_is_exit_code_zero_only() -> None:
    for code, expected in ((0, True), (1, False), (137, False)):
        (web,) = make_view("web").app
        assert not web.succeeded
        podviews.run(web)
        assert not web.succeeded
        podviews.end(web, code)
        assert web.succeeded is expected


def test_an_older_version_that_comes_late_is_passed_over() -> None:
    view = make_view("web")
    view.follow(newer(view, "5", restartPolicy="Never"))
    view.follow(newer(view, "3", restartPolicy="Always"))
    assert view.restart_policy == "Never"


def test_containers_keep_what_is_known_of_them_when_the_spec_changes() -> None:
    view = make_view("web", init=("setup",))
    (web,) = view.app
    podviews.run(web)
    view.follow(newer(view, containers=[{"name": "web", "image": "nginx:2"}, {"name": "new", "image": "x"}]))
    assert view.app[0] is web and web.spec["image"] == "nginx:2" and web.record is not None
    assert [container.name for container in view.containers] == ["setup", "web", "new"]
    assert [container.init for container in view.containers] == [True, False, False]
    assert view.container("new") is view.app[1] and view.container("none") is None


@pytest.mark.parametrize(
    ("metadata", "spec", "grace_s"),
    [
        ({}, {}, 30.0),
        ({}, {"terminationGracePeriodSeconds": 0}, 0.0),
        ({}, {"terminationGracePeriodSeconds": 5}, 5.0),
        ({"deletionGracePeriodSeconds": 0}, {"terminationGracePeriodSeconds": 5}, 0.0),
        ({"deletionGracePeriodSeconds": 60}, {"terminationGracePeriodSeconds": 5}, 60.0),
    ],
)
def test_who_deletes_says_how_long(metadata: Obj, spec: Obj, grace_s: float) -> None:
    view = make_view("web", **spec)
    view.pod["metadata"] |= metadata
    assert view.grace_period_s() == grace_s


def test_a_second_delete_may_shorten_the_wait_but_never_stretch_it() -> None:
    view = make_view("web")
    (web,) = view.app
    podviews.run(web)
    view.grace_s = 30.0
    web.stopping(NOW, 30.0)
    for asked, left in ((5, 5.0), (60, 5.0), (0, 0.0)):
        view.pod["metadata"]["deletionGracePeriodSeconds"] = asked
        view.shorten()
        assert web.ending is not None
        assert (view.grace_s, web.ending.grace_s) == (left, left)


def test_it_is_doomed_by_the_api_or_by_the_node() -> None:
    gone, judged, deleted = (make_view("web") for _ in range(3))
    assert not gone.doomed
    gone.gone = True
    judged.verdict = ("Evicted", "no room")
    deleted.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert gone.doomed and judged.doomed and deleted.doomed


def test_only_another_image_makes_another_container() -> None:
    base = {"name": "web", "image": "nginx"}
    assert spec_hash(base) == spec_hash({**base, "resources": {"limits": {"cpu": "1"}}})
    assert spec_hash(base) != spec_hash({**base, "image": "nginx:2"})
    assert spec_hash(base) != spec_hash({**base, "name": "web2"})


def test_a_pod_is_named_in_full_in_messages() -> None:
    assert make_view("web").full_name == "web_default(u)"


@pytest.mark.parametrize(("code", "state"), [(None, ContainerState.RUNNING), (1, ContainerState.EXITED)])
def test_what_an_earlier_process_ran_is_gone_on_with(code: int | None, state: ContainerState) -> None:
    (web,) = make_view("web").app
    records = []
    for attempt, ended in ((2, 1), (3, code)):
        web.attempt = attempt
        made = podviews.record(web, None if ended is None else Exit(ended, NOW))
        labels = {**made.spec.labels, LABEL_ATTEMPT: str(attempt)}
        records.append(replace(made, spec=replace(made.spec, labels=labels)))
    (fresh,) = make_view("web").app
    fresh.adopt([])
    assert (fresh.state, fresh.record) == (ContainerState.WAITING, None)
    fresh.adopt(records)
    assert (fresh.state, fresh.attempt, fresh.record, fresh.last) == (state, 3, records[1], records[0])
