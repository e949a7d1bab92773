"""What a relay does with a connection that nobody redirected; the rest is shown in test_egress."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network

import pytest

from sampan.kubelet.network import tcprelay


async def test_a_connection_to_the_relay_itself_is_reset() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = await tcprelay.relay(listener, [ip_network("127.0.0.0/8")])
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(30):
                await reader.read()
        writer.close()
    finally:
        server.close()


async def test_a_client_has_so_many_connections_and_room_again_when_they_end() -> None:
    far = await asyncio.start_server(lambda reader, writer: writer.write(b"here"), "127.0.0.1", 0)
    place = "127.0.0.1", far.sockets[0].getsockname()[1]
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = await tcprelay.serve(listener, lambda sock: (place,), 2)

    async def heard() -> tuple[bytes, asyncio.WriteTransport]:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(30):
            return await reader.readexactly(4), writer.transport

    first, second = await heard(), await heard()
    assert first[0] == second[0] == b"here"
    with pytest.raises(ConnectionResetError):
        await heard()
    first[1].abort()
    for _ in range(500):  # until the relay has noticed
        try:
            third = await heard()
            break
        except ConnectionResetError:
            await asyncio.sleep(0.01)
    assert third[0] == b"here"
    for _, transport in (second, third):
        transport.abort()
    server.close()
    far.close()


async def test_the_first_place_that_takes_it() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listener, far, nobody = (socket.create_server(("127.0.0.1", 0)) for _ in range(3))
    with nobody:
        nowhere = nobody.getsockname()
    places = [nowhere, far.getsockname()]
    for sock in (listener, far):
        sock.setblocking(False)
    server = await tcprelay.serve(listener, lambda _: places)
    async with await asyncio.start_server(greet, sock=far), asyncio.timeout(30):
        for expected in (b"hello", None):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            if expected:
                assert await reader.read() == expected
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            writer.close()
            places.clear()
    server.close()
