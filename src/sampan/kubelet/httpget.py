"""A GET as probes and hooks send it: one connection, no verification of certificates, the body cut.

HTTP/1.1 by hand, because a probe must be cheap and must open its socket inside the node's network namespace.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from sampan.api.objects import Obj
from sampan.kubelet.network.contract import Namespace

Headers: TypeAlias = Sequence[tuple[str, str]]

USER_AGENT = "kube-probe/1.35"
BODY_LIMIT = 10 * 1024
HEAD_LIMIT = 64 * 1024
REDIRECTS = 10


class Unanswered(Exception):
    """No HTTP answer; the text is worded as upstream's client does."""

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


async def connect(netns: Namespace, host: str, port: int) -> socket.socket:
    """A TCP connection out of the namespace; OSError as the kernel says it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = await netns.socket(family, socket.SOCK_STREAM)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def dial_error(host: str, port: int, error: OSError) -> str:
    """`dial tcp 10.1.0.5:80: connect: connection refused`."""
    text = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"dial tcp {_address(host, port)}: connect: {text}"


def headers_of(action: Obj) -> Headers:
    """`httpHeaders` of an HTTPGetAction; a name may stand there more than once."""
    return [(header["name"], header.get("value", "")) for header in action.get("httpHeaders") or ()]


async def get(netns: Namespace, scheme: str, host: str, port: int, path: str, headers: Headers) -> Answer:
    """Follows redirects on the same host; raises Unanswered. The caller sets the deadline."""
    url = f"{scheme.lower()}://{_address(host, port)}{path if path.startswith('/') else '/' + path}"
    for _ in range(REDIRECTS):
        answer = await _once(netns, url, headers)
        target = answer.headers.get("location")
        if answer.code not in (301, 302, 303, 307, 308) or not target:
            return answer
        url = urljoin(url, target)
        if urlsplit(url).hostname != host:
            # What another host says is nothing about this one: the redirect itself is the answer.
            return answer
    raise Unanswered(f'Get "{url}": stopped after {REDIRECTS} redirects')


async def _once(netns: Namespace, url: str, headers: Headers) -> Answer:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        sock = await connect(netns, host, port)
    except OSError as error:
        text = f'Get "{url}": {dial_error(host, port, error)}'
        raise Unanswered(text, refused=error.errno == errno.ECONNREFUSED) from error
    try:
        tls = _unverified() if parts.scheme == "https" else None
        name = host if tls else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=name, limit=HEAD_LIMIT
        )
    except OSError as error:
        sock.close()
        raise Unanswered(f'Get "{url}": {error}') from error
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        writer.write(_request(target, parts.netloc, headers))
        return await _answer(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        cause = "EOF" if isinstance(error, asyncio.IncompleteReadError) else str(error)
        raise Unanswered(f'Get "{url}": {cause}') from error
    finally:
        writer.transport.abort()


def _request(target: str, host: str, headers: Headers) -> bytes:
    """As given, several of one name too. An empty one of the usual three stands for none at all."""
    given = {name.lower() for name, value in headers if value or name.lower() != "host"}
    usual = {"Host": host, "User-Agent": USER_AGENT, "Accept": "*/*"}
    fields = [(name, value) for name, value in usual.items() if name.lower() not in given]
    unset = {name.lower() for name in usual}
    fields += [(name, value) for name, value in headers if value or name.lower() not in unset]
    lines = (f"{name}: {value}\r\n" for name, value in fields)
    return f"GET {target} HTTP/1.1\r\n{''.join(lines)}Connection: close\r\n\r\n".encode()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = head[0].partition(" ")
    if not version.startswith("HTTP/"):
        raise ValueError(f'malformed HTTP response "{head[0]}"')
    headers: dict[str, str] = {}
    for line in head[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    length = headers.get("content-length", "")
    limit = min(int(length), BODY_LIMIT) if length.isdigit() else BODY_LIMIT
    body = b""
    # The body only decorates a message: what has come when the connection ends is enough.
    while len(body) < limit and (data := await reader.read(limit - len(body))):
        body += data
    return Answer(int(rest[:3]), body.decode(errors="replace"), headers)


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
