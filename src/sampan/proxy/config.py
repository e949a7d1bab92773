"""What the proxy is told of its node."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.proxy import audits
from sampan.proxy.ruleset import FamilyConstants


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """The node as the proxy must know it. Primary family first; one Pod CIDR per node address.

    `own_ips`: service addresses that the node answers itself (cluster DNS on its loopback). `cluster_cidrs`:
    the Pods of all nodes. `load_balancers`: addresses handed out to Services; a free one is nobody's.
    `health_port`, `metrics_port`: where the proxy's own pages are; 0: nowhere.
    """

    node_name: str
    node_ips: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    own_ips: frozenset[str] = frozenset()
    cluster_cidrs: tuple[str, ...] = ()
    load_balancers: tuple[str, ...] = ()
    health_port: int = 0
    metrics_port: int = 0
    audit_every_s: float = audits.EVERY_S

    @property
    def families(self) -> tuple[FamilyConstants, ...]:
        return tuple(
            FamilyConstants(
                _version(node),
                node,
                _like(node, self.pod_cidrs)[0],
                _like(node, self.service_cidrs + self.load_balancers),
                _like(node, self.cluster_cidrs),
            )
            for node in self.node_ips
        )


def _like(node: str, cidrs: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the same family as the node's address."""
    return tuple(cidr for cidr in cidrs if _version(cidr) == _version(node))


def _version(address: str) -> int:
    return 6 if ":" in address else 4
