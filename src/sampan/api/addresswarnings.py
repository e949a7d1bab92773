"""Addresses and networks that are valid but better written another way (pure).

Two spellings of one address are two texts to whoever compares texts; RFC 5952 says which one is canonical.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from sampan.api import names
from sampan.api.objects import Obj


def of_address(path: str, text: str) -> Iterator[str]:
    address = names.parse_ip(text)
    if address is None or str(address) == text:
        return
    yield f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")'


def of_network(path: str, text: str) -> Iterator[str]:
    """Host bits that are set mean nothing; a network's address may be as oddly written as any."""
    network = names.parse_network(text)
    if network is None:
        return
    interface = ipaddress.ip_interface(text.strip())
    if interface.ip != network.network_address:
        yield (
            f'{path}: CIDR value "{text}" is ambiguous in this context '
            f'(should be "{network}" or "{interface.ip}/{network.max_prefixlen}"?)'
        )
    elif str(network) != text:
        yield f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")'


# --- kinds that hold addresses ------------------------------------------------------------------------------

_MANAGED_ENDPOINTS = "endpoints.kubernetes.io/managed-by"
_MANAGED_SLICE = "endpointslice.kubernetes.io/managed-by"


def of_endpoints(obj: Obj) -> Iterator[str]:
    """What a controller wrote nobody can write better."""
    if _MANAGED_ENDPOINTS in (obj["metadata"].get("labels") or {}):
        return
    for index, subset in enumerate(obj.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for number, entry in enumerate((subset or {}).get(field) or ()):
                path = f"subsets[{index}].{field}[{number}].ip"
                yield from of_address(path, (entry or {}).get("ip") or "")


def of_slice(obj: Obj) -> Iterator[str]:
    if (obj["metadata"].get("labels") or {}).get(_MANAGED_SLICE, "").endswith(".k8s.io"):
        return
    if obj.get("addressType") == "FQDN":
        yield "addressType: FQDN endpoints are deprecated"
        return
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        for number, address in enumerate((endpoint or {}).get("addresses") or ()):
            yield from of_address(f"endpoints[{index}].addresses[{number}]", address or "")


def of_network_policy(obj: Obj) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate((obj.get("spec") or {}).get(direction) or ()):
            for number, peer in enumerate((rule or {}).get(peers) or ()):
                block, path = (
                    (peer or {}).get("ipBlock") or {},
                    f"spec.{direction}[{index}].{peers}[{number}]",
                )
                yield from of_network(f"{path}.ipBlock.cidr", block.get("cidr") or "")
                for place, text in enumerate(block.get("except") or ()):
                    yield from of_network(f"{path}.ipBlock.except[{place}]", text or "")
