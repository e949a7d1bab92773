"""Transactions and listings against the kernel's own nf_tables, in a namespace made for it."""

from __future__ import annotations

import errno
import os

import pytest

from harness.lab import Lab
from sampan.proxy import nfnetlink
from sampan.proxy.contract import NftFault, TableDrifted
from sampan.proxy.nfnetlink import CREATE, INET, attribute, family, nested, text
from sampan.proxy.tablelink import Listing, TableLink

pytestmark = pytest.mark.root

NEW_ELEMENTS = 12
RULES = """
add table inet trial
add set inet trial known { type mark; }
add chain inet trial there
"""


def add(mark: int, set_name: str = "known") -> tuple[int, int, bytes]:
    """Message, as `nfnetlink.batch` takes it, that adds one element."""
    key = nested(1, attribute(1, mark.to_bytes(4, "little")))
    body = family(INET) + text(1, "trial") + text(2, set_name) + nested(3, nested(1, key))
    return NEW_ELEMENTS, CREATE | nfnetlink.EXCLUSIVE, body


async def opened(lab: Lab) -> TableLink:
    await lab.node.load_nft(RULES)
    link = TableLink(lab.node.socket, "trial")
    await link.open()
    return link


def parts(listing: Listing) -> dict[str, int]:
    return {name: len(replies) for name, replies in listing}


async def test_chains_that_are_there_and_others(lab: Lab) -> None:
    link = await opened(lab)
    try:
        assert link.has_chain("there")
        assert not link.has_chain("elsewhere")
    finally:
        link.close()


async def test_a_batch_is_taken_whole_or_not_at_all(lab: Lab) -> None:
    link = await opened(lab)
    try:
        link.commit(lambda first: nfnetlink.batch([add(1)], first), 1)
        with pytest.raises(TableDrifted, match=os.strerror(errno.EEXIST)):
            link.commit(lambda first: nfnetlink.batch([add(2), add(1)], first), 2)
        shown = await lab.node.execute(("nft", "list", "set", "inet", "trial", "known"))
        assert "0x00000001" in shown
        assert "0x00000002" not in shown
        link.commit(lambda first: nfnetlink.batch([add(2)], first), 1)
    finally:
        link.close()


async def test_what_the_kernel_does_not_understand_is_a_fault_of_ours(lab: Lab) -> None:
    link = await opened(lab)
    try:
        with pytest.raises(NftFault) as refused:
            link.commit(lambda first: nfnetlink.batch([(NEW_ELEMENTS, CREATE, family(INET))], first), 1)
        assert not isinstance(refused.value, TableDrifted)
    finally:
        link.close()


async def test_a_set_that_an_older_table_lacks_is_empty(lab: Lab) -> None:
    link = await opened(lab)
    try:
        link.commit(lambda first: nfnetlink.batch([add(7)], first), 1)
        found = await link.listed(["known", "unheard"], parts)
        assert found["known"] > 0
        assert found["unheard"] == 0
    finally:
        link.close()
