from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sampan.cli import assembly
from sampan.cli.assembly import CONTROLLERS
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError


def test_controllers_sign_their_events_as_upstream_does() -> None:
    """`kubectl describe` shows it as From; tools filter events by it."""
    assert CONTROLLERS["deployment-controller"].__name__ == "DeploymentController"
    assert CONTROLLERS["replicaset-controller"].__name__ == "ReplicaSetController"
    assert CONTROLLERS["endpoint-slice-controller"].__name__ == "EndpointSliceController"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("full", "the store takes no writes: full\n  Free space on its disk."),
        ("", "its node was not Ready in 0 s"),
    ],
)
async def test_a_node_that_does_not_come_up_says_why_if_it_is_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, said: str
) -> None:
    monkeypatch.setattr(assembly, "READY_TIMEOUT_S", 0)
    with socket.socket() as listener:
        made = assembly.Assembly(Cluster("one", tmp_path), Choices(1, "one"), listener)
        made._store.trouble = trouble
        with pytest.raises(UserError) as caught:
            await made._node_ready()
    assert str(caught.value) == said
