"""Devices as bytes."""

from __future__ import annotations

import pytest

from sampan.kubelet.network import devices
from sampan.kubelet.network.devices import Link, LinkEnd
from sampan.kubelet.network.netlink import Reply

GOLDEN = {
    "create_veth": (
        devices.create_veth(
            LinkEnd("pod5", 1005, b"\x0a\x58\0\0\0\1"), LinkEnd("eth0", 100, b"\x0a\x58\0\0\0\2"), 9
        ),
        16, 0x605,
        "00000000 ed030000 01000000 01000000"
        "09000300 706f643500 000000" "0a000100 0a5800000001 0000"
        "44001200" "08000100 76657468" "38000200" "34000100"
        "00000000 64000000 00000000 00000000"
        "09000300 6574683000 000000" "0a000100 0a5800000002 0000" "08001c00 09000000",
    ),
    "give_no_address": (
        devices.give_no_address(7), 19, 0x5,
        "00000000 07000000 00000000 00000000" "10001a00" "0c000a00" "05000800 01000000",
    ),
    "enslave_link": (
        devices.enslave_link(7, 3), 19, 0x5, "00000000 07000000 00000000 00000000" "08000a00 03000000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_request_bytes(name: str) -> None:
    request, kind, flags, body = GOLDEN[name]
    assert (request.kind, request.flags) == (kind, flags)
    assert request.body.hex() == body.replace(" ", "")


def test_both_ends_of_a_small_veth_are_small() -> None:
    end, peer = LinkEnd("pod5", 1005, b""), LinkEnd("eth0", 100, b"")
    size = devices.size_of_link(1450)
    assert devices.create_veth(end, peer, 9, 1450).body.count(size) == 2
    assert size not in devices.create_veth(end, peer, 9).body


def test_link_of_a_dump() -> None:
    made = devices.create_link("bridge", LinkEnd("lan", 7, b"\x0a\x58\0\0\0\1"))
    assert devices.links([Reply(16, 0, 1, made.body)]) == [Link(7, "lan", 0, "")]
