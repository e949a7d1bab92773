import errno
import socket
from pathlib import Path

import pytest

from sampan.cli import asked, up
from sampan.cli.asked import Asked
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError
from sampan.cli.terminal import Progress
from sampan.store.contract import StoreDamaged


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_two_clusters_that_come_up_in_one_moment_have_different_ports(tmp_path: Path) -> None:
    with (
        up._listener(Cluster("one", tmp_path / "one"), Progress()) as one,
        up._listener(Cluster("two", tmp_path / "two"), Progress()) as two,
    ):
        assert port_of(one) != port_of(two)


def test_port_is_the_same_from_one_up_to_the_next(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    with up._listener(cluster, Progress()) as first:
        chosen = asked.choose(cluster, Asked(), port_of(first))
    with up._listener(cluster, Progress()) as second:
        assert port_of(second) == chosen.api_port


def test_port_that_another_program_took_meanwhile_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster("one", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = port_of(other)
        cluster.keep(Choices(api_port=taken, node_name="one"))
        with up._listener(cluster, Progress()) as listener:
            assert port_of(listener) != taken
    assert f"another program listens on port {taken}" in capsys.readouterr().err


def test_a_damaged_store_is_told_with_what_to_do() -> None:
    said = up._in_words(StoreDamaged("/d/store.db: database disk image is malformed"))
    assert said.startswith("/d/store.db: database disk image is malformed\n  Put a copy of the file back")
    assert up._in_words(UserError("what", "do")) == "what\n  do"
    assert up._in_words(OSError(errno.EROFS, "Read-only file system", "/d/x")).startswith("/d/x cannot be")
    assert (up._in_words(ValueError("odd")), up._in_words(ValueError())) == ("ValueError: odd", "ValueError")
