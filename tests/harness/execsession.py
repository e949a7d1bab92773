"""One exec over WebSocket, no more than its frames: cheap enough to have hundreds of them."""

from __future__ import annotations

import asyncio
import ssl
import tempfile

from harness.node import Node
from sampan.client import kubeconfig

MASK = bytes(4)


def way_to(node: Node) -> tuple[tuple[str, int], ssl.SSLContext]:
    """(host, port) of the API, and what to speak to it with, as the administrator."""
    access = kubeconfig.access(node.data / "kubeconfig")
    tls = ssl.create_default_context(cadata=access.ca.decode())
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(access.client_cert + b"\n" + access.client_key)
        pem.flush()
        tls.load_cert_chain(pem.name)
    host, _, port = access.server.removeprefix("https://").rpartition(":")
    return (host, int(port)), tls


class Session:
    """`receive` and `until` answer the payload of messages, their first byte the channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(
        cls,
        address: tuple[str, int],
        tls: ssl.SSLContext,
        name: str,
        command: str,
        namespace: str = "default",
    ) -> Session:
        reader, writer = await asyncio.open_connection(*address, ssl=tls)
        words = "".join(f"&command={word}" for word in command.split())
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/exec?stdin=true&stdout=true{words}"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return cls(reader, writer)

    def send(self, data: bytes) -> None:
        self._writer.write(bytes((0x82, 0x80 | len(data))) + MASK + data)

    async def receive(self) -> bytes:
        _, size = await self._reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self._reader.readexactly(2), "big")
        return await self._reader.readexactly(size)

    async def until(self, channel: int) -> bytes:
        """What comes next on a channel, but not the empty greeting."""
        while (message := await self.receive())[0] != channel or len(message) == 1:
            continue
        return message[1:]

    def close(self) -> None:
        self._writer.transport.abort()
