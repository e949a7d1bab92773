"""Carries one request to the server behind a Pod or a Service, and its answer back.

Every method, path, query and body goes through as it is; what belongs to the API server does not: its
credentials and the headers of this hop. An upgrade (WebSocket, say) is handed through as raw bytes once the
server has agreed to it.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from sampan.api import errors
from sampan.apiserver.exchange import Duplex, Exchange, Upload
from sampan.apiserver.proxying import rewriting
from sampan.apiserver.proxying.backend import Backend, Header, Reply, Unreachable, head, host_of, without_hops
from sampan.apiserver.proxying.target import Target

_OURS = ("authorization", "content-length", "expect")
_OUR_PREFIXES = ("impersonate-", "x-remote-")


async def serve(exchange: Exchange, target: Target, prefix: str, rest: str) -> None:
    """Raises StatusError as long as nothing has been answered."""
    try:
        await relay(exchange, target, prefix, rest)
    except Unreachable as error:
        raise errors.unavailable(f"error trying to reach service: {error}") from error


async def relay(
    exchange: Exchange, target: Target, prefix: str, rest: str, tls: ssl.SSLContext | None = None
) -> None:
    """The same; raises Unreachable where the server gives no answer."""
    if not rest and exchange.method in ("GET", "HEAD") and not exchange.upgrade:
        # Relative links of a page work below a directory only.
        query = f"?{exchange.raw_query}" if exchange.raw_query else ""
        exchange.respond(301, b"", "text/plain", [("Location", f"{prefix}/{query}")])
        return
    exchange.connection.cancel_when_lost = True
    async with await Backend.dial(target, tls) as backend:
        await _carry(exchange, backend, target, prefix, rest or "/")


async def _carry(exchange: Exchange, backend: Backend, target: Target, prefix: str, rest: str) -> None:
    query = f"?{exchange.raw_query}" if exchange.raw_query else ""
    upload = exchange.upload
    headers = _request_headers(exchange, upload)
    sending = asyncio.get_running_loop().create_task(
        _send(backend, head(exchange.method, rest + query, headers), upload, _is_chunked(exchange))
    )
    try:
        reply = await backend.answered(bodiless=exchange.method == "HEAD")
        if reply.code == 101 and exchange.upgrade:
            await sending
            await _join(_upgraded(exchange, reply), backend)
        else:
            await _answer(exchange, backend, reply, prefix, host_of(target))
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(backend: Backend, first: bytes, upload: Upload | None, chunked: bool) -> None:
    """A server that answers before it has heard everything may hang up: that is its right."""
    with suppress(ConnectionError):
        await backend.send(first)
        while upload is not None and (piece := await upload.read()):
            await backend.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            await backend.send(b"0\r\n\r\n")


async def _answer(exchange: Exchange, backend: Backend, reply: Reply, prefix: str, host: str) -> None:
    asked_host = exchange.headers.get("host", "")
    headers = [
        (name, rewriting.location(value, prefix, host, asked_host) if name.lower() == "location" else value)
        for name, value in without_hops(reply.headers)
    ]
    empty = reply.complete and not reply.pieces
    if rewriting.is_html(reply.header("content-type")) and not empty:
        page, whole = await _page(backend)
        changed = None
        if whole:
            encoding = reply.header("content-encoding").lower()
            changed = rewriting.html(page, encoding, prefix, host, asked_host)
        if whole:
            page = page if changed is None else changed
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(page))))
    else:
        page = b""
    sized = any(name.lower() == "content-length" for name, _ in headers)
    framed = sized or empty
    exchange.start_relay(reply.code, reply.reason, headers, framed=framed)
    exchange.send(page)
    while data := await backend.body():
        exchange.send(data)
        await exchange.drain()
    exchange.end()


async def _page(backend: Backend) -> tuple[bytes, bool]:
    """(the body as far as it may be rewritten, whether that is all of it)."""
    page = bytearray()
    while data := await backend.body():
        page += data
        if len(page) > rewriting.LIMIT_BYTES:
            return bytes(page), False
    return bytes(page), True


def _request_headers(exchange: Exchange, upload: Upload | None) -> list[Header]:
    given = list(exchange.headers.items())
    headers = [
        ("-".join(part.capitalize() for part in name.split("-")), value)
        for name, value in without_hops(given, keep_upgrade=exchange.upgrade)
        if name not in _OURS and not name.startswith(_OUR_PREFIXES)
    ]
    peer = exchange.connection.transport.get_extra_info("peername")
    tls = exchange.connection.transport.get_extra_info("ssl_object") is not None
    ours = {
        "X-Forwarded-Uri": exchange.raw_path,
        "X-Forwarded-Host": exchange.headers.get("host", ""),
        "X-Forwarded-Proto": "https" if tls else "http",
    }
    before = exchange.headers.get("x-forwarded-for")
    ours["X-Forwarded-For"] = f"{before}, {peer[0]}" if before else str(peer[0])
    headers = [(name, value) for name, value in headers if name not in ours]
    headers += ours.items()
    if not exchange.upgrade:
        headers.append(("Connection", "close"))
    if upload is not None and _is_chunked(exchange):
        headers.append(("Transfer-Encoding", "chunked"))
    elif (length := exchange.headers.get("content-length")) is not None:
        headers.append(("Content-Length", length))
    return headers


def _is_chunked(exchange: Exchange) -> bool:
    return "chunked" in exchange.headers.get("transfer-encoding", "").lower()


def _upgraded(exchange: Exchange, reply: Reply) -> Duplex:
    return exchange.accept_upgrade(reply.header("upgrade"), without_hops(reply.headers))


async def _join(client: Duplex, backend: Backend) -> None:
    """Bytes both ways until either end has had enough."""

    async def inward() -> None:
        while data := await client.reader.read(64 * 1024):
            await backend.send(data)

    async def outward() -> None:
        while data := await backend.raw():
            client.write(data)
            await client.drain()

    loop = asyncio.get_running_loop()
    ways = [loop.create_task(inward()), loop.create_task(outward())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        client.close()
