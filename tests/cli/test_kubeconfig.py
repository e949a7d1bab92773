"""The administrator's credentials, as they are, or why there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.cli import main
from sampan.cli.cluster import Choices, Cluster


def ask(data: Path) -> int:
    return main.main(["kubeconfig", "--name", "one", "--data-dir", str(data)])


def test_it_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster("one", tmp_path)
    cluster.keep(Choices(api_port=1, node_name="one"))
    cluster.kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    assert ask(tmp_path) == 0
    assert capsys.readouterr().out == "apiVersion: v1\nkind: Config\n"


def test_a_cluster_that_never_came_up_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Cluster("one", tmp_path).keep(Choices(api_port=1, node_name="one"))
    assert ask(tmp_path) == 1
    assert capsys.readouterr().err.startswith("sampan: the cluster 'one' has never been up\n")
