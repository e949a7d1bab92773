"""Exact bytes of rules' expressions."""

from __future__ import annotations

import pytest

from sampan.proxy.policy import expressions as ex

R = ex.REGISTERS
GOLDEN = {
    "ip saddr": (
        ex.source(4, R),
        "34000180 0c000100 7061796c 6f616400 24000280 "
        "08000100 00000008 08000200 00000001 08000300 0000000c 08000400 00000004",
    ),
    "@eg4": (
        ex.found("eg4", R),
        "24000180 0b000100 6c6f6f6b 75700000 14000280 08000100 65673400 08000200 00000008",
    ),
    "map @in4": (
        ex.translated("in4", R, R),
        "2c000180 0b000100 6c6f6f6b 75700000 1c000280 08000100 696e3400 08000200 00000008 08000300 00000008",
    ),
    "drop": (
        ex.verdict(ex.DROP),
        "30000180 0e000100 696d6d65 64696174 65000000 1c000280 "
        "08000100 00000000 10000280 0c000280 08000100 00000000",
    ),
}


@pytest.mark.parametrize("written", GOLDEN)
def test_golden_bytes(written: str) -> None:
    found, wanted = GOLDEN[written]
    assert found.hex(" ", 4) == wanted


def test_addresses_are_as_long_as_their_family_has_them() -> None:
    assert ex.destination(4, R)[-20:].hex(" ", 4) == "00000001 08000300 00000010 08000400 00000004"
    assert ex.destination(6, R)[-20:].hex(" ", 4) == "00000001 08000300 00000018 08000400 00000010"
