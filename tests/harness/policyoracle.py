"""What NetworkPolicies mean, told a second time and in another way: packet by packet, from the objects alone.

Slow, without state, and nothing of it is shared with the code that it judges but the label selectors.
Beside it `table_lets_pass`: what the kernel's rules make of a packet, by the elements of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from sampan.api.objects import Obj
from sampan.api.selectors import label_selector_from
from sampan.proxy.table import Element, Table


@dataclass(frozen=True)
class Flow:
    """The first packet of a flow, with the addresses that it has between DNAT and SNAT."""

    source: str
    destination: str
    protocol: str = "TCP"
    port: int = 8080


@dataclass
class Cluster:
    node: str
    namespaces: dict[str, Obj] = field(default_factory=dict)
    pods: dict[str, Obj] = field(default_factory=dict)
    policies: dict[str, Obj] = field(default_factory=dict)

    def lets_pass(self, flow: Flow) -> bool:
        """Whether this node's rules let the flow begin."""
        if flow.source == flow.destination:
            return True
        sender, receiver = self._at(flow.source), self._at(flow.destination)
        return self._may(sender, "Egress", receiver, flow.destination, flow, receiver) and self._may(
            receiver, "Ingress", sender, flow.source, flow, receiver
        )

    def _at(self, address: str) -> Obj | None:
        for pod in self.pods.values():
            status = pod["status"]
            over = status["phase"] in ("Succeeded", "Failed") or pod["spec"].get("hostNetwork")
            if not over and address in [entry["ip"] for entry in status["podIPs"]]:
                return pod
        return None

    def _may(
        self, pod: Obj | None, way: str, peer: Obj | None, address: str, flow: Flow, receiver: Obj | None
    ) -> bool:
        if pod is None or pod["spec"]["nodeName"] != self.node:
            return True
        isolating = [
            policy["spec"]
            for policy in self.policies.values()
            if policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
            and way in policy["spec"]["policyTypes"]
            and _chosen(policy["spec"]["podSelector"], pod)
        ]
        if not isolating:
            return True
        rules, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
        home = pod["metadata"]["namespace"]
        return any(
            self._peer_fits(rule.get(peers), peer, address, home)
            and _port_fits(rule.get("ports"), flow, receiver)
            for spec in isolating
            for rule in spec.get(rules) or ()
        )

    def _peer_fits(self, listed: list[Obj] | None, peer: Obj | None, address: str, home: str) -> bool:
        if not listed:
            return True
        for entry in listed:
            if "ipBlock" in entry:
                block = entry["ipBlock"]
                inside = _in(address, block["cidr"])
                if inside and not any(_in(address, hole) for hole in block.get("except") or ()):
                    return True
                continue
            if peer is None:
                continue
            theirs = peer["metadata"]["namespace"]
            if "namespaceSelector" in entry:
                space = self.namespaces.get(theirs)
                right_place = space is not None and _chosen(entry["namespaceSelector"], space)
            else:
                right_place = theirs == home
            if right_place and ("podSelector" not in entry or _chosen(entry["podSelector"], peer)):
                return True
        return False


def _port_fits(listed: list[Obj] | None, flow: Flow, receiver: Obj | None) -> bool:
    if not listed:
        return True
    for entry in listed:
        if entry["protocol"] != flow.protocol:
            continue
        wanted = entry.get("port")
        if wanted is None:
            return True
        if isinstance(wanted, int):
            if wanted <= flow.port <= entry.get("endPort", wanted):
                return True
        elif receiver is not None:
            for container in receiver["spec"]["containers"]:
                for port in container["ports"]:
                    declared = (port["name"], port.get("protocol", "TCP"), port["containerPort"])
                    if declared == (wanted, flow.protocol, flow.port):
                        return True
    return False


def _chosen(selector: Obj, obj: Obj) -> bool:
    return label_selector_from(selector).matches(obj["metadata"].get("labels") or {})


def _in(address: str, cidr: str) -> bool:
    return ip_address(address) in ip_network(cidr, strict=False)


# --- the rules, by their elements ---------------------------------------------------------------------------


def table_lets_pass(table: Table, flow: Flow) -> bool:
    """What chain `forward` makes of it."""
    version = ip_address(flow.source).version
    if Element(f"self{version}", (flow.source, flow.destination)) in table:
        return True
    return _judged(table, "eg", flow.source, flow.destination, flow) and _judged(
        table, "in", flow.destination, flow.source, flow
    )


def _judged(table: Table, way: str, pod: str, far: str, flow: Flow) -> bool:
    version = ip_address(pod).version
    found = table.get(Element(f"{way}{version}", (pod,)))
    if found is None:
        return True
    (of_class,) = found
    assert Element(f"drop{way}{version}", (pod,)) in table
    protocol = flow.protocol.lower()
    for identity in _identities(table, version, far):
        pair = (of_class, identity)
        if (
            Element("peers", pair) in table
            or Element("protos", (*pair, protocol)) in table
            or Element("allow", (*pair, protocol, flow.port)) in table
        ):
            return True
        span = table.get(Element("spans", pair))
        piece = _piece(table, "ports", flow.port)
        if span and piece and Element("span", (span[0], protocol, piece)) in table:
            return True
    return False


def _identities(table: Table, version: int, address: str) -> Iterable[int]:
    yield 1
    found = table.get(Element(f"id{version}", (address,)))
    if found:
        yield int(found[0])
    held = _piece(table, f"net{version}", int(ip_address(address)))
    if held:
        yield held


def _piece(table: Table, name: str, number: int) -> int:
    holding = [
        int(value[0])
        for element, value in _of(table, name).items()
        if _number(element.key[0]) <= number <= _number(element.key[1])
    ]
    assert len(holding) <= 1, "intervals overlap"
    return holding[0] if holding else 0


def _of(table: Table, name: str) -> Mapping[Element, tuple[str | int, ...]]:
    return {element: value for element, value in table.items() if element.set == name}


def _number(key: str | int) -> int:
    return key if isinstance(key, int) else int(ip_address(key))
