"""A short conversation over TCP, driven by the readiness of its socket alone.

No task, no transport, no stream: a thousand containers are probed by such conversations, and what asyncio's
own layers cost for one would be most of the bill. On the veths of one machine the handshake is often over
when `connect` returns, so the first bytes are sent at once. Everything runs on the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from sampan.api.dialing import unverified_tls
from sampan.kubelet.socketstock import SocketStock

READ_BYTES = 16 * 1024
_UNDER_WAY = (0, errno.EINPROGRESS)


class Script(Protocol):
    """What is said. One script serves one conversation."""

    opening: bytes

    def hear(self, data: bytes) -> bytes | None:
        """What to answer to what came, b"" for nothing yet, None when all has been heard.

        `data` is empty at the peer's end. Raises ValueError at nonsense.
        """


class UnknownHost(Exception):
    """No such name."""


class NotConnected(Exception):
    """Nobody was reached; `cause` is the OSError, UnknownHost, or the NetworkFault where not even a socket
    could be had; a TimeoutError where nobody answered in time. `host`: the address that was tried last."""

    def __init__(self, cause: Exception, host: str) -> None:
        super().__init__(str(cause))
        self.cause, self.host = cause, host

    @property
    def refused(self) -> bool:
        return isinstance(self.cause, OSError) and self.cause.errno == errno.ECONNREFUSED


Done = Callable[[Exception | None], None]
"""None: all was heard. Else NotConnected, TimeoutError, or what the socket or the script raised."""


class Dialogue:
    """Begins when made. `done` is called once, maybe before the constructor returns; never after `cancel`."""

    __slots__ = (
        "_address",
        "_done",
        "_lookup",
        "_loop",
        "_name",
        "_others",
        "_outgoing",
        "_script",
        "_sock",
        "_stock",
        "_timer",
        "_waits",
        "connected",
    )

    def __init__(
        self,
        stock: SocketStock,
        host: str,
        port: int,
        script: Script | None,
        done: Done,
        timeout_s: float,
        tls: bool = False,
    ) -> None:
        """Without a script, being connected is all."""
        self._loop = asyncio.get_running_loop()
        self._address, self._script, self._done = (host, port), script, done
        self._name = host if tls else ""
        self._sock: socket.socket | None = None
        self._outgoing = script.opening if script is not None else b""
        self._waits = 0
        self.connected = False
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(timeout_s, self._late)
        self._lookup: asyncio.Task[None] | None = None
        self._others: list[tuple[socket.AddressFamily, str]] = []
        self._stock: SocketStock | None = None
        if is_address(host):
            stock.take(socket.AF_INET6 if ":" in host else socket.AF_INET, self._connect)
        else:
            self._lookup = self._loop.create_task(self._look_up(stock))

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._hang_up()

    async def _look_up(self, stock: SocketStock) -> None:
        """A probe's `host` may be a name: the machine's resolver knows it, or nobody."""
        host, port = self._address
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            self._end(NotConnected(UnknownHost(f"lookup {host}: no such host"), host))
            return
        self._others = [(family, str(address[0])) for family, *_, address in found]
        self._try_next(stock)

    def _try_next(self, stock: SocketStock) -> None:
        """A name may have several addresses, and a server may listen on one of them only."""
        family, host = self._others.pop(0)
        self._address, self._stock = (host, self._address[1]), stock
        stock.take(family, self._connect)

    def _connect(self, sock: socket.socket | Exception) -> None:
        if isinstance(sock, Exception):
            self._end(NotConnected(sock, self._address[0]))
            return
        if self._timer is None:  # cancelled while it waited for its socket
            sock.close()
            return
        self._sock = sock
        number = sock.connect_ex(self._address)
        if number not in _UNDER_WAY:
            self._not_reached(number)
        else:
            self._look()

    def _look(self) -> None:
        """How far the handshake has come: between two veths it is mostly over when `connect` returns."""
        assert self._sock is not None
        if number := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._not_reached(number)
            return
        try:
            self._sock.getpeername()
        except OSError:
            self._wait(write=True)
        else:
            self._reached()

    def _not_reached(self, number: int) -> None:
        if self._others and self._stock is not None:
            self._hang_up()
            self._try_next(self._stock)
        else:
            self._end(NotConnected(OSError(number, errno.errorcode.get(number, "")), self._address[0]))

    def _reached(self) -> None:
        self.connected = True
        if self._script is None:
            self._end(None)
            return
        if self._name:
            assert self._sock is not None
            try:
                self._sock = unverified_tls().wrap_socket(
                    self._sock, server_hostname=self._name, do_handshake_on_connect=False
                )
            except OSError as error:
                self._end(error)
                return
        self._go_on()

    def _ready(self) -> None:
        if self.connected:
            self._go_on()
        else:
            self._look()

    def _go_on(self) -> None:
        """Shakes hands, speaks and hears as far as the socket allows."""
        sock, script = self._sock, self._script
        assert sock is not None and script is not None
        try:
            if self._name:
                assert isinstance(sock, ssl.SSLSocket)
                sock.do_handshake()
                self._name = ""
            while True:
                if self._outgoing:
                    self._outgoing = self._outgoing[sock.send(self._outgoing) :]
                    if self._outgoing:
                        continue
                    if self._waits == 0:  # just said: the answer cannot be here yet
                        self._wait(write=False)
                        return
                data = sock.recv(READ_BYTES)
                answer = script.hear(data)
                if answer is None:
                    self._end(None)
                    return
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "the peer has hung up")
                self._outgoing += answer
        except (BlockingIOError, ssl.SSLWantReadError):
            self._wait(write=bool(self._outgoing) and not self._name)
        except ssl.SSLWantWriteError:
            self._wait(write=True)
        except (OSError, ValueError) as error:
            self._end(error)

    def _wait(self, *, write: bool) -> None:
        assert self._sock is not None
        wanted = 2 if write else 1
        if wanted == self._waits:
            return
        self._forget()
        self._waits = wanted
        (self._loop.add_writer if write else self._loop.add_reader)(self._sock.fileno(), self._ready)

    def _forget(self) -> None:
        assert self._sock is not None
        if self._waits:
            (self._loop.remove_writer if self._waits == 2 else self._loop.remove_reader)(self._sock.fileno())
            self._waits = 0

    def _late(self) -> None:
        self._end(TimeoutError() if self.connected else NotConnected(TimeoutError(), self._address[0]))

    def _end(self, outcome: Exception | None) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._hang_up()
        self._done(outcome)

    def _hang_up(self) -> None:
        if self._lookup is not None and self._lookup is not asyncio.current_task():
            self._lookup.cancel()
        if self._sock is not None:
            self._forget()
            self._sock.close()
            self._sock = None


def is_address(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True
