"""What the scheduler counts is what the API shows and what it has itself decided."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.scheduler.cache import NodeCache
from sampan.scheduler.facts import PodFacts, pod_facts


def node(name: str = "n1", cpu: str = "1", **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": {"cpu": cpu}}}


def pod(uid: str) -> PodFacts:
    container = {"name": "c", "resources": {"requests": {"cpu": "100m"}}}
    return pod_facts({"metadata": {"name": uid, "uid": uid}, "spec": {"containers": [container]}})


def seen(cache: NodeCache) -> dict[str, set[str]]:
    return {info.name: set(info.pods) for info in cache.nodes()}


def test_only_a_change_that_may_help_a_waiting_pod_is_news() -> None:
    cache = NodeCache()
    assert cache.set_node(node())
    heartbeat = node()
    heartbeat["status"]["conditions"] = [{"type": "Ready", "lastHeartbeatTime": "now"}]
    assert not cache.set_node(heartbeat)
    assert cache.set_node(node(cpu="2"))
    assert cache.set_node(node(cpu="2", unschedulable=True))
    assert cache.set_node(node(cpu="2", taints=[{"key": "k", "effect": "NoSchedule"}]))


def test_a_pod_may_be_seen_before_its_node_and_stay_after_it() -> None:
    cache = NodeCache()
    assert cache.place(pod("a"), "n1")
    assert seen(cache) == {}
    assert cache.set_node(node())
    assert seen(cache) == {"n1": {"a"}}
    cache.remove_node("n1")
    assert seen(cache) == {}
    cache.set_node(node())
    assert seen(cache) == {"n1": {"a"}}
    cache.remove_node("n1")
    assert cache.remove("a")
    cache.set_node(node())
    assert seen(cache) == {"n1": set()}


def test_an_assumed_pod_takes_its_room_at_once_and_is_no_news_when_it_is_seen() -> None:
    cache = NodeCache()
    cache.set_node(node())
    cache.assume(pod("a"), "n1")
    assert cache.is_assumed("a") and cache.nodes()[0].requested == {"cpu": 100}
    assert not cache.place(pod("a"), "n1")
    assert not cache.is_assumed("a") and cache.nodes()[0].requested == {"cpu": 100}


def test_a_pod_that_could_not_be_bound_gives_its_room_back() -> None:
    cache = NodeCache()
    cache.set_node(node())
    cache.assume(pod("a"), "n1")
    assert cache.remove("a")
    assert not cache.is_assumed("a") and cache.nodes()[0].requested == {}
    assert not cache.remove("a")


def test_a_pod_that_is_elsewhere_than_assumed_is_counted_once() -> None:
    cache = NodeCache()
    for name in ("n1", "n2"):
        cache.set_node(node(name))
    cache.assume(pod("a"), "n1")
    assert cache.place(pod("a"), "n2")
    assert seen(cache) == {"n1": set(), "n2": {"a"}}


NAMES, UIDS = st.sampled_from(("n1", "n2")), st.sampled_from("ab")
STEPS = (
    st.tuples(st.sampled_from(("node", "no node")), NAMES, st.none())
    | st.tuples(st.sampled_from(("place", "assume")), NAMES, UIDS)
    | st.tuples(st.just("gone"), st.none(), UIDS)
)


@given(st.lists(STEPS, max_size=15))
def test_every_pod_is_on_the_node_it_was_put_last_and_no_other(steps: list[tuple[str, Any, Any]]) -> None:
    cache, nodes, places = NodeCache(), set[str](), dict[str, str]()
    for what, name, uid in steps:
        match what:
            case "node":
                cache.set_node(node(name))
                nodes.add(name)
            case "no node":
                cache.remove_node(name)
                nodes.discard(name)
            case "place" | "assume":
                (cache.place if what == "place" else cache.assume)(pod(uid), name)
                places[uid] = name
            case "gone":
                assert cache.remove(uid) is (places.pop(uid, None) is not None)
    assert seen(cache) == {name: {uid for uid, place in places.items() if place == name} for name in nodes}
    for info in cache.nodes():
        assert info.requested.get("cpu", 0) == 100 * len(info.pods)
