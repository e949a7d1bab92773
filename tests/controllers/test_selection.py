"""The index answers what a walk over everything would; `relevant` misses nothing an endpoint is made of."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api.objects import Obj, key_of
from sampan.client.cache import Cache
from sampan.client.informer import Informer
from sampan.controllers import selection
from sampan.controllers.endpointslice.endpoints import desired

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(("x", "y", "long")), max_size=3)
NAMESPACES = st.sampled_from(("one", "two"))


def service(namespace: str, selector: dict[str, str] | None, **spec: object) -> Obj:
    return {
        "metadata": {"name": "s", "namespace": namespace},
        "spec": {"selector": selector, "ports": [{"port": 80}], **spec},
    }


def pod(namespace: str, labels: dict[str, str]) -> Obj:
    return {"metadata": {"name": "p", "namespace": namespace, "labels": labels}, "spec": {}}


def selects(service: Obj, pod: Obj) -> bool:
    """By the letter of the API, without any index."""
    selector = service["spec"]["selector"]
    labels = pod["metadata"]["labels"]
    same = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def informer(*objects: Obj) -> Informer:
    """As much of an informer as an index is."""
    cache = Cache()
    for number, obj in enumerate(objects):
        obj["metadata"]["name"] += str(number)
        cache.put(key_of(obj), obj)
    return cast(Informer, cache)


@given(st.lists(st.builds(service, NAMESPACES, LABELS), max_size=5), st.builds(pod, NAMESPACES, LABELS))
def test_the_services_of_a_pod_are_those_that_select_it(services: list[Obj], asked: Obj) -> None:
    known = informer(*services)
    selection.index_services(known)
    found = list(selection.services_of(known, asked))
    assert len(found) == len(set(found))
    assert set(found) == {key_of(each) for each in services if selects(each, asked)}


@given(st.lists(st.builds(pod, NAMESPACES, LABELS), max_size=5), st.builds(service, NAMESPACES, LABELS))
def test_the_pods_of_a_service_are_those_it_selects(pods: list[Obj], asked: Obj) -> None:
    known = informer(*pods)
    selection.index_pods(known)
    found = [key_of(each) for each in selection.pods_of(known, asked)]
    assert sorted(found) == sorted(key_of(each) for each in pods if selects(asked, each))


@given(st.builds(pod, NAMESPACES, LABELS), st.builds(service, NAMESPACES, LABELS))
def test_one_pod_is_asked_as_all_are(asked: Obj, by: Obj) -> None:
    assert selection.selects(by, asked) == selects(by, asked)


def test_a_service_of_another_name_has_no_pods_whatever_it_selects() -> None:
    external = service("one", {"a": "x"}, type="ExternalName")
    pods, services = informer(pod("one", {"a": "x"})), informer(external)
    selection.index_pods(pods)
    selection.index_services(services)
    assert selection.pods_of(pods, external) == []
    assert not selection.selects(external, pod("one", {"a": "x"}))
    assert list(selection.services_of(services, pod("one", {"a": "x"}))) == []


@st.composite
def running(draw: st.DrawFn) -> Obj:
    metadata: Obj = {
        "name": "p",
        "namespace": "one",
        "uid": "u",
        "labels": {"a": draw(st.sampled_from("xy"))},
    }
    if draw(st.booleans()):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    addresses = draw(st.lists(st.sampled_from(("10.0.0.1", "10.0.0.2", "fd00::1")), max_size=2))
    return {
        "metadata": metadata | {"resourceVersion": draw(st.sampled_from(("1", "2")))},
        "spec": {
            "containers": [],
            "nodeName": draw(st.sampled_from(("n1", "n2"))),
            "hostname": draw(st.sampled_from(("", "h"))),
            "subdomain": draw(st.sampled_from(("", "s"))),
        },
        "status": {
            "phase": draw(st.sampled_from(("Pending", "Running", "Failed"))),
            "podIPs": [{"ip": address} for address in addresses],
            "conditions": [{"type": "Ready", "status": draw(st.sampled_from(("True", "False")))}],
        },
    }


PLACES = [
    *(("metadata", key) for key in ("labels", "deletionTimestamp", "resourceVersion")),
    *(("spec", key) for key in ("nodeName", "hostname", "subdomain")),
    *(("status", key) for key in ("phase", "podIPs", "conditions")),
]


@pytest.mark.parametrize(("part", "key"), PLACES)
@settings(max_examples=60)
@given(before=running(), donor=running(), publish=st.booleans())
def test_a_change_that_is_not_relevant_changes_no_endpoint(
    part: str, key: str, before: Obj, donor: Obj, publish: bool
) -> None:
    after = {**before, part: {**before[part], key: donor[part].get(key)}}
    asking = service("one", {"a": "x"}, ipFamilies=["IPv4", "IPv6"], publishNotReadyAddresses=publish)
    if selection.relevant(before) == selection.relevant(after):
        assert desired(asking, [before], {"n1": "z", "n2": ""}) == desired(
            asking, [after], {"n1": "z", "n2": ""}
        )
        assert selects(asking, before) == selects(asking, after)


def test_a_change_of_anything_else_is_not_relevant() -> None:
    before: Obj = {**pod("one", {"a": "x"}), "status": {"phase": "Running", "hostIP": "1.2.3.4"}}
    after: Obj = {
        **before,
        "metadata": {**before["metadata"], "annotations": {"seen": "yes"}, "resourceVersion": "9"},
        "status": {"phase": "Pending", "containerStatuses": []},
    }
    assert selection.relevant(before) == selection.relevant(after)
