"""What conntrack remembers of an address that changes hands."""

from __future__ import annotations

import asyncio
import socket

import pytest

from harness.lab import Lab
from harness.policies import policy
from harness.policylab import ANSWERED_WITHIN_S, PORT, REFUSED_AFTER_S, PolicyLab
from sampan.api.resources import NETWORK_POLICIES


@pytest.mark.root
async def test_a_sender_that_never_stops_is_asked_again_when_the_address_changes_hands(lab: Lab) -> None:
    ward = PolicyLab(lab)
    ward.namespaces("default")
    server, client = await ward.pod("server", app="web"), await ward.pod("client")
    loop = asyncio.get_running_loop()
    pod = {"metadata": {"name": "server", "namespace": "default", "uid": "default-server"}}
    pod |= {"spec": {"nodeName": "node-1", "containers": []}, "status": {"phase": "Running"}}
    async with ward.enforced() as enforcer:
        for target in server.ips:
            with await client.socket(socket.SOCK_DGRAM, target) as sock:
                await enforcer.admitted(pod, server.ips)
                await loop.sock_connect(sock, (target, PORT))
                await loop.sock_sendall(sock, b"?")
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    assert await loop.sock_recv(sock, 100)
                lab.api.add(policy("deny"))
                await ward.settled()
                enforcer.left("default-server")
                await enforcer.admitted(pod, server.ips)
                await loop.sock_sendall(sock, b"?")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(REFUSED_AFTER_S):
                        await loop.sock_recv(sock, 100)
                lab.api.remove(NETWORK_POLICIES, "deny", "default")
                await ward.settled()
