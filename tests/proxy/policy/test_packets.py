"""Real packets through the policies' rules."""

from __future__ import annotations

import pytest

from harness.lab import Lab
from harness.policies import labelled, policy, port
from harness.policylab import PolicyLab, reaches

pytestmark = pytest.mark.root


async def test_default_deny_shuts_out_pods_but_not_the_node(lab: Lab) -> None:
    ward = PolicyLab(lab)
    ward.namespaces("default")
    server, client = await ward.pod("server"), await ward.pod("client")
    async with ward.enforced(policy("deny")):
        assert not await reaches(client, server.ip, expected=False)
        assert not await reaches(client, server.ip, protocol="udp", expected=False)
        assert await reaches(lab.inside, server.ip)
        assert not await reaches(lab.host, server.ip, expected=False)


async def test_pods_are_let_in_by_label_and_port(lab: Lab) -> None:
    ward = PolicyLab(lab)
    ward.namespaces("default")
    server = await ward.pod("server", serves=(8080, 8081), app="web")
    friend, stranger = await ward.pod("friend", role="friend"), await ward.pod("stranger")
    allow = policy(
        "allow",
        selector=labelled(app="web"),
        ingress=[{"from": [{"podSelector": labelled(role="friend")}], "ports": [port(8080)]}],
    )
    async with ward.enforced(allow):
        assert await reaches(friend, server.ip)
        assert not await reaches(friend, server.ip, 8081, expected=False)
        assert not await reaches(friend, server.ip, protocol="udp", expected=False)
        assert not await reaches(stranger, server.ip, expected=False)
        assert await reaches(server, stranger.ip)
