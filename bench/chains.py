"""The rules of the same Services laid out as kube-proxy's nftables mode does, to compare with ours.

From KEP-3866: a verdict map leads from (address, protocol, port) to a chain per service port, which marks
what has to be masqueraded and draws among verdicts to a chain per endpoint, which translates. Only what the
Services of this bench need is made: cluster addresses and TCP. kube-proxy hands such text to `nft`, at the
start and for each change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

TABLE = "chained"
_MASQUERADE = "0x4000"


class ChainedService(NamedTuple):
    name: str
    address: str
    port: int
    endpoints: Sequence[tuple[str, int]]


def ruleset(services: Iterable[ChainedService], cluster_cidr: str) -> str:
    """The whole table."""
    listed = list(services)
    lines = [
        f"table ip {TABLE} {{",
        " map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }",
        " chain mark-for-masquerade { }",
        " chain services { }",
        " chain prerouting { type nat hook prerouting priority -100; jump services; }",
        " chain output { type nat hook output priority -100; jump services; }",
        " chain postrouting {",
        "  type nat hook postrouting priority 100;",
        f"  mark and {_MASQUERADE} == 0 return",
        f"  mark set mark xor {_MASQUERADE}",
        "  masquerade fully-random",
        " }",
        "}",
        f"add rule ip {TABLE} mark-for-masquerade mark set mark or {_MASQUERADE}",
        f"add rule ip {TABLE} services ip daddr . meta l4proto . th dport vmap @service-ips",
    ]
    for service in listed:
        lines += [f"add chain ip {TABLE} {_chain(service)}"]
        for endpoint in service.endpoints:
            lines += _endpoint(service, endpoint)
        lines += _dispatch(service, cluster_cidr)
        lines.append(
            f"add element ip {TABLE} service-ips "
            f"{{ {service.address} . tcp . {service.port} : goto {_chain(service)} }}"
        )
    return "\n".join(lines) + "\n"


def change(old: ChainedService, new: ChainedService, cluster_cidr: str) -> str:
    """Other endpoints for one Service: what changed and nothing else."""
    lines = [f"flush chain ip {TABLE} {_chain(new)}"]
    for endpoint in new.endpoints:
        if endpoint not in old.endpoints:
            lines += _endpoint(new, endpoint)
    lines += _dispatch(new, cluster_cidr)
    for endpoint in old.endpoints:
        if endpoint not in new.endpoints:
            chain = _endpoint_chain(new, endpoint)
            lines += [f"flush chain ip {TABLE} {chain}", f"delete chain ip {TABLE} {chain}"]
    return "\n".join(lines) + "\n"


def _endpoint(service: ChainedService, endpoint: tuple[str, int]) -> list[str]:
    chain = _endpoint_chain(service, endpoint)
    return [
        f"add chain ip {TABLE} {chain}",
        f"add rule ip {TABLE} {chain} ip saddr {endpoint[0]} jump mark-for-masquerade",
        f"add rule ip {TABLE} {chain} meta l4proto tcp dnat to {endpoint[0]}:{endpoint[1]}",
    ]


def _dispatch(service: ChainedService, cluster_cidr: str) -> list[str]:
    verdicts = ", ".join(
        f"{number} : goto {_endpoint_chain(service, endpoint)}"
        for number, endpoint in enumerate(service.endpoints)
    )
    chain = _chain(service)
    return [
        f"add rule ip {TABLE} {chain} ip daddr {service.address} tcp dport {service.port} "
        f"ip saddr != {cluster_cidr} jump mark-for-masquerade",
        f"add rule ip {TABLE} {chain} numgen random mod {len(service.endpoints)} vmap {{ {verdicts} }}",
    ]


def _chain(service: ChainedService) -> str:
    return f"service-{_digest(service.name)}-default/{service.name}/tcp/"


def _endpoint_chain(service: ChainedService, endpoint: tuple[str, int]) -> str:
    name = f"{service.name}{endpoint[0]}:{endpoint[1]}"
    return f"endpoint-{_digest(name)}-default/{service.name}/tcp/__{endpoint[0]}/{endpoint[1]}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8].upper()
