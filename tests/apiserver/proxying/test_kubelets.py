"""Where a node's own server is looked for. What comes of asking it: test_kubeletapi."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.apiserver.pki import Pki
from sampan.apiserver.proxying.kubelets import Kubelets

PORT = {"kubeletEndpoint": {"Port": 10250}}


def known(status: Obj | None) -> bool:
    def lookup(resource: Resource, namespace: str, name: str) -> Obj | None:
        return None if status is None else {"metadata": {"name": name}, "status": status}

    return Kubelets(Pki(Path("/nowhere")), lookup).known("n1")


def at(address: str) -> Obj:
    listed = [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": address}]
    return {"addresses": listed, "daemonEndpoints": PORT}


@pytest.mark.parametrize("address", ["100.64.0.3", "fd73:616d:7000:300::3"])
def test_a_node_is_asked_at_its_internal_address(address: str) -> None:
    assert known(at(address))


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"addresses": [{"type": "Hostname", "address": "n1"}], "daemonEndpoints": PORT},
        {"addresses": [{"type": "InternalIP", "address": "100.64.0.3"}]},
    ],
    ids=["no Node", "nothing told", "no address", "no server"],
)
def test_one_that_has_not_told_where_it_is_cannot_be_asked(status: Obj | None) -> None:
    assert not known(status)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "n1"]
)
def test_no_node_leads_the_api_server_to_itself(address: str) -> None:
    assert not known(at(address))
