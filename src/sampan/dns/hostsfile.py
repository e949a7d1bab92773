"""Names from a hosts file, as the host's own resolver knows them: addresses and, back from these, names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from sampan.dns.config import Hosts
from sampan.dns.wire import ANY, NOERROR, PTR, Record, address_data, encode_name, reverse_name
from sampan.dns.zone import Answer


class HostsFile:
    """Read again when it has changed. The lines of the configuration come first."""

    def __init__(self, plan: Hosts) -> None:
        self._plan = plan
        self._stamp: tuple[int, int] | None = None
        self._records = self._read(())

    def lookup(self, name: str, kind: int) -> Answer | None:
        """None if it has no such name at all."""
        self._follow()
        records = self._records.get(name)
        if records is None:
            return None
        return Answer(NOERROR, [record for record in records if kind in (record.type, ANY)])

    @property
    def entries(self) -> int:
        return sum(map(len, self._records.values()))

    def _follow(self) -> None:
        if not self._plan.path:
            return
        path = Path(self._plan.path)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._records = self._read(path.read_text(errors="replace").splitlines())
                self._stamp = stamp
        except OSError:
            self._records, self._stamp = self._read(()), None

    def _read(self, lines: Iterable[str]) -> dict[str, list[Record]]:
        found: dict[str, dict[Record, None]] = {}
        for line in (*self._plan.lines, *lines):
            words = line.partition("#")[0].split()
            try:
                ip = str(ipaddress.ip_address(words[0]))
                names = [word.rstrip(".").lower() for word in words[1:]]
                for name in names:
                    encode_name(name)
            except (IndexError, ValueError):
                continue
            kind, data = address_data(ip)
            for name in names:
                found.setdefault(name, {})[Record(name, kind, self._plan.ttl_s, data)] = None
            back = reverse_name(ip)
            for name in names[:1]:
                record = Record(back, PTR, self._plan.ttl_s, encode_name(name))
                found.setdefault(back, {})[record] = None
        return {name: list(records) for name, records in found.items()}
