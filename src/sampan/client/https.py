"""The API over the wire: requests become HTTP, Status bodies StatusErrors, watches lines of JSON.

Connections are kept and used again; a watch has one of its own and closes it when it ends.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import orjson

import sampan
from sampan.api.errors import StatusError, status_error
from sampan.api.objects import Obj
from sampan.api.request import JSON, Request, WatchEvent
from sampan.client.errors import Unreachable
from sampan.client.http import Connection
from sampan.client.kubeconfig import Access

METHODS: Mapping[str, str] = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
IDLE_MOST = 16
"""Connections kept for later requests; what is open beyond that is closed after use."""

WATCH_ANSWER_S = 30.0
"""How long a server may take to begin a watch."""

REASONS: Mapping[int, str] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
"""What a refusal that comes without a Status (from a proxy, say) is called."""


class HttpsTransport:
    """Keeps `api.request.Transport`.

    `server` is a URL (`https://127.0.0.1:6443`). `ca`, `cert` and `key` are PEM, as bytes or in a file;
    without `ca` the system's authorities count; without `verify` anybody may be the server, for what proves
    itself in another way. The client shows a certificate, or `token` as a bearer.
    Calls raise StatusError, or Unreachable when no answer came.
    """

    def __init__(
        self,
        server: str,
        *,
        ca: bytes | Path = b"",
        cert: bytes | Path = b"",
        key: bytes | Path = b"",
        token: str = "",
        verify: bool = True,
    ) -> None:
        url = urlsplit(server)
        if url.scheme not in ("https", "http") or not url.hostname:
            raise ValueError(f"not the URL of an API server: {server!r}")
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._base = url.path.rstrip("/")
        self._tls = _tls(_pem(ca), _pem(cert), _pem(key), verify) if url.scheme == "https" else None
        self._headers = {
            "Host": url.netloc.rpartition("@")[2],
            "User-Agent": f"sampan/{sampan.__version__}",
            "Accept": JSON,
        }
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        """Connections of watches and of requests under way, so that `close` ends them too."""

    @classmethod
    def to(cls, access: Access) -> HttpsTransport:
        """As a kubeconfig says."""
        return cls(
            access.server,
            ca=access.ca,
            cert=access.client_cert,
            key=access.client_key,
            token=access.token,
        )

    def show(self, pem: Path) -> None:
        """From now on shows the certificate and key of this file; connections that are open keep theirs."""
        assert self._tls is not None
        self._tls.load_cert_chain(pem)
        while self._idle:
            self._idle.pop().close()

    async def call(self, request: Request) -> Obj:
        body = b"" if request.body is None else orjson.dumps(request.body)
        answer = await self.raw(METHODS[request.verb], _target(request), body, request.content_type)
        return orjson.loads(answer)

    async def raw(self, method: str, target: str, body: bytes = b"", content_type: str = JSON) -> bytes:
        """Any request to a path with query (`/readyz?verbose`): the body of the answer."""
        headers = dict(self._headers)
        if body:
            headers |= {"Content-Type": content_type}
        if body or method not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(body))
        connection, status = await self._send(method, target, headers, body)
        try:
            answer = await connection.read()
        except BaseException:
            self._discard(connection)
            raise
        self._release(connection)
        if status >= 400:
            raise _refusal(status, answer, connection.headers)
        return answer

    async def watch(self, request: Request) -> AsyncIterator[WatchEvent]:
        try:
            async with asyncio.timeout(WATCH_ANSWER_S):
                connection, status = await self._send("GET", _target(request), self._headers, b"")
        except TimeoutError as error:
            raise Unreachable(f"{self._host}:{self._port}: no watch within {WATCH_ANSWER_S:g} s") from error
        try:
            if status >= 400:
                raise _refusal(status, await connection.read(), connection.headers)
            async for line in _lines(connection.body()):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise StatusError(event["object"])
                yield WatchEvent(event["type"], event["object"])
        finally:
            self._discard(connection)

    async def close(self) -> None:
        """Closes all connections; requests and watches under way fail."""
        connections = [*self._idle, *self._busy]
        self._idle.clear()
        for connection in connections:
            connection.close()
        for connection in connections:
            await connection.wait_closed()

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Connection, int]:
        """A connection with the head of the response on it; the caller releases or discards it."""
        while True:
            connection = await self._connection()
            try:
                return connection, await connection.request(method, self._base + target, headers, body)
            except Unreachable:
                self._discard(connection)
                # The server may have closed a kept connection just now. To ask again is safe for reads only:
                # of a write nobody knows whether it was carried out.
                if not (connection.used and not connection.answered and method == "GET"):
                    raise
            except BaseException:
                self._discard(connection)
                raise

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh:
                break
            connection.close()
        else:
            connection = await Connection.open(self._host, self._port, self._tls)
        self._busy.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection.is_fresh and len(self._idle) < IDLE_MOST:
            self._idle.append(connection)
        else:
            connection.close()

    def _discard(self, connection: Connection) -> None:
        self._busy.discard(connection)
        connection.close()


def _target(request: Request) -> str:
    """Path and query of a request."""
    path = quote(request.resource.path(request.namespace, request.name, request.subresource))
    params = dict(request.params)
    if request.verb == "watch":
        params["watch"] = "true"
    return f"{path}?{urlencode(params)}" if params else path


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines, each as soon as its end has come. A last line without an end was cut off: dropped."""
    begun: list[bytes] = []
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            begun.append(part)
            line = b"".join(begun)
            begun.clear()
            if line:
                yield line
        if rest:
            begun.append(rest)


def _refusal(code: int, body: bytes, headers: Mapping[str, str]) -> StatusError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    kept = {"Retry-After": headers["retry-after"]} if "retry-after" in headers else {}
    if isinstance(status, dict) and status.get("kind") == "Status":
        return StatusError(status, kept)
    text = body.decode(errors="replace").strip() or f"the server answered {code}"
    return status_error(code, REASONS.get(code, ""), text, headers=kept)


def _pem(source: bytes | Path) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source


def _tls(ca: bytes, cert: bytes, key: bytes, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.decode() if ca else None)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if cert:
        # OpenSSL takes a client's certificate only from a file; this one is ours alone (0600) and soon gone.
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(cert + b"\n" + key)
            pem.flush()
            context.load_cert_chain(pem.name)
    return context
