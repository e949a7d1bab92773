"""What each change of a Service, a slice or the node does to the kernel's table: that, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.proxy.keys import Keys
from sampan.proxy.ledger import Ledger, Step
from sampan.proxy.rules import EMPTY, Flows, NodeFacts, fragment, seating
from sampan.proxy.ruleset import fixed_elements
from sampan.proxy.table import DROP, EXTERNAL, KEEP, LOCAL, RANGES, STICKY

FACTS = NodeFacts(
    "node-1", ("10.244.0.0/24",), families=(4, 6), ips=("100.64.0.2",), service_cidrs=("10.96.0.0/16",)
)
VIP = "10.96.0.20"
PORT = {"port": 80, "nodePort": 30080, "protocol": "TCP"}
PORTS = [{"name": "", "port": 8080, "protocol": "TCP"}]
HERE, THERE = endpoint("10.244.0.5"), endpoint("10.244.1.6", node="node-2")
FLAGS = {LOCAL: "L", EXTERNAL: "E", RANGES: "R", KEEP: "K"}


class Scene:
    """One Service through several states."""

    def __init__(self, facts: NodeFacts = FACTS) -> None:
        self.facts, self._keys, self._ledger = facts, Keys(), Ledger(fixed_elements())

    def becomes(self, svc: Obj | None, *slices: Obj) -> list[str]:
        step = self.step(svc, *slices)
        deleted = [_line("-", *part) for part in step.change.delete]
        return sorted(deleted) + sorted(_line("+", *part) for part in step.change.add)

    def step(self, svc: Obj | None, *slices: Obj) -> Step:
        new = EMPTY
        if svc is not None:
            before = seating(self._ledger.fragment("default/web").elements)
            new = fragment(svc, slices, self.facts, self._keys.key, before)
        return self._ledger.update({"default/web": new})


def _line(sign: str, element: tuple[str, Sequence[str | int]], value: Sequence[str | int]) -> str:
    """`+ np4 tcp 30080 = 1LE`: marks are written as key and the initials of their flags."""
    name, key = element
    # Where marks stand: in these sets the value is one, in those the first field of the key.
    texts = [
        _mark(part) if name not in ("class", "draw") and n == 0 else str(part) for n, part in enumerate(key)
    ]
    values = [_mark(part) if name[:2] in ("fe", "np", "hp") else _class(name, part) for part in value]
    return f"{sign} {name} {' '.join(texts)}" + (f" = {' '.join(values)}" if values else "")


def _mark(part: str | int) -> str:
    if not isinstance(part, int):
        return part
    return f"{part & 0xFFFFFF}" + "".join(flag for bit, flag in FLAGS.items() if part & bit)


def _class(name: str, part: str | int) -> str:
    if name == "svc" and isinstance(part, int):
        return "drop" if part == DROP else f"sticky {part - STICKY}" if part >= STICKY else str(part)
    return str(part)


def web(**spec: object) -> Obj:
    return service("web", VIP, PORT, **{"type": "NodePort", **spec})


def balanced(*addresses: str, **spec: object) -> Obj:
    svc = web(**{"type": "LoadBalancer", **spec})
    svc["status"] = {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}
    return svc


def ends(*endpoints: Obj) -> Obj:
    return slice_of("web", PORTS, *endpoints)


BOTH = ends(HERE, THERE)
LOCALLY: dict[str, object] = {"externalTrafficPolicy": "Local"}
CLIENT_IP: dict[str, object] = {
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
}
OTHER_TIME: dict[str, object] = {
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 61}},
}
NAMED = {**PORT, "name": "http"}

ROWS: dict[str, tuple[list[Obj | None], list[Obj | None], list[str]]] = {
    "nothing": ([web(), BOTH], [web(), BOTH], []),
    "label, annotation": (
        [web(), BOTH],
        [web() | {"metadata": {"name": "web", "labels": {"a": "b"}}}, BOTH],
        [],
    ),
    "Service made": (
        [None],
        [web(), ends(HERE)],
        [
            "+ ep4 1 0 = 10.244.0.5 8080",
            "+ fe4 10.96.0.20 tcp 80 = 1",
            "+ hair4 10.244.0.5 10.244.0.5",
            "+ np4 tcp 30080 = 1E",
            "+ svc 1 = 1",
        ],
    ),
    "Service deleted": (
        [web(), ends(THERE)],
        [None],
        ["- ep4 1 0 = 10.244.1.6 8080", "- fe4 10.96.0.20 tcp 80 = 1", "- np4 tcp 30080 = 1E", "- svc 1 = 1"],
    ),
    "endpoint added": (
        [web(), ends(HERE)],
        [web(), BOTH],
        ["- svc 1 = 1", "+ ep4 1 1 = 10.244.1.6 8080", "+ svc 1 = 2"],
    ),
    "endpoint not ready": (
        [web(), BOTH],
        [web(), ends(HERE, {**THERE, "conditions": {"ready": False}})],
        ["- ep4 1 1 = 10.244.1.6 8080", "- svc 1 = 2", "+ svc 1 = 1"],
    ),
    "endpoint replaced": (
        [web(), BOTH],
        [web(), ends(HERE, endpoint("10.244.1.7", node="node-2"))],
        ["- ep4 1 1 = 10.244.1.6 8080", "+ ep4 1 1 = 10.244.1.7 8080"],
    ),
    "last endpoint gone": (
        [web(), ends(THERE)],
        [web(), ends()],
        ["- ep4 1 0 = 10.244.1.6 8080", "- svc 1 = 1"],
    ),
    "target port": (
        [web(), ends(THERE)],
        [web(), slice_of("web", [{**PORTS[0], "port": 9090}], THERE)],
        ["- ep4 1 0 = 10.244.1.6 8080", "+ ep4 1 0 = 10.244.1.6 9090"],
    ),
    "slices in another order": ([web(), ends(HERE), ends(THERE)], [web(), ends(THERE), ends(HERE)], []),
    "node port": (
        [web(), BOTH],
        [service("web", VIP, {**PORT, "nodePort": 30081}, type="NodePort"), BOTH],
        ["- np4 tcp 30080 = 1E", "+ np4 tcp 30081 = 1E"],
    ),
    "NodePort to ClusterIP": ([web(), BOTH], [web(type="ClusterIP"), BOTH], ["- np4 tcp 30080 = 1E"]),
    "ClusterIP to LoadBalancer": (
        [web(type="ClusterIP"), BOTH],
        [balanced("192.0.2.9"), BOTH],
        ["+ fe4 192.0.2.9 tcp 80 = 1E", "+ np4 tcp 30080 = 1E"],
    ),
    "to ExternalName": (
        [web(), ends(THERE)],
        [service("web", "", type="ExternalName"), ends(THERE)],
        ["- ep4 1 0 = 10.244.1.6 8080", "- fe4 10.96.0.20 tcp 80 = 1", "- np4 tcp 30080 = 1E", "- svc 1 = 1"],
    ),
    "another cluster IP": (
        [web(), ends(THERE)],
        [service("web", "10.96.0.21", PORT, type="NodePort"), ends(THERE)],
        [
            "- ep4 1 0 = 10.244.1.6 8080",
            "- fe4 10.96.0.20 tcp 80 = 1",
            "- np4 tcp 30080 = 1E",
            "- svc 1 = 1",
            "+ ep4 2 0 = 10.244.1.6 8080",
            "+ fe4 10.96.0.21 tcp 80 = 2",
            "+ np4 tcp 30080 = 2E",
            "+ svc 2 = 1",
        ],
    ),
    "port renamed with its slices": (
        [service("web", VIP, PORT, type="NodePort"), ends(THERE)],
        [service("web", VIP, NAMED, type="NodePort"), slice_of("web", [{**PORTS[0], "name": "http"}], THERE)],
        [],
    ),
    "load balancer's address": (
        [balanced("192.0.2.9"), BOTH],
        [balanced("192.0.2.10"), BOTH],
        ["- fe4 192.0.2.9 tcp 80 = 1E", "+ fe4 192.0.2.10 tcp 80 = 1E"],
    ),
    "load balancer's address of the other family": (
        [balanced("192.0.2.9"), BOTH],
        [balanced("192.0.2.9", "2001:db8::9"), BOTH],
        [],
    ),
    "external IPs": (
        [web(), BOTH],
        [web(externalIPs=["203.0.113.1", "10.96.0.99", "2001:db8::1"]), BOTH],
        ["+ fe4 203.0.113.1 tcp 80 = 1E"],
    ),
    "external policy Local": (
        [web(), BOTH],
        [web(**LOCALLY), BOTH],
        [
            "- np4 tcp 30080 = 1E",
            "+ ep4 1L 0 = 10.244.0.5 8080",
            "+ np4 tcp 30080 = 1LEK",
            "+ svc 1L = 1",
        ],
    ),
    "external policy Local without an endpoint here": (
        [web(), ends(THERE)],
        [web(**LOCALLY), ends(THERE)],
        ["- np4 tcp 30080 = 1E", "+ np4 tcp 30080 = 1LEK", "+ svc 1L = drop"],
    ),
    "external policy Local, and a remote endpoint comes": (
        [web(**LOCALLY), ends(HERE)],
        [web(**LOCALLY), BOTH],
        ["- svc 1 = 1", "+ ep4 1 1 = 10.244.1.6 8080", "+ svc 1 = 2"],
    ),
    "internal policy Local": (
        [web(type="ClusterIP"), BOTH],
        [web(type="ClusterIP", internalTrafficPolicy="Local"), BOTH],
        [
            "- ep4 1 0 = 10.244.0.5 8080",
            "- ep4 1 1 = 10.244.1.6 8080",
            "- fe4 10.96.0.20 tcp 80 = 1",
            "- svc 1 = 2",
            "+ ep4 1L 0 = 10.244.0.5 8080",
            "+ fe4 10.96.0.20 tcp 80 = 1L",
            "+ svc 1L = 1",
        ],
    ),
    "source ranges": (
        [balanced("192.0.2.9"), BOTH],
        [balanced("192.0.2.9", loadBalancerSourceRanges=["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"]), BOTH],
        ["- fe4 192.0.2.9 tcp 80 = 1E", "+ fe4 192.0.2.9 tcp 80 = 1ER", "+ lbsrc4 1 10.0.0.0/8"],
    ),
    "another source range": (
        [balanced("192.0.2.9", loadBalancerSourceRanges=["10.0.0.0/8", "12.0.0.0/8"]), BOTH],
        [balanced("192.0.2.9", loadBalancerSourceRanges=["10.0.0.0/8", "14.0.0.0/8"]), BOTH],
        ["- lbsrc4 1 12.0.0.0/8", "+ lbsrc4 1 14.0.0.0/8"],
    ),
    "session affinity": (
        [web(), BOTH],
        [web(**CLIENT_IP), BOTH],
        [
            "- svc 1 = 2",
            "+ class 2147483708 = t60",
            "+ cnt 1 = 2",
            "+ draw 2 = d2",
            "+ live 1 0",
            "+ live 1 1",
            "+ pick 1 0 = 0",
            "+ pick 1 1 = 1",
            "+ svc 1 = sticky 60",
        ],
    ),
    "no session affinity": (
        [web(**CLIENT_IP), BOTH],
        [web(), BOTH],
        [
            "- cnt 1 = 2",
            "- live 1 0",
            "- live 1 1",
            "- pick 1 0 = 0",
            "- pick 1 1 = 1",
            "- svc 1 = sticky 60",
            "+ svc 1 = 2",
        ],
    ),
    "affinity's timeout": (
        [web(**CLIENT_IP), BOTH],
        [web(**OTHER_TIME), BOTH],
        ["- svc 1 = sticky 60", "+ class 2147483709 = t61", "+ svc 1 = sticky 61"],
    ),
    "affinity: the first endpoint goes, the second keeps its seat": (
        [web(**CLIENT_IP), BOTH],
        [web(**CLIENT_IP), ends(THERE)],
        [
            "- cnt 1 = 2",
            "- ep4 1 0 = 10.244.0.5 8080",
            "- hair4 10.244.0.5 10.244.0.5",
            "- live 1 0",
            "- pick 1 0 = 0",
            "- pick 1 1 = 1",
            "+ cnt 1 = 1",
            "+ draw 1 = d1",
            "+ pick 1 0 = 1",
        ],
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_transaction(row: tuple[list[Obj | None], list[Obj | None], list[str]]) -> None:
    before, after, expected = row
    scene = Scene()
    scene.becomes(before[0], *(piece for piece in before[1:] if piece))
    assert scene.becomes(after[0], *(piece for piece in after[1:] if piece)) == expected


def test_families_come_and_go_in_place() -> None:
    """Upgrade to dual stack and back: the first family is not touched."""
    scene = Scene()
    dual = web(clusterIPs=[VIP, "fd00:96::20"])
    six = ends(endpoint("fd00:244::5", node="node-2")) | {"addressType": "IPv6"}
    scene.becomes(web(), ends(THERE))
    made = ["ep6 2 0 = fd00:244::5 8080", "fe6 fd00:96::20 tcp 80 = 2", "np6 tcp 30080 = 2E", "svc 2 = 1"]
    assert scene.becomes(dual, ends(THERE), six) == [f"+ {line}" for line in made]
    assert scene.becomes(web(), ends(THERE), six) == [f"- {line}" for line in made]


def test_zone_of_the_node_changes_which_endpoints_it_uses() -> None:
    hinted = [{**end, "hints": {"forZones": [{"name": zone}]}} for end, zone in ((HERE, "a"), (THERE, "b"))]
    scene = Scene(replace(FACTS, zone="a"))
    scene.becomes(web(), ends(*hinted))
    scene.facts = replace(FACTS, zone="b")
    assert scene.becomes(web(), ends(*hinted)) == [
        "- ep4 1 0 = 10.244.0.5 8080",
        "- hair4 10.244.0.5 10.244.0.5",
        "+ ep4 1 0 = 10.244.1.6 8080",
    ]


def test_what_conntrack_is_told() -> None:
    """Only of UDP, and only of what has changed."""
    udp = {**PORT, "protocol": "UDP"}
    ports = [{**PORTS[0], "protocol": "UDP"}]
    svc = service("web", VIP, udp, type="NodePort")
    scene = Scene()
    first = scene.step(svc, slice_of("web", ports, HERE, THERE))
    assert [(f.family, f.address, f.port) for f in first.changed_fronts] == [(4, "", 30080)]
    assert first.stale_flows == frozenset()
    second = scene.step(svc, slice_of("web", ports, HERE))
    assert second.stale_flows == {Flows(1, "10.244.1.6", 8080)}
    assert second.changed_fronts == frozenset()
    assert scene.step(svc, slice_of("web", ports)).stale_flows == {Flows(1)}
    gone = scene.step(service("web", VIP, udp), slice_of("web", ports))
    assert [(f.family, f.address, f.port) for f in gone.changed_fronts] == [(4, "", 30080)]
    quiet = Scene()
    quiet.step(web(), BOTH)
    last = quiet.step(None)
    assert (last.stale_flows, last.changed_fronts) == (frozenset(), frozenset())
