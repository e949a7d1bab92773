"""Endpoints written by hand, as slices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj, mutable
from sampan.controllers.endpointslicemirroring.plan import is_mirrored, plan, skipped, wanted

SERVICE = {"spec": {"ports": [{"port": 5432}]}}
PORT = {"name": "db", "port": 5432, "protocol": "TCP"}


def subset(*ips: str, waiting: tuple[str, ...] = (), ports: tuple[Obj, ...] = (PORT,)) -> Obj:
    made: Obj = {"addresses": [{"ip": ip} for ip in ips], "ports": list(ports)}
    if waiting:
        made["notReadyAddresses"] = [{"ip": ip} for ip in waiting]
    return made


def endpoints(*subsets: Obj, **metadata: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "db", "namespace": "default", "uid": "e", **metadata},
        "subsets": list(subsets),
    }


def made(of: Obj) -> list[Obj]:
    """The slices of a first plan, as the server would have stored them."""
    pieces = [mutable(piece) for piece in plan(of, ()).create]
    for number, piece in enumerate(pieces):
        piece["metadata"] |= {"name": f"db-{number}", "resourceVersion": str(number + 1)}
    return pieces


def test_a_slice_for_a_subset() -> None:
    written = endpoints(
        subset("192.0.2.1", waiting=("192.0.2.2",)),
        labels={"team": "a", "endpointslice.kubernetes.io/managed-by": "me"},
        annotations={
            "note": "kept",
            "endpoints.kubernetes.io/last-change-trigger-time": "x",
            "kubectl.kubernetes.io/last-applied-configuration": "x",
        },
    )
    (piece,) = plan(written, ()).create
    assert piece == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": "db-",
            "namespace": "default",
            "labels": {
                "team": "a",
                "kubernetes.io/service-name": "db",
                "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
            },
            "annotations": {"note": "kept"},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "name": "db",
                    "uid": "e",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["192.0.2.1"], "conditions": {"ready": True}},
            {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
        ],
        "ports": [PORT],
    }


def test_what_an_address_says_of_itself_is_kept() -> None:
    said = {"hostname": "one", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "p", "namespace": "d"}}
    written = endpoints({"addresses": [{"ip": "192.0.2.1", **said}], "ports": [PORT | {"appProtocol": "x"}]})
    (piece,) = plan(written, ()).create
    assert piece["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}, **said}]
    assert piece["ports"] == [PORT | {"appProtocol": "x"}]


def test_each_family_and_each_set_of_ports_has_its_own() -> None:
    web = {"name": "web", "port": 80, "protocol": "TCP"}
    written = endpoints(
        subset("192.0.2.1", "2001:DB8::1"), subset("192.0.2.1", ports=(web,)), subset("192.0.2.9")
    )
    found = {
        (piece["addressType"], piece["ports"][0]["name"]): [e["addresses"][0] for e in piece["endpoints"]]
        for piece in plan(written, ()).create
    }
    assert found == {
        ("IPv4", "db"): ["192.0.2.1", "192.0.2.9"],
        ("IPv6", "db"): ["2001:db8::1"],
        ("IPv4", "web"): ["192.0.2.1"],
    }


def test_the_order_of_ports_makes_no_difference() -> None:
    web = {"name": "web", "port": 80, "protocol": "TCP"}
    pieces = made(endpoints(subset("192.0.2.1", ports=(web, PORT))))
    assert not plan(endpoints(subset("192.0.2.1", ports=(PORT, web))), pieces)


def test_who_is_ready_in_one_subset_is_ready() -> None:
    written = endpoints(subset("192.0.2.2", waiting=("192.0.2.1",)), subset("192.0.2.1"))
    ((listed),) = wanted(written).values()
    assert [(e["addresses"][0], e["conditions"]["ready"]) for e in listed] == [
        ("192.0.2.2", True),
        ("192.0.2.1", True),
    ]


def test_nothing_is_written_twice() -> None:
    written = endpoints(subset("192.0.2.1", "2001:db8::1", waiting=("192.0.2.2",)))
    assert not plan(written, made(written))


def test_a_change_is_an_update_of_the_slice() -> None:
    pieces = made(endpoints(subset("192.0.2.1")))
    step = plan(endpoints(subset("192.0.2.7"), labels={"new": "label"}), pieces)
    assert not step.create and not step.delete
    (piece,) = step.update
    assert piece["metadata"]["name"] == "db-0"
    assert piece["metadata"]["resourceVersion"] == "1"
    assert piece["metadata"]["labels"]["new"] == "label"
    assert piece["endpoints"][0]["addresses"] == ["192.0.2.7"]


def test_other_ports_are_an_update_too() -> None:
    pieces = made(endpoints(subset("192.0.2.1")))
    step = plan(endpoints(subset("192.0.2.1", ports=(PORT | {"port": 1},))), pieces)
    assert not step.create and not step.delete
    assert step.update[0]["ports"] == [PORT | {"port": 1}]


def test_what_is_empty_has_no_slice() -> None:
    pieces = made(endpoints(subset("192.0.2.1")))
    assert not plan(endpoints(), ()).create
    assert list(plan(endpoints(), pieces).delete) == pieces


def test_slices_of_a_predecessor_go_and_are_not_used_again() -> None:
    pieces = made(endpoints(subset("192.0.2.1")))
    step = plan(endpoints(subset("192.0.2.1"), uid="other"), pieces)
    assert list(step.delete) == pieces
    assert len(step.create) == 1 and not step.update


def test_a_thousand_of_a_subset() -> None:
    many = [f"198.18.{n // 250}.{n % 250 + 1}" for n in range(1500)]
    written = endpoints(subset(*many[:900], waiting=tuple(many[900:])))
    ((listed),) = wanted(written).values()
    assert [e["addresses"][0] for e in listed] == many[:1000]
    assert skipped(written) == 500
    # Two subsets with the same ports may have more together than fits into one slice.
    step = plan(endpoints(subset(*many[:750]), subset(*many[750:])), ())
    assert [len(piece["endpoints"]) for piece in step.create] == [1000, 500]
    assert skipped(endpoints(subset(*many[:1000]))) == 0


@pytest.mark.parametrize(
    ("said", "spec", "mirrored"),
    [
        ({}, {}, True),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}, {}, False),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "no"}}, {}, True),
        ({"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}, {}, False),
        ({}, {"selector": {"app": "db"}}, False),
        ({}, {"selector": {}}, True),
    ],
)
def test_what_is_mirrored(said: Obj, spec: Obj, mirrored: bool) -> None:
    assert is_mirrored(endpoints(**said), {"spec": spec}) is mirrored


ips = st.sampled_from([f"192.0.2.{n}" for n in range(1, 9)] + [f"2001:db8::{n}" for n in range(1, 5)])
ports = st.lists(st.sampled_from(("a", "b", "c")), unique=True, max_size=2)
subsets = st.builds(
    lambda ready, waiting, names: subset(
        *ready,
        waiting=tuple(set(waiting) - set(ready)),
        ports=tuple({"name": name, "port": 80, "protocol": "TCP"} for name in names),
    ),
    st.lists(ips, unique=True),
    st.lists(ips, unique=True),
    ports,
)


def shown(pieces: list[Obj]) -> list[tuple[str, tuple[str, ...], bool]]:
    """(address, names of ports, whether ready) of every endpoint, sorted."""
    return sorted(
        (
            endpoint["addresses"][0],
            tuple(sorted(port["name"] for port in piece["ports"])),
            endpoint["conditions"]["ready"],
        )
        for piece in pieces
        for endpoint in piece["endpoints"]
    )


@given(st.lists(st.lists(subsets, max_size=4), max_size=5))
def test_any_history_ends_in_what_the_endpoints_say(history: list[list[Obj]]) -> None:
    kept: dict[str, Obj] = {}
    for turn, listed in enumerate(history):
        given_now = endpoints(*listed)
        step = plan(given_now, list(kept.values()))
        for piece in step.delete:
            del kept[piece["metadata"]["name"]]
        for piece in step.update:
            assert piece["addressType"] == kept[piece["metadata"]["name"]]["addressType"]
            kept[piece["metadata"]["name"]] = mutable(piece)
        for number, piece in enumerate(step.create):
            made_now = mutable(piece)
            made_now["metadata"]["name"] = f"db-{turn}-{number}"
            kept[made_now["metadata"]["name"]] = made_now
        said: dict[tuple[str, tuple[str, ...]], bool] = {}
        for each in listed:
            names = tuple(sorted(port["name"] for port in each["ports"]))
            for field, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in each.get(field) or ():
                    said[address["ip"], names] = said.get((address["ip"], names), False) or ready
        assert shown(list(kept.values())) == sorted((*key, ready) for key, ready in said.items())
        assert not plan(given_now, list(kept.values())), "a second look finds nothing to do"
