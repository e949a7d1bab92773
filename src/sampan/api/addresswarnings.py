"""Addresses and networks that are valid but better written another way (pure).

Two spellings of one address are two texts to whoever compares texts; RFC 5952 says which one is canonical.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from sampan.api import names


def of_address(path: str, text: str) -> Iterator[str]:
    address = names.parse_ip(text)
    if address is None or str(address) == text:
        return
    if address.version == 6 and address.ipv4_mapped is not None:
        mapped = address.ipv4_mapped
        yield (
            f'{path}: non-standard IP address "{text}" will be considered invalid in a future Kubernetes '
            f'release: use "{mapped}"'
        )
    else:
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
