"""What policies have dropped, in words: for `sampan why` and for /metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sampan.api.prometheus import Family, Sample
from sampan.proxy.policy.contract import Refused
from sampan.proxy.policy.model import Direction
from sampan.proxy.policy.picture import Standing
from sampan.proxy.policy.wire import Count


@dataclass(frozen=True, slots=True)
class Drop:
    """One local Pod in one direction, at one of its addresses. `policies` (namespace/name) isolate it there.

    `refused`: whom it was lately, with how many packets; most packets first.
    """

    pod: str
    uid: str
    address: str
    direction: Direction
    policies: tuple[str, ...]
    packets: int
    bytes: int
    refused: tuple[tuple[Refused, int], ...] = ()


def drops(
    standings: Mapping[str, Standing],
    dropped: Mapping[tuple[Direction, str], Count],
    refused: Mapping[Refused, Count],
) -> list[Drop]:
    """Every isolated Pod, also one of which nothing was dropped yet."""
    found = []
    for (direction, address), count in sorted(dropped.items()):
        standing = standings.get(address)
        isolation = standing.isolations.get(direction) if standing else None
        if standing is None or isolation is None:
            continue
        mine = [
            (about, each.packets)
            for about, each in refused.items()
            if about.direction == direction
            and (about.destination if direction == "ingress" else about.source) == address
        ]
        pod = standing.pod
        found.append(
            Drop(
                pod.key,
                pod.uid,
                address,
                direction,
                isolation.policies,
                count.packets,
                count.bytes,
                tuple(sorted(mine, key=lambda each: -each[1])),
            )
        )
    return found


def families(listed: Iterable[Drop]) -> list[Family]:
    """For /metrics. A Pod that several policies isolate has one row for each: none of them let it pass."""
    packets, size = [], []
    for drop in listed:
        namespace, _, pod = drop.pod.partition("/")
        for policy in drop.policies:
            labels = {
                "namespace": namespace,
                "pod": pod,
                "address": drop.address,
                "direction": drop.direction,
                "policy": policy.partition("/")[2],
            }
            packets.append(Sample(drop.packets, labels))
            size.append(Sample(drop.bytes, labels))
    told = "that no rule of the policies isolating a Pod allowed."
    return [
        Family("sampan_networkpolicy_dropped_packets_total", "counter", f"Packets {told}", packets),
        Family("sampan_networkpolicy_dropped_bytes_total", "counter", f"Bytes of packets {told}", size),
    ]
