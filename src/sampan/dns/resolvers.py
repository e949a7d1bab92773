"""The `nameserver` lines of a resolv.conf: the servers that the host itself asks, followed as they change."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from pathlib import Path

from sampan.dns.upstream import Upstream


class Resolvers:
    """Looks whether the file has changed whenever it is asked, which costs a microsecond.

    `exclude`: the cluster's own DNS addresses, which a host may well be told to use.
    """

    def __init__(self, path: str | Path = "/etc/resolv.conf", *, exclude: Collection[str] = ()) -> None:
        self._path = Path(path)
        self._exclude = frozenset(exclude)
        self._stamp: tuple[int, int, int] | None = None
        self._servers: tuple[Upstream, ...] = ()

    def servers(self) -> Sequence[Upstream]:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if self._stamp != stamp:
                text = self._path.read_text(errors="replace")
                self._stamp = stamp
                self._servers = tuple(Upstream(ip) for ip in nameservers(text) if ip not in self._exclude)
        except OSError:
            self._stamp, self._servers = None, ()
        return self._servers


def nameservers(text: str) -> list[str]:
    """Addresses in their order, each once; a zone (`fe80::1%eth0`) stays with its address."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found[str(ipaddress.ip_address(words[1]))] = None
            except ValueError:
                continue
    return list(found)
