"""Ranges as they are written on the command line: of node ports, and of addresses."""

from __future__ import annotations

from ipaddress import ip_network

from sampan.cli.errors import UserError

MAX_PORT = 65535


def node_ports(text: str) -> tuple[int, int]:
    """FIRST-LAST, both included, or FIRST+COUNT for FIRST and as many more."""
    advice = "For instance: --service-node-port-range 30000-32767"
    for mark in ("-", "+"):
        first, found, last = text.partition(mark)
        if found and first.isdecimal() and last.isdecimal():
            low, high = int(first), int(last) + (int(first) if mark == "+" else 0)
            if 0 < low <= high <= MAX_PORT:
                return low, high
            raise UserError(f"--service-node-port-range {text!r} is no range within 1-{MAX_PORT}", advice)
    raise UserError(f"--service-node-port-range {text!r} is not FIRST-LAST", advice)


def networks(option: str, text: str) -> list[str]:
    """Networks with commas between them; "" for none."""
    found = []
    for word in filter(None, text.split(",")):
        try:
            found.append(str(ip_network(word)))
        except ValueError as error:
            raise UserError(f"{option} {word!r}: {error}", f"For instance: {option} 192.0.2.0/24") from error
    return found
