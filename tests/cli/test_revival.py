"""A process that starts itself anew: how often, and as what."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.cli.cluster import Cluster
from sampan.cli.main import build_parser
from sampan.cli.revival import AT_MOST, TIMES, WITHIN_S, command, earlier, helps

CLUSTER = Cluster("harbour", Path("/data/harbour"))


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        ([], True),
        ([100.0] * (AT_MOST - 1), True),
        ([100.0] * AT_MOST, False),
        ([100.0 - WITHIN_S] * AT_MOST, True),
    ],
)
def test_gives_up_when_starting_over_does_not_help(times_s: list[float], expected: bool) -> None:
    assert helps(times_s, 100.0) is expected


def test_times_travel_in_the_environment() -> None:
    assert earlier({}) == []
    assert earlier({TIMES: "1.5,20.0"}) == [1.5, 20.0]


def test_the_command_is_up_of_the_same_cluster() -> None:
    argv = command(CLUSTER, Path("/home/me/config"))
    assert argv[:3] == [sys.executable, "-m", "sampan"]
    parsed = build_parser("up").parse_args(argv[3:])
    assert parsed.foreground
    assert (parsed.name, parsed.data_dir, parsed.kubeconfig) == (
        "harbour",
        CLUSTER.data,
        Path("/home/me/config"),
    )


def test_revival_keeps_the_pid_and_remembers() -> None:
    program = (
        "import os, pathlib, sys; from sampan.cli import revival; "
        "show = 'import os, sys; print(os.getpid(), os.environ[sys.argv[1]])'; "
        "revival.command = lambda cluster, kubeconfig: [sys.executable, '-c', show, revival.TIMES]; "
        "print(os.getpid(), flush=True); revival.revive(None, pathlib.Path('x'))"
    )
    env = {**os.environ, TIMES: "0.0"}
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    before, after, times = out.stdout.split()
    assert before == after and len(times.split(",")) in (1, 2)
