"""Port-forward: TCP connections into a Pod, carried by SPDY streams or by channels of a WebSocket.

Three forms: SPDY inside WebSocket messages (kubectl since 1.31), SPDY on the bare connection (older kubectl),
and the oldest WebSocket form with `?ports=` (Python and JavaScript clients).
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.streams import NodeStreams
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.streams import spdy, websocket
from sampan.apiserver.streams.channels import Channels
from sampan.apiserver.streams.pipe import Pipe

log = logging.getLogger(__name__)

TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
PROTOCOL = "portforward.k8s.io"
_MAX_HALVES = 256
"""Streams whose other half has not come: a client opens both in one go."""
_PIECE_BYTES = 64 * 1024


async def serve(exchange: Exchange, node: NodeStreams, pod: Obj) -> None:
    """Serves until the client leaves; raises StatusError when it asked for no upgrade that is served."""
    if websocket.asked_for(exchange):
        if TUNNEL_PROTOCOL in exchange.headers.get("sec-websocket-protocol", ""):
            protocol = websocket.choose_protocol(exchange, (TUNNEL_PROTOCOL,))
            tunnel = spdy.Connection(spdy.Tunnel(websocket.accept(exchange, protocol)))
            await _serve_spdy(tunnel, node, pod)
        else:
            ports = _ports(exchange)
            await _PortChannels(Channels(exchange), node, pod, ports).run()
    elif spdy.asked_for(exchange):
        await _serve_spdy(spdy.accept(exchange, (PROTOCOL,)), node, pod)
    else:
        raise errors.bad_request("Upgrade request required")


async def _serve_spdy(connection: spdy.Connection, node: NodeStreams, pod: Obj) -> None:
    """Each pair of streams with the same `requestid` is one TCP connection."""
    waiting: dict[str, dict[str, spdy.Stream]] = {}
    try:
        async with asyncio.TaskGroup() as tasks:
            while (stream := await connection.next_stream()) is not None:
                pair = waiting.setdefault(stream.headers.get("requestid", ""), {})
                pair[stream.headers.get("streamtype", "")] = stream
                if len(waiting) > _MAX_HALVES:
                    raise _Ended
                if {"data", "error"} <= pair.keys():
                    del waiting[stream.headers.get("requestid", "")]
                    pair["error"].drop()
                    tasks.create_task(_forward(pair["data"], pair["error"], node, pod))
            raise _Ended
    except* _Ended:
        pass
    finally:
        await connection.finish()


class _Ended(Exception):
    """The client has gone: what is still being forwarded ends with it."""


async def _forward(data: spdy.Stream, error: spdy.Stream, node: NodeStreams, pod: Obj) -> None:
    try:
        try:
            port = int(data.headers.get("port", ""))
            reader, writer = await node.port_forward(pod, port)
        except (StatusError, OSError, ValueError) as failure:
            asked, name = data.headers.get("port"), pod["metadata"]["name"]
            text = f"error forwarding port {asked} to pod {name}: {failure}"
            await error.write(text.encode())
            await error.end()
            await data.end()
            return
        try:
            await _both_ways(data, reader, writer)
        finally:
            writer.close()
        await error.end()
    except ConnectionResetError:
        return


async def _both_ways(stream: spdy.Stream, reader: StreamReader, writer: StreamWriter) -> None:
    """Copies until the Pod's side has ended; a client's half-close is passed on."""
    task = asyncio.get_running_loop().create_task(_pour(stream, writer))
    try:
        with suppress(ConnectionError):
            while piece := await reader.read(_PIECE_BYTES):
                await stream.write(piece)
        await stream.end()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _PortChannels:
    """The oldest form: for port i, channel 2i carries data, 2i+1 errors; each begins with the port number.

    It cannot close one channel alone: when the last connection has ended, so has the session.
    """

    def __init__(self, channels: Channels, node: NodeStreams, pod: Obj, ports: list[int]) -> None:
        self._channels, self._node, self._pod, self._ports = channels, node, pod, ports
        self._inward: dict[int, Pipe] = {}

    async def run(self) -> None:
        try:
            for index, port in enumerate(self._ports):
                for channel in (2 * index, 2 * index + 1):
                    await self._channels.send(channel, port.to_bytes(2, "little"))
            async with asyncio.TaskGroup() as tasks:
                for index, port in enumerate(self._ports):
                    await self._open(tasks, index, port)
                with suppress(websocket.Closed):
                    while True:
                        await self._take(*await self._channels.receive())
                raise _Ended
        except* (_Ended, ConnectionResetError):
            pass
        finally:
            with suppress(ConnectionResetError):
                await self._channels.finish()

    async def _open(self, tasks: asyncio.TaskGroup, index: int, port: int) -> None:
        try:
            reader, writer = await self._node.port_forward(self._pod, port)
        except (StatusError, OSError) as failure:
            await self._channels.send(2 * index + 1, f"error forwarding port {port}: {failure}".encode())
            return
        self._inward[index] = Pipe()
        tasks.create_task(self._carry(index, reader, writer))

    async def _carry(self, index: int, reader: StreamReader, writer: StreamWriter) -> None:
        inward = asyncio.get_running_loop().create_task(_pour(self._inward[index], writer))
        try:
            with suppress(OSError):
                while piece := await reader.read(_PIECE_BYTES):
                    await self._channels.send(2 * index, piece)
        finally:
            inward.cancel()
            await asyncio.gather(inward, return_exceptions=True)
            writer.close()
        del self._inward[index]
        if not self._inward:
            self._channels.close()

    async def _take(self, channel: int, data: bytes) -> None:
        index, is_error = divmod(channel, 2)
        if not is_error and (pipe := self._inward.get(index)) is not None:
            await pipe.put(data, self._channels.gone)


async def _pour(source: Pipe | spdy.Stream, writer: StreamWriter) -> None:
    """Into the Pod until either side ends; a half-close is passed on."""
    try:
        while piece := await source.read():
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        pass  # the Pod's side has hung up: what it still says is read, what comes for it is not
    finally:
        source.drop()


def _ports(exchange: Exchange) -> list[int]:
    texts = [text for name, value in exchange.query if name == "ports" for text in value.split(",")]
    try:
        ports = [int(text) for text in texts]
    except ValueError:
        raise errors.bad_request(f"ports {texts} are no numbers") from None
    if not ports or not all(0 < port < 65536 for port in ports):
        raise errors.bad_request("at least one port between 1 and 65535 must be given in `ports`")
    return ports
