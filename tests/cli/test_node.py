"""What `sampan node` says before it does anything, and what it shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.cli import main, node, requirements
from sampan.cli.cluster import Choices, Cluster

HASH = f"sha256:{'0' * 64}"


@pytest.fixture(autouse=True)
def _requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "check", lambda: None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://a"], "'http://a' is not the URL of an API"),
        (["https://a/path"], "is not the URL of an API"),
        (["https://a", "--ca-hash", "sha256:1"], "--ca-hash wants sha256: and 64 hexadecimal digits"),
        (["https://a", "--name", "N_1"], "'N_1' cannot be a node's name"),
        (["https://a", "--token", "no"], "that is no bootstrap token"),
    ],
)
def test_what_cannot_be_joined(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--name", "n", "--data-dir", str(tmp_path / "n")]
    assert main.main(["node", "join", *where, *words]) == 1
    assert not (tmp_path / "n").exists()
    assert said in capsys.readouterr().err


def test_the_first_node_goes_with_the_cluster_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Cluster("one", tmp_path).keep(Choices(6443, "one"))
    assert main.main(["node", "rm", "one", "--name", "one", "--data-dir", str(tmp_path)]) == 1
    assert "`sampan down --name one` takes the whole cluster away" in capsys.readouterr().err


def test_a_token_may_lie_in_a_file_that_is_gone_once_it_was_used(tmp_path: Path) -> None:
    parser = main.build_parser("node")
    file = tmp_path / "token"
    file.write_text("abcdef.0123456789abcdef\n")
    parsed = parser.parse_args(["node", "join", "https://a", "--token-file", str(file)])
    assert node._token(parsed) == "abcdef.0123456789abcdef"
    file.unlink()
    assert node._token(parsed) == ""


def test_facts_of_nodes() -> None:
    nodes = [
        {
            "metadata": {"name": "b"},
            "spec": {"unschedulable": True},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "10.0.0.1"},
                    {"type": "InternalIP", "address": "fd00::1"},
                    {"type": "Hostname", "address": "b"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1"},
            },
        },
        {"metadata": {"name": "a"}},
    ]
    pods = [{"spec": {"nodeName": "b"}}, {"spec": {"nodeName": "b"}}, {"spec": {}}]
    bare, whole = node.facts(nodes, pods, {"b": os.getpid()})
    assert bare == {
        "name": "a",
        "status": "NotReady",
        "addresses": [],
        "pods": 0,
        "version": "",
        "pid": 0,
        "memory_bytes": 0,
    }
    assert whole.pop("memory_bytes") > 0
    assert whole == {
        "name": "b",
        "status": "Ready,SchedulingDisabled",
        "addresses": ["10.0.0.1", "fd00::1"],
        "pods": 2,
        "version": "v1",
        "pid": os.getpid(),
    }
