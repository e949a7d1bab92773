"""Golden answers: the exact bytes that go to the client. Whole conversations are in test_http."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apiserver.exchange import UPLOAD_BYTES, Exchange, Link, Upload, chunk


class Wire:
    """What a connection was given; `finished` once the answer is whole."""

    lost = False

    def __init__(self) -> None:
        self.sent, self.finished, self.taken = b"", False, 0

    def write(self, data: bytes) -> None:
        self.sent += data

    def finish(self, exchange: Exchange, *payload: bytes) -> None:
        self.sent += b"".join(payload)
        self.finished = True

    def upload_taken(self, upload: Upload) -> None:
        self.taken += 1


def exchange(**fields: Any) -> tuple[Exchange, Wire]:
    wire = Wire()
    found = Exchange(cast(Link, wire))
    for name, value in {"method": "GET", **fields}.items():
        setattr(found, name, value)
    return found, wire


def test_a_whole_answer() -> None:
    asked, wire = exchange()
    asked.respond(404, b"{}", headers=[("Warning", "299")])
    assert wire.finished and wire.sent == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nCache-Control: no-cache, private\r\n"
        b"Warning: 299\r\nContent-Length: 2\r\n\r\n{}"
    )
    with pytest.raises(RuntimeError, match="answered twice"):
        asked.respond(200)


def test_head_is_told_the_length_and_spared_the_body() -> None:
    asked, wire = exchange(method="HEAD")
    asked.respond(200, b"body", "text/plain")
    assert wire.sent.endswith(b"Content-Length: 4\r\n\r\n")


def test_the_last_answer_of_a_connection_says_so() -> None:
    asked, wire = exchange(keep_alive=False)
    asked.respond(200)
    assert b"\r\nConnection: close\r\n" in wire.sent


def test_a_stream_is_chunked_and_ends() -> None:
    asked, wire = exchange()
    asked.start_stream(200, "text/plain")
    wire.sent = b""
    asked.send(b"")
    asked.send(b"x" * 16)
    asked.end()
    assert wire.finished and wire.sent == b"10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"


def test_an_older_client_gets_a_stream_that_ends_with_its_connection() -> None:
    asked, wire = exchange(version="1.0")
    asked.start_stream(200, "text/plain")
    assert b"chunked" not in wire.sent and b"Connection: close\r\n" in wire.sent
    wire.sent = b""
    asked.send(b"abc")
    asked.end()
    assert wire.sent == b"abc"


@pytest.mark.parametrize(
    ("framed", "framing"),
    [(True, b"Content-Length: 3\r\n\r\n"), (False, b"3\r\nTransfer-Encoding: chunked\r\n\r\n")],
)
def test_another_servers_answer_keeps_its_frame_or_gets_one(framed: bool, framing: bytes) -> None:
    asked, wire = exchange()
    asked.start_relay(418, "I'm a teapot", [("Content-Length", "3")], framed=framed)
    assert wire.sent.startswith(b"HTTP/1.1 418 I'm a teapot\r\n") and wire.sent.endswith(framing)


def test_query_parameters_keep_order_repetitions_and_emptiness() -> None:
    asked, _ = exchange(raw_query="command=a&command=b%20c&stdin=")
    assert asked.query == [("command", "a"), ("command", "b c"), ("stdin", "")]
    assert exchange()[0].query == []


@given(st.binary(min_size=1, max_size=300))
def test_a_chunk_says_how_long_it_is(data: bytes) -> None:
    size, _, rest = chunk(data).partition(b"\r\n")
    assert int(size, 16) == len(data) and rest == data + b"\r\n"


async def test_an_upload_is_read_as_it_comes_and_full_while_it_piles_up() -> None:
    wire = Wire()
    upload = Upload(cast(Link, wire))
    upload.feed(b"x" * UPLOAD_BYTES)
    assert upload.full
    assert len(await upload.read()) == UPLOAD_BYTES and not upload.full and wire.taken == 1
    upload.feed(b"last")
    upload.end()
    assert [await upload.read(), await upload.read()] == [b"last", b""]


async def test_who_reads_an_upload_hears_that_the_client_has_gone() -> None:
    connection = SimpleNamespace(lost=True)
    with pytest.raises(ConnectionResetError):
        await Upload(cast(Link, connection)).read()


def test_what_nobody_wants_takes_no_room() -> None:
    upload = Upload(cast(Link, Wire()))
    upload.drop()
    upload.feed(b"x" * UPLOAD_BYTES)
    assert not upload.full
