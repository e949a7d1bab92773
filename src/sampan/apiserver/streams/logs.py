"""`pods/NAME/log`: plain text, chunk by chunk, for as long as it is followed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace

from sampan.api import clock, errors
from sampan.api.errors import FieldError
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.api.streams import LogOptions, NodeStreams
from sampan.apiserver import params
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.streams import websocket

_KIND = Resource("", "v1", "PodLogOptions", "", "", True)


PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io", "")


async def stream(exchange: Exchange, node: NodeStreams, pod: Obj, options: LogOptions) -> None:
    """As a body, or as messages of a WebSocket. Raises StatusError as long as nothing has been sent."""
    if websocket.asked_for(exchange):
        protocol = websocket.choose_protocol(exchange, PROTOCOLS)
        chunks = await node.logs(pod, options)
        await _send(websocket.accept(exchange, protocol), chunks, text=protocol.startswith("base64"))
        return
    chunks = await node.logs(pod, options)
    exchange.connection.cancel_when_lost = True
    exchange.start_stream(200, "text/plain")
    async for part in chunks:
        exchange.send(part)
        await exchange.drain()
    exchange.end()


async def _send(socket: websocket.WebSocket, chunks: AsyncIterator[bytes], *, text: bool) -> None:
    """An empty message first: the client knows that it is connected. What it says is of no interest."""

    async def listen() -> None:
        with suppress(websocket.Closed):
            while True:
                await socket.receive()

    async def talk() -> None:
        with suppress(ConnectionResetError):
            await socket.send(b"", text=text)
            async for part in chunks:
                await socket.send(base64.b64encode(part) if text else part, text=text)

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(listen()), loop.create_task(talk())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await socket.finish()


def log_options(query: Mapping[str, str], pod: Obj) -> LogOptions:
    """PodLogOptions of a query; raises 422 for numbers out of range, 400 for what is no number."""
    tail, since = params.number(query, "tailLines"), params.number(query, "sinceSeconds")
    limit = params.number(query, "limitBytes")
    broken: list[FieldError] = []
    if tail is not None and tail < 0:
        broken.append(errors.invalid_value("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        broken.append(errors.invalid_value("limitBytes", limit, "must be greater than 0"))
    if since is not None and since < 1:
        broken.append(errors.invalid_value("sinceSeconds", since, "must be greater than 0"))
    since_time = None
    if text := query.get("sinceTime"):
        try:
            since_time = clock.parse_time(text)
        except ValueError:
            raise errors.bad_request(f'sinceTime: "{text}" is not an RFC 3339 time') from None
        if since is not None:
            why = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            broken.append(errors.forbidden_value("", why))
    which = query.get("stream") or "All"
    if which not in ("All", "Stdout", "Stderr"):
        broken.append(errors.not_supported("stream", which, ("All", "Stdout", "Stderr")))
    elif which != "All" and tail is not None:
        why = "`tailLines` and specific `stream` are mutually exclusive for now"
        broken.append(errors.forbidden_value("", why))
    if broken:
        raise errors.invalid(_KIND, pod["metadata"]["name"], broken)
    return LogOptions(
        container=query.get("container", ""),
        follow=params.flag(query, "follow"),
        previous=params.flag(query, "previous"),
        timestamps=params.flag(query, "timestamps"),
        tail_lines=tail,
        since_seconds=since,
        since_time=since_time,
        limit_bytes=limit,
        stream=which,
    )


def in_container(options: LogOptions, container: str) -> LogOptions:
    return replace(options, container=container)
