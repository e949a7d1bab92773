"""Which slices are written when the endpoints change: few, and never two for one endpoint."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api.objects import Obj, mutable
from sampan.controllers.endpointslice.endpoints import Group, desired, identity
from sampan.controllers.endpointslice.plan import MOST_ENDPOINTS, plan
from sampan.controllers.slicewrites import Plan

NODES = {"n1": ""}


def service(**spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "s", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "clusterIP": "10.96.0.7",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            **spec,
        },
    }


def pod(number: int, ready: bool = True, phase: str = "Running", deleting: bool = False, **spec: Any) -> Obj:
    metadata: Obj = {
        "name": f"p{number}",
        "namespace": "default",
        "uid": f"u{number}",
        "labels": {"app": "web"},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ip = f"10.244.{number // 250}.{number % 250 + 1}"
    return {
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": [], **spec},
        "status": {
            "phase": phase,
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


class Slices:
    """The slices as an API server would keep them."""

    def __init__(self) -> None:
        self.kept: dict[str, Obj] = {}
        self._numbers = itertools.count()

    def apply(self, step: Plan) -> None:
        for piece in step.create:
            made = mutable(piece)
            made["metadata"]["name"] = f"{made['metadata'].pop('generateName')}{next(self._numbers)}"
            self.kept[made["metadata"]["name"]] = made
        for piece in step.update:
            name = piece["metadata"]["name"]
            assert piece["addressType"] == self.kept[name]["addressType"]
            self.kept[name] = mutable(piece)
        for piece in step.delete:
            del self.kept[piece["metadata"]["name"]]

    def step(self, of: Obj, pods: list[Obj]) -> Plan:
        step = plan(of, desired(of, pods, NODES), list(self.kept.values()))
        self.apply(step)
        return step

    def endpoints(self) -> list[Obj]:
        return [endpoint for piece in self.kept.values() for endpoint in piece["endpoints"]]


def test_a_first_slice() -> None:
    slices = Slices()
    step = slices.step(service(), [pod(0), pod(1, ready=False)])
    assert step.create == (
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": "web-",
                "namespace": "default",
                "labels": {
                    "team": "a",
                    "kubernetes.io/service-name": "web",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "name": "web",
                        "uid": "s",
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": ["10.244.0.1"],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                    "targetRef": {"kind": "Pod", "namespace": "default", "name": "p0", "uid": "u0"},
                    "nodeName": "n1",
                },
                {
                    "addresses": ["10.244.0.2"],
                    "conditions": {"ready": False, "serving": False, "terminating": False},
                    "targetRef": {"kind": "Pod", "namespace": "default", "name": "p1", "uid": "u1"},
                    "nodeName": "n1",
                },
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        },
    )
    assert not slices.step(service(), [pod(0), pod(1, ready=False)])


def test_a_service_without_pods_has_one_empty_slice_that_the_first_pod_takes_over() -> None:
    slices = Slices()
    assert len(slices.step(service(), []).create) == 1
    assert not slices.step(service(), [])
    step = slices.step(service(), [pod(0)])
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)
    step = slices.step(service(), [])
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)


def test_a_terminating_pod_serves_but_is_not_ready() -> None:
    (found,) = desired(service(), [pod(0, deleting=True)], NODES).values()
    assert found["u0/10.244.0.1"]["conditions"] == {"ready": False, "serving": True, "terminating": True}


def test_unready_pods_are_published_when_asked_for() -> None:
    asked = service(publishNotReadyAddresses=True)
    (found,) = desired(asked, [pod(0, ready=False)], NODES).values()
    assert found["u0/10.244.0.1"]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_finished_pods_leave() -> None:
    assert desired(service(), [pod(0, phase="Succeeded"), pod(1, phase="Failed")], NODES) == {
        Group("IPv4", ()): {}
    }


def test_named_target_ports_group_pods_by_what_they_declare() -> None:
    asked = service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}])

    def declares(number: int, port: int) -> Obj:
        ports = [{"name": "web", "containerPort": port}]
        return pod(number, containers=[{"name": "c", "ports": ports}])

    found = desired(asked, [declares(0, 8080), declares(1, 9090), declares(2, 8080), pod(3)], NODES)
    sizes = {group.ports[0][1] if group.ports else 0: len(found[group]) for group in found}
    assert sizes == {8080: 2, 9090: 1, 0: 1}


def test_headless_hostname_and_zone() -> None:
    asked = service(clusterIP="None", ipFamilies=["IPv4"], ports=[])
    found = desired(asked, [pod(0, hostname="db-0", subdomain="web")], {"n1": "z"})
    (endpoint,) = found[Group("IPv4", ())].values()
    assert (endpoint["hostname"], endpoint["zone"]) == ("db-0", "z")
    labels = plan(asked, found, []).create[0]["metadata"]["labels"]
    assert labels["service.kubernetes.io/headless"] == ""


def test_dual_stack_has_a_slice_for_each_family() -> None:
    asked = service(ipFamilies=["IPv4", "IPv6"])
    both = pod(0)
    both["status"]["podIPs"].append({"ip": "fd00::1"})
    slices = Slices()
    slices.step(asked, [both])
    assert sorted(piece["addressType"] for piece in slices.kept.values()) == ["IPv4", "IPv6"]


def test_one_pod_of_many_changes_one_slice() -> None:
    slices = Slices()
    pods = [pod(number) for number in range(250)]
    slices.step(service(), pods)
    assert sorted(len(piece["endpoints"]) for piece in slices.kept.values()) == [50, 100, 100]
    pods[120] = pod(120, ready=False)
    step = slices.step(service(), pods)
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)
    # one leaves and another comes: still one write, into the slice that changes anyway
    step = slices.step(service(), [*pods[:10], *pods[11:], pod(300)])
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)


def test_what_is_left_over_goes_where_it_fits_in_one_write() -> None:
    slices = Slices()
    pods = [pod(number) for number in range(150)]
    slices.step(service(), pods)
    step = slices.step(service(), [*pods, *(pod(number) for number in range(150, 200))])
    assert (len(step.create), len(step.update)) == (0, 1)
    assert sorted(len(piece["endpoints"]) for piece in slices.kept.values()) == [100, 100]
    # A hundred and more fill a slice of their own first; only what remains looks for room.
    slices = Slices()
    slices.step(service(), pods)
    step = slices.step(service(), [*pods, *(pod(number) for number in range(150, 270))])
    assert (len(step.create), len(step.update)) == (1, 1)
    assert sorted(len(piece["endpoints"]) for piece in slices.kept.values()) == [70, 100, 100]


def test_the_trigger_time_is_noted_but_no_reason_to_write() -> None:
    of, when = service(), "2026-01-01T00:00:09Z"
    key = "endpoints.kubernetes.io/last-change-trigger-time"
    slices = Slices()
    (made,) = plan(of, desired(of, [pod(0)], NODES), [], when).create
    assert made["metadata"]["annotations"] == {key: when}
    slices.step(of, [pod(0)])
    assert not plan(of, desired(of, [pod(0)], NODES), slices.kept.values(), when)
    (piece,) = slices.kept.values()
    piece["metadata"]["annotations"] = {"theirs": "kept", key: "older"}
    (changed,) = plan(of, desired(of, [pod(1)], NODES), [piece], when).update
    assert changed["metadata"]["annotations"] == {"theirs": "kept", key: when}
    (changed,) = plan(of, desired(of, [pod(1)], NODES), [piece]).update
    assert changed["metadata"]["annotations"] == {"theirs": "kept"}


def test_labels_follow_the_service() -> None:
    slices = Slices()
    pods = [pod(number) for number in range(150)]
    slices.step(service(), pods)
    relabelled = service()
    relabelled["metadata"]["labels"] = {"team": "b", "kubernetes.io/service-name": "no"}
    step = slices.step(relabelled, [*pods, pod(150)])
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 2, 0)
    assert {piece["metadata"]["labels"]["team"] for piece in slices.kept.values()} == {"b"}
    assert {piece["metadata"]["labels"]["kubernetes.io/service-name"] for piece in slices.kept.values()} == {
        "web"
    }
    assert sum(len(piece["endpoints"]) for piece in slices.kept.values()) == 151


def test_slices_of_a_predecessor_go() -> None:
    slices = Slices()
    slices.step(service(), [pod(0)])
    (old,) = slices.kept
    successor = service()
    successor["metadata"]["uid"] = "another"
    step = slices.step(successor, [pod(0)])
    assert [piece["metadata"]["name"] for piece in step.delete] == [old]
    assert len(step.create) == 1 and not step.update


def test_a_service_on_its_way_out_gets_no_new_slices_but_keeps_true_ones() -> None:
    slices = Slices()
    slices.step(service(), [pod(0), pod(1)])
    going = service()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert len(slices.step(going, [pod(0)]).update) == 1
    assert not plan(going, desired(going, [pod(0)], NODES), []).create


def test_a_family_that_comes_or_goes_takes_its_slices_along() -> None:
    both = pod(0)
    both["status"]["podIPs"].append({"ip": "fd00::1"})
    slices = Slices()
    slices.step(service(ipFamilies=["IPv4"]), [both])
    step = slices.step(service(ipFamilies=["IPv4", "IPv6"]), [both])
    assert [piece["addressType"] for piece in step.create] == ["IPv6"]
    assert not step.update and not step.delete
    step = slices.step(service(ipFamilies=["IPv6"]), [both])
    assert [piece["addressType"] for piece in step.delete] == ["IPv4"]
    assert not step.update and not step.create


def test_an_overfull_slice_is_brought_down() -> None:
    slices = Slices()
    pods = [pod(number) for number in range(150)]
    slices.step(service(), pods)
    full, rest = sorted(slices.kept.values(), key=lambda piece: -len(piece["endpoints"]))
    full["endpoints"] += rest["endpoints"]  # as somebody else might
    slices.step(service(), pods)
    assert max(len(piece["endpoints"]) for piece in slices.kept.values()) == MOST_ENDPOINTS
    assert len(slices.endpoints()) == 150


states = st.tuples(st.booleans(), st.booleans(), st.sampled_from([8080, 9090]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 400), states, max_size=320), min_size=1, max_size=4))
def test_slices_hold_what_is_wanted_each_endpoint_once(history: list[dict[int, Any]]) -> None:
    slices = Slices()
    asked = service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}])
    for state in history:
        pods = [
            pod(
                number,
                ready=ready,
                deleting=deleting,
                containers=[{"name": "c", "ports": [{"name": "web", "containerPort": port}]}],
            )
            for number, (ready, deleting, port) in state.items()
        ]
        slices.step(asked, pods)
        wanted = desired(asked, pods, NODES)
        expected = {key: endpoint for group in wanted.values() for key, endpoint in group.items()}
        present = slices.endpoints()
        assert len(present) == len(expected)
        assert {identity(endpoint): endpoint for endpoint in present} == expected
        assert all(len(piece["endpoints"]) <= MOST_ENDPOINTS for piece in slices.kept.values())
        assert slices.kept
        assert not slices.step(asked, pods), "a second look finds nothing to do"
