"""Chains made on demand say what the text of the ruleset says: the kernel lists both alike."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from pathlib import Path

import pytest

from sampan.kubelet.network import namespace
from sampan.proxy.nft import KernelNft
from sampan.proxy.ruleset import FamilyConstants, text
from sampan.proxy.table import STICKY, Change, Element, Table

FAMILIES = (
    FamilyConstants(4, "100.64.0.2", "10.244.0.0/24", ("10.96.0.0/16",)),
    FamilyConstants(6, "fd00:64::2", "fd00:244::/64", ("fd00:96::/112",)),
)
MADE: Table = {
    Element("class", (40,)): ("n40",),
    Element("class", (STICKY | 86_400,)): ("t86400",),
    Element("draw", (7,)): ("d7",),
}


@pytest.mark.root
@pytest.mark.parametrize("families", [FAMILIES, FAMILIES[:1], FAMILIES[1:]], ids=["46", "4", "6"])
async def test_as_text_and_as_messages(tmp_path: Path, families: tuple[FamilyConstants, ...]) -> None:
    pin = tmp_path / "net"
    namespace.create(pin)
    traveller = namespace.Traveller("chains")

    async def opened(family: int, kind: int, proto: int) -> socket.socket:
        return await traveller.socket(str(pin), family, socket.SocketKind(kind), proto)

    async def run(*words: str, given: str = "") -> str:
        argv = ["nsenter", f"--net={pin}", "nft", *words]
        done = await asyncio.to_thread(
            subprocess.run, argv, input=given, capture_output=True, text=True, check=True
        )
        return str(done.stdout)

    async def load(rules: str) -> None:
        await run("-f", "-", given=rules)

    async def listed() -> str:
        chains = [await run("list", "chain", "inet", "sampan", value[0]) for value in MADE.values()]
        maps = [await run("list", "map", "inet", "sampan", name) for name in ("class", "draw")]
        verdicts = sorted(re.findall(r"0x[0-9a-f]+ : (?:goto|jump) \w+", "".join(maps)))
        return "\n".join((*chains, *verdicts))

    nft = KernelNft(opened, load, families)
    try:
        await nft.open()
        await nft.create()
        nft.apply(Change(add=tuple(MADE.items())))
        by_message = await listed()
        await load(text(families, MADE))
        assert await listed() == by_message
    finally:
        nft.close()
        traveller.close()
        namespace.unpin(pin)
