"""`pods/NAME/log`: plain text, chunk by chunk, for as long as it is followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sampan.api import clock, errors
from sampan.api.errors import FieldError
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.api.streams import LogOptions, NodeStreams
from sampan.apiserver import params
from sampan.apiserver.exchange import Exchange

_KIND = Resource("", "v1", "PodLogOptions", "", "", True)


async def stream(exchange: Exchange, node: NodeStreams, pod: Obj, options: LogOptions) -> None:
    """Raises StatusError as long as nothing has been sent."""
    chunks = await node.logs(pod, options)
    exchange.connection.cancel_when_lost = True
    exchange.start_stream(200, "text/plain")
    async for part in chunks:
        exchange.send(part)
        await exchange.drain()
    exchange.end()


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
