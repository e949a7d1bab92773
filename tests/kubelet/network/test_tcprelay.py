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
