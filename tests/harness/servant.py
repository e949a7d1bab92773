"""A server that knows how to end: HTTP on port 80, datagrams on 5353. Standard library only: it runs in Pods.

Told to stop, it answers all that had come by then, closes kept connections, and stays a moment to count what
still comes: new connections and datagrams that should have gone elsewhere. Apart from those it counts what
comes within a blink, which may have been on its way where a CPU stood still. The counts go to
/results/HOSTNAME.json.
"""

import json
import os
import selectors
import signal
import socket
import time
from pathlib import Path

STAYS_S = 0.6
BLINK_S = 0.1
NAME = os.uname().nodename


class Servant:
    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("", 80), backlog=4096)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("", 5353))
        self.connections: dict[socket.socket, bytes] = {}
        self.came = self.on_their_way = {"connections": 0, "datagrams": 0}
        self.told_s = 0.0
        for source in (self.listener, self.datagrams):
            source.setblocking(False)
            self.selector.register(source, selectors.EVENT_READ)

    def run(self) -> None:
        # Blocked and looked for: so it is never in between that a connection is taken.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        while not self.told_s or time.monotonic() < self.told_s + STAYS_S:
            if not self.told_s and signal.SIGTERM in signal.sigpending():
                self.end()
            if self.came is self.on_their_way and self.told_s and time.monotonic() > self.told_s + BLINK_S:
                self.came = dict.fromkeys(self.came, 0)
            for key, _ in self.selector.select(0.01):
                self.serve(key.fileobj)
        result = Path(f"/results/{NAME}.json")
        result.with_suffix(".part").write_text(
            json.dumps({"late": self.came, "on their way": self.on_their_way})
        )
        result.with_suffix(".part").rename(result)

    def end(self) -> None:
        self.accept()
        self.answer_datagrams()
        self.told_s = time.monotonic()
        self.came = self.on_their_way = dict.fromkeys(self.came, 0)
        for connection in list(self.connections):
            self.answer(connection)

    def serve(self, source: object) -> None:
        if source is self.listener:
            self.accept()
        elif source is self.datagrams:
            self.answer_datagrams()
        elif isinstance(source, socket.socket):
            self.answer(source)

    def accept(self) -> None:
        while True:
            try:
                connection, peer = self.listener.accept()
            except BlockingIOError:
                return
            self.came["connections"] += peer[0] != "127.0.0.1"  # the probe goes on
            connection.setblocking(False)
            self.connections[connection] = b""
            self.selector.register(connection, selectors.EVENT_READ)

    def answer_datagrams(self) -> None:
        while True:
            try:
                question, peer = self.datagrams.recvfrom(100)
            except BlockingIOError:
                return
            self.came["datagrams"] += 1
            self.datagrams.sendto(question + b" " + NAME.encode(), peer)

    def answer(self, connection: socket.socket) -> None:
        """Whole requests; one that is cut in two waits for its rest."""
        try:
            more = connection.recv(65536)
        except BlockingIOError:
            more = None
        except OSError:
            more = b""
        if more == b"":
            return self.close(connection)
        self.connections[connection] += more or b""
        while b"\r\n\r\n" in self.connections[connection]:
            self.connections[connection] = self.connections[connection].partition(b"\r\n\r\n")[2]
            head = f"HTTP/1.1 200 OK\r\nX-Pod: {NAME}\r\nContent-Length: 2\r\n"
            connection.sendall(head.encode() + (b"Connection: close\r\n" if self.told_s else b"") + b"\r\nok")
        if self.told_s and not self.connections[connection]:
            self.close(connection)
        return None

    def close(self, connection: socket.socket) -> None:
        self.selector.unregister(connection)
        del self.connections[connection]
        connection.close()


if __name__ == "__main__":
    Servant().run()
