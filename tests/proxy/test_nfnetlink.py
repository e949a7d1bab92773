"""Frames of netfilter messages, there and back."""

from __future__ import annotations

from sampan.proxy import nfnetlink


def test_a_batch_asks_for_the_verdict_of_its_last_message_alone() -> None:
    data, last = nfnetlink.batch([(12, nfnetlink.CREATE, b"abcd"), (12, nfnetlink.CREATE, b"efgh")], 7)
    found = list(nfnetlink.replies(data))
    assert [(reply.kind, reply.sequence) for reply in found] == [(16, 7), (2572, 8), (2572, 9), (17, 10)]
    assert last == 9
    assert [int.from_bytes(data[at + 6 : at + 8], "little") for at in (20, 40)] == [0x401, 0x405]


def test_attributes_are_read_as_they_were_written() -> None:
    inner = nfnetlink.text(1, "eg4") + nfnetlink.number(2, -4)
    data = nfnetlink.attribute(3, b"12345") + nfnetlink.nested(4, inner)
    found = dict(nfnetlink.attributes(data))
    assert found == {3: b"12345", 4: inner}
    assert dict(nfnetlink.attributes(found[4])) == {1: b"eg4\0", 2: b"\xff\xff\xff\xfc"}
