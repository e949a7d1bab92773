"""Names from a hosts file."""

import os
from pathlib import Path

from sampan.dns import wire
from sampan.dns.config import Hosts
from sampan.dns.hostsfile import HostsFile

TEXT = """\
127.0.0.1 localhost  # ourselves
10.0.0.1\tDb.Example. db
fd00::1 db
nonsense db
10.0.0.2
10.0.0.3 a..b
"""


def data(hosts: HostsFile, name: str, kind: int) -> list[bytes] | None:
    answer = hosts.lookup(name, kind)
    return None if answer is None else [record.data for record in answer.answers]


def test_names_addresses_and_back(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(TEXT)
    hosts = HostsFile(Hosts(str(file), ("10.9.9.9 extra",)))
    assert data(hosts, "db", wire.A) == [bytes((10, 0, 0, 1))]
    assert data(hosts, "db", wire.AAAA) == [wire.address_data("fd00::1")[1]]
    assert data(hosts, "db", wire.MX) == []
    assert data(hosts, "db.example", wire.A) == [bytes((10, 0, 0, 1))]
    assert data(hosts, "1.0.0.10.in-addr.arpa", wire.PTR) == [wire.encode_name("db.example")]
    assert data(hosts, "extra", wire.A) == [bytes((10, 9, 9, 9))]
    assert data(hosts, "nobody", wire.A) is None
    assert data(hosts, "a..b", wire.A) is None


def test_a_changed_file_is_read_again_and_a_missing_one_has_no_names(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    hosts = HostsFile(Hosts(str(file)))
    assert data(hosts, "db", wire.A) is None
    for number in (1, 2):
        file.write_text(f"10.0.0.{number} db\n")
        os.utime(file, ns=(number, number))
        assert data(hosts, "db", wire.A) == [bytes((10, 0, 0, number))]
    file.unlink()
    assert data(hosts, "db", wire.A) is None
