"""One screen about a cluster, and what is said of one that is not there."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.cli import cluster as clusters
from sampan.cli import status
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError
from sampan.client import kubeconfig

CHOICES = Choices(api_port=6443, node_name="one")
NODE: Obj = {
    "metadata": {"name": "one"},
    "status": {
        "addresses": [
            {"type": "Hostname", "address": "one"},
            {"type": "InternalIP", "address": "100.64.0.2"},
        ],
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
WRITTEN_DOWN: Obj = {"metadata": {"name": "two"}}


def pod(phase: str) -> Obj:
    return {"metadata": {"name": phase.lower()}, "status": {"phase": phase}}


def facts(*pods: Obj) -> dict[str, object]:
    found = status._facts(
        Cluster("one", Path("/data")), CHOICES, os.getpid(), [NODE, WRITTEN_DOWN], pods, [{}, {}]
    )
    assert found.pop("memory_bytes") > 2**20
    return found | {"pid": 42, "memory_bytes": 61_400_000}


def test_screen() -> None:
    assert status._screen(facts(pod("Running"), pod("Pending"), pod("Running"))).splitlines() == [
        "cluster   one, process 42, 61.4 MB resident",
        "nodes     one (100.64.0.2) Ready, two (no address) NotReady",
        "pods      1 Pending, 2 Running",
        "services  2",
        "api       https://127.0.0.1:6443",
        "context   sampan-one",
        "data      /data",
        "log       /data/sampan.log",
    ]


def test_without_pods_there_are_none() -> None:
    assert "pods      none" in status._screen(facts())


def test_for_programs_everything_is_json() -> None:
    again = json.loads(json.dumps(facts(pod("Running"))))
    assert again["nodes"] == [
        {"name": "one", "ready": True, "address": "100.64.0.2"},
        {"name": "two", "ready": False, "address": ""},
    ]
    assert (again["pods"], again["services"]) == ({"Running": 1}, 2)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster("one", tmp_path)
    made.keep(CHOICES)
    return made


@pytest.fixture
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Its lock is held, as by a process that runs."""
    lock = cluster.lock()
    assert lock is not None
    clusters.write_pid(lock)
    yield cluster
    os.close(lock)


def ask(cluster: Cluster) -> UserError:
    with pytest.raises(UserError) as caught:
        status.run(argparse.Namespace(name=cluster.name, data_dir=cluster.data, output=None))
    return caught.value


def test_a_cluster_that_is_down_is_said_to_be(cluster: Cluster) -> None:
    error = ask(cluster)
    assert error.what == "the cluster 'one' is down"
    assert error.do == "`sampan up --name one` brings it back up."


def test_one_that_is_just_coming_up_does_not_answer_yet(running: Cluster) -> None:
    error = ask(running)
    assert error.what.startswith(f"process {os.getpid()} runs, but its API does not answer: ")
    assert error.do == f"Its log is {running.log}."


def test_one_whose_api_is_gone_does_not_answer(running: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
    access = kubeconfig.Access(url, b"", token="t")
    kubeconfig.add_context(running.kubeconfig, running.context, access)
    assert "its API does not answer" in ask(running).what
