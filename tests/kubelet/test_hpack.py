"""Header blocks as RFC 7541 prints them in its appendix C, and what is none."""

from __future__ import annotations

import pytest

from sampan.kubelet import hpack


def test_requests_with_huffman_coding() -> None:
    """C.4: three blocks of one connection, each on what the ones before put into the table."""
    decoder = hpack.Decoder()
    first = decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))
    assert first == [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ]
    second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))
    assert second[3:] == [(":authority", "www.example.com"), ("cache-control", "no-cache")]
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[1:] == [
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ]


def test_trailers_of_a_grpc_server() -> None:
    block = "00889acac8b21234da8f013500899acac8b5254207317f8bb6aeb51fc54a20b677310b"
    fields = hpack.Decoder().decode(bytes.fromhex(block))
    assert fields == [("grpc-status", "5"), ("grpc-message", "unknown service")]


@pytest.mark.parametrize(
    "block", ["80", "ff", "ffffffffffffffffff", "c0", "40", "4005ab", "0082ffff", "3fe2ff03"]
)
def test_nonsense(block: str) -> None:
    with pytest.raises(ValueError):
        hpack.Decoder().decode(bytes.fromhex(block))


def test_table_forgets_what_does_not_fit() -> None:
    decoder = hpack.Decoder()
    for _ in range(60):
        decoder.decode(b"\x40\x01a\x7f\x00" + b"x" * 127)
    assert len(decoder._dynamic) == hpack.TABLE_BYTES // (1 + 127 + 32)
