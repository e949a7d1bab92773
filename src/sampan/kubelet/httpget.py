"""A GET as probes and hooks send it: one connection, no verification of certificates, the body cut.

HTTP/1.1 by hand, because a probe must be cheap and must open its socket inside the node's network namespace.
The wording of what goes wrong is that of Go's client, for whose sentences people search.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote, urljoin, urlsplit

from sampan.api.dialing import address_of, dial_error
from sampan.api.objects import Obj
from sampan.kubelet.dialogue import Dialogue, NotConnected
from sampan.kubelet.network.contract import Namespace
from sampan.kubelet.socketstock import SocketStock

Headers: TypeAlias = Sequence[tuple[str, str]]

USER_AGENT = "kube-probe/1.35"
BODY_LIMIT = 10 * 1024
HEAD_LIMIT = 64 * 1024
REDIRECTS = 10
FOR_EVER_S = 365 * 86400.0
_URL_SAFE = "/?%:@!$&'()*+,;=-._~[]|\"`{}^<>\\"
"""Sent as it is written: what would break the request line is escaped, nothing else."""
_HEX = re.compile(rb"[0-9a-fA-F]{1,8}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LAST_CHUNK = b"0\r\n\r\n"
_MOVED = (301, 302, 303, 307, 308)


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


class Get:
    """One GET, redirects on the same host included. `done` is called once, never after `cancel`."""

    def __init__(
        self,
        stock: SocketStock,
        errand: Errand,
        timeout_s: float,
        done: Callable[[Answer | Unanswered], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._stock, self._errand, self._done = stock, errand, done
        self._until_s = loop.time() + timeout_s
        self._turn, self._first_host = 1, errand.host
        self._dialogue: Dialogue | None = None
        self._go(timeout_s)

    def cancel(self) -> None:
        if self._dialogue is not None:
            self._dialogue.cancel()

    def _go(self, left_s: float) -> None:
        errand, script = self._errand, _Reply(self._errand.request)

        def heard(error: Exception | None) -> None:
            if error is None:
                self._heard(script.answer())
            else:
                self._done(errand.unanswered(error))

        self._dialogue = Dialogue(self._stock, errand.host, errand.port, script, heard, left_s, errand.tls)

    def _heard(self, answer: Answer) -> None:
        target = answer.headers.get("location")
        if answer.code not in _MOVED or not target:
            self._done(answer)
            return
        url = urljoin(self._errand.url, target)
        parts = urlsplit(url)
        if parts.hostname != self._first_host:
            # What another host says is nothing about this one: the redirect itself is the answer.
            self._done(answer)
        elif self._turn == REDIRECTS:
            self._done(Unanswered(f'Get "{url}": stopped after {REDIRECTS} redirects'))
        elif parts.scheme not in ("http", "https"):
            self._done(Unanswered(f'Get "{url}": unsupported protocol scheme "{parts.scheme}"'))
        else:
            self._turn += 1
            headers = self._errand.headers
            if "://" in target:
                headers = [pair for pair in headers if pair[0].lower() != "host"]
            self._errand = Errand(url, headers)
            self._go(max(self._until_s - asyncio.get_running_loop().time(), 0.0))


class Errand:
    """Where to go and what to say there, made once for many a GET. ValueError for headers that are none."""

    __slots__ = ("headers", "host", "port", "request", "tls", "url")

    def __init__(self, url: str, headers: Headers) -> None:
        parts = urlsplit(url)
        self.url, self.headers = url, headers
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _URL_SAFE)
        self.request = _request(target, parts.netloc, headers)

    @classmethod
    def of(cls, scheme: str, host: str, port: int, path: str, headers: Headers) -> Errand:
        slash = "" if path.startswith("/") else "/"
        return cls(f"{scheme.lower()}://{address_of(host, port)}{slash}{path}", headers)

    def unanswered(self, error: Exception) -> Unanswered:
        refused = isinstance(error, NotConnected) and error.refused
        return Unanswered(f'Get "{self.url}": {self._cause(error)}', refused=refused)

    def _cause(self, error: Exception) -> str:
        if isinstance(error, NotConnected) and not isinstance(error.cause, TimeoutError):
            return dial_error(error.host, self.port, error.cause)
        if isinstance(error, (NotConnected, TimeoutError)):
            return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        if isinstance(error, ssl.SSLError):
            if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
                return "http: server gave HTTP response to HTTPS client"
            return f"tls: {(error.reason or str(error)).replace('_', ' ').lower()}"
        if isinstance(error, OSError) and error.errno:
            return f"read tcp {address_of(self.host, self.port)}: {os.strerror(error.errno).lower()}"
        return str(error)


class _Reply:
    """Keeps dialogue.Script: hears one HTTP answer."""

    def __init__(self, request: bytes) -> None:
        self.opening = request
        self._heard = b""
        self._code = 0
        self._headers: dict[str, str] = {}
        self._wanted = BODY_LIMIT
        self._chunked = False

    def hear(self, data: bytes) -> bytes | None:
        self._heard += data
        while not self._code:
            head, end, rest = self._heard.partition(b"\r\n\r\n")
            if not end:
                if not data:
                    raise ValueError("unexpected EOF" if self._heard else "EOF")
                if len(self._heard) > HEAD_LIMIT:
                    raise ValueError(
                        f"net/http: server response headers exceeded {HEAD_LIMIT} bytes; aborted"
                    )
                if b"\n" in head:
                    _code(head.partition(b"\n")[0])
                return b""
            first, *lines = head.split(b"\r\n")
            self._heard = rest
            if (code := _code(first)) >= 200:
                self._begin_body(code, lines)
        # The body only decorates a message: what has come when the connection ends is enough.
        whole = len(self._heard) >= self._wanted or (self._chunked and self._heard.endswith(_LAST_CHUNK))
        return None if whole or not data else b""

    def _begin_body(self, code: int, lines: list[bytes]) -> None:
        self._code = code
        for line in lines:
            name, colon, value = line.partition(b":")
            if colon:
                self._headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        length = self._headers.get("content-length", "")
        if length.isdigit():
            self._wanted = min(int(length), BODY_LIMIT)
        elif code in (204, 304):
            self._wanted = 0
        self._chunked = self._headers.get("transfer-encoding", "").lower() == "chunked"

    def answer(self) -> Answer:
        body = _joined(self._heard) if self._chunked else self._heard
        return Answer(self._code, body[: self._wanted].decode(errors="replace"), self._headers)


async def get(netns: Namespace, scheme: str, host: str, port: int, path: str, headers: Headers) -> Answer:
    """Follows redirects on the same host; raises Unanswered. The caller sets the deadline."""
    answered: asyncio.Future[Answer | Unanswered] = asyncio.get_running_loop().create_future()
    stock = SocketStock(netns)
    getting = Get(stock, Errand.of(scheme, host, port, path, headers), FOR_EVER_S, answered.set_result)
    try:
        answer = await answered
    finally:
        getting.cancel()
        stock.close()
    if isinstance(answer, Unanswered):
        raise answer
    return answer


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


def headers_of(action: Obj) -> Headers:
    """`httpHeaders` of an HTTPGetAction; a name may stand there more than once."""
    return [(header["name"], header.get("value", "")) for header in action.get("httpHeaders") or ()]


def _request(target: str, host: str, headers: Headers) -> bytes:
    """As given, several of one name too. An empty one of the usual three stands for none at all."""
    for name, value in headers:
        if _CONTROL.search(name + value):
            raise ValueError(f'net/http: invalid header field value for "{name}"')
    given = {name.lower() for name, value in headers if value or name.lower() != "host"}
    usual = {"Host": host, "User-Agent": USER_AGENT, "Accept": "*/*"}
    fields = [(name, value) for name, value in usual.items() if name.lower() not in given]
    unset = {name.lower() for name in usual}
    fields += [(name, value) for name, value in headers if value or name.lower() not in unset]
    lines = (f"{name}: {value}\r\n" for name, value in fields)
    return f"GET {target} HTTP/1.1\r\n{''.join(lines)}Connection: close\r\n\r\n".encode()


def _code(line: bytes) -> int:
    """The status code of an answer's first line; ValueError for what is none."""
    text = line.decode("latin-1").rstrip("\r")
    version, _, rest = text.partition(" ")
    if not version.startswith("HTTP/") or not rest[:3].isdigit():
        raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{text}"')
    return int(rest[:3])


def _joined(chunked: bytes) -> bytes:
    """As much of a chunked body as is there."""
    body = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        digits = size.partition(b";")[0].strip()
        if not _HEX.fullmatch(digits) or not (length := int(digits, 16)):
            break
        body, chunked = body + rest[:length], rest[length + 2 :]
    return body
