"""The host's own servers, from its resolv.conf."""

import os
from pathlib import Path

import pytest

from sampan.dns.resolvers import Resolvers
from sampan.dns.upstream import Upstream


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", []),
        ("nameserver 10.0.0.1\nnameserver 10.0.0.2 # second\n", ["10.0.0.1", "10.0.0.2"]),
        ("# nameserver 10.0.0.9\n;nameserver 10.0.0.9\nsearch nameserver 10.0.0.9\n", []),
        ("nameserver\t fd00::1\nnameserver FD00:0::2\n", ["fd00::1", "fd00::2"]),
        ("nameserver nonsense\nnameserver\nnameserver 10.0.0.1", ["10.0.0.1"]),
        ("nameserver 10.0.0.1\nnameserver 10.0.0.1\n", ["10.0.0.1"]),
        ("nameserver 10.96.0.10\nnameserver 10.0.0.1\n", ["10.0.0.1"]),
    ],
)
def test_nameservers_of_the_host_but_not_ourselves(tmp_path: Path, text: str, servers: list[str]) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text)
    found = Resolvers(file, exclude=["10.96.0.10"]).servers()
    assert list(found) == [Upstream(ip) for ip in servers]


def test_a_changed_file_is_read_again_and_a_missing_one_names_nobody(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    resolvers = Resolvers(file)
    assert not resolvers.servers()
    file.write_text("nameserver 10.0.0.1\n")
    assert [server.host for server in resolvers.servers()] == ["10.0.0.1"]
    file.write_text("nameserver 10.0.0.2\n")
    os.utime(file, ns=(1, 1))
    assert [server.host for server in resolvers.servers()] == ["10.0.0.2"]
    replaced = tmp_path / "new"
    replaced.write_text("nameserver 10.0.0.3\n")
    os.utime(replaced, ns=(1, 1))
    replaced.rename(file)
    assert [server.host for server in resolvers.servers()] == ["10.0.0.3"]
    file.unlink()
    assert not resolvers.servers()
