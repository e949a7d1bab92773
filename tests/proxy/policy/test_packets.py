"""Real packets through the policies' rules, beside those of the proxy and of the way out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import AsyncIterator
from itertools import product

import pytest

from harness import policies
from harness.lab import NODE, Lab, Place, endpoint, service, slice_of
from harness.outside import outside
from harness.policies import labelled, policy, port
from harness.policylab import ANSWERED_WITHIN_S, PORT, REFUSED_AFTER_S, PolicyLab, reaches
from sampan.api.objects import Obj
from sampan.api.resources import NETWORK_POLICIES
from sampan.kubelet.network.egress import EgressRelay
from sampan.proxy.policy import ruleset
from sampan.proxy.policy.contract import Refused

pytestmark = pytest.mark.root

OUT = ["Egress"]
_ETH0 = 100
"""Its index in every Pod."""
BY_FAMILY = pytest.mark.parametrize("family", [0, 1], ids=["primary", "secondary"])


def address(place: Place, family: int) -> str:
    """Of the first or the second family; a kernel without IPv6 has no second."""
    if family >= len(place.ips):
        pytest.skip("one family here")
    return place.ips[family]


@pytest.fixture
async def ward(lab: Lab) -> PolicyLab:
    made = PolicyLab(lab)
    made.namespaces("default", "kube-system", "other")
    return made


@BY_FAMILY
async def test_default_deny_shuts_out_pods_but_not_the_node(ward: PolicyLab, family: int) -> None:
    server, client = await ward.pod("server"), await ward.pod("client")
    there = address(server, family)
    async with ward.enforced(policy("deny")):
        assert not await reaches(client, there, expected=False)
        assert not await reaches(client, there, protocol="udp", expected=False)
        assert not await reaches(ward.lab.host, there, expected=False)
        assert await reaches(ward.lab.inside, there), "probes of the node"


@BY_FAMILY
async def test_pods_are_let_in_by_label_and_port(ward: PolicyLab, family: int) -> None:
    server = await ward.pod("server", serves=(8080, 8081), app="web")
    friend, stranger = await ward.pod("friend", role="friend"), await ward.pod("stranger")
    there = address(server, family)
    allow = policy(
        "allow",
        selector=labelled(app="web"),
        ingress=[{"from": [{"podSelector": labelled(role="friend")}], "ports": [port(8080)]}],
    )
    async with ward.enforced(allow):
        assert await reaches(friend, there)
        assert not await reaches(friend, there, 8081, expected=False)
        assert not await reaches(friend, there, protocol="udp", expected=False)
        assert not await reaches(stranger, there, expected=False)
        assert await reaches(server, address(stranger, family)), "answers come in"


async def test_after_dnat_the_real_endpoint_counts_and_a_pod_reaches_itself(ward: PolicyLab) -> None:
    lab = ward.lab
    server, other = await ward.pod("server", app="web"), await ward.pod("other")
    friend, stranger = await ward.pod("friend", role="friend"), await ward.pod("stranger")
    for name, n, end in (("web", 20, server), ("other", 21, other)):
        lab.api.add(
            service(name, lab.vip(n), {"port": 80}),
            slice_of(name, [{"name": "", "port": PORT, "protocol": "TCP"}], endpoint(end.ip)),
        )
    only_friend = policy(
        "in", selector=labelled(app="web"), ingress=[{"from": [{"podSelector": labelled(role="friend")}]}]
    )
    only_web = policy(
        "out",
        selector=labelled(role="friend"),
        policyTypes=OUT,
        egress=[{"to": [{"podSelector": labelled(app="web")}], "ports": [port(PORT)]}],
    )
    async with lab.proxy(), ward.enforced(only_friend, only_web):
        assert await reaches(friend, lab.vip(20), 80)
        assert not await reaches(stranger, lab.vip(20), 80, expected=False)
        assert not await reaches(friend, lab.vip(21), 80, expected=False)
        assert await reaches(server, lab.vip(20), 80), "a Pod to itself, by its own Service"
        lab.api.add(policy("all", policyTypes=["Ingress", "Egress"]))
        await ward.settled()
        assert await reaches(server, lab.vip(20), 80), "nothing forbids that"


async def test_a_node_port_is_judged_by_who_asks(ward: PolicyLab) -> None:
    lab = ward.lab
    server = await ward.pod("server", app="web")
    lab.api.add(
        service("web", lab.vip(20), {"port": 80, "nodePort": 30080}, type="NodePort"),
        slice_of("web", [{"name": "", "port": PORT, "protocol": "TCP"}], endpoint(server.ip)),
    )
    deny = policy("web", selector=labelled(app="web"))
    from_host = [{"from": [{"ipBlock": {"cidr": f"{lab.host.ip}/32"}}]}]
    async with lab.proxy(), ward.enforced(deny):
        assert not await reaches(lab.host, lab.inside.ip, 30080, expected=False)
        lab.api.add(policy("web", selector=labelled(app="web"), ingress=from_host))
        await ward.settled()
        assert await reaches(lab.host, lab.inside.ip, 30080)


async def test_a_pod_gains_nothing_by_a_link_local_address(ward: PolicyLab) -> None:
    """Somebody on the node's network may listen at every address."""
    client = await ward.pod("client")
    node = ward.lab.node.plan.dns_ips[1]
    await Place(ward.lab, ward.lab.inside.path, "::").serve(PORT)
    add = ("ip", "addr", "add", "fe80::99/64", "dev", "eth0", "nodad")
    await ward.lab.node.execute(("nsenter", f"--net={client.path}", *add))
    async with ward.enforced():
        assert await reaches(client, node)
        ward.lab.api.add(policy("out", policyTypes=OUT))
        await ward.settled()
        assert not await reaches(client, node, expected=False)
        with await client.socket(socket.SOCK_STREAM, node) as sock:
            sock.bind(("fe80::99", 0, 0, _ETH0))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(REFUSED_AFTER_S):
                    await asyncio.get_running_loop().sock_connect(sock, (node, PORT))


async def test_a_host_port_leads_to_a_pod_that_may_be_isolated(ward: PolicyLab) -> None:
    lab = ward.lab
    friend, stranger = await ward.pod("friend", role="friend"), await ward.pod("stranger")
    exposed = [{"hostPort": 18080, "containerPort": PORT, "protocol": "TCP"}]
    await ward.pod("server", ports=exposed, app="web")
    allow = [{"from": [{"podSelector": labelled(role="friend")}], "ports": [port(PORT)]}]
    out = policy("out", selector=labelled(role="friend"), policyTypes=OUT)
    async with lab.proxy(), ward.enforced(policy("web", selector=labelled(app="web"), ingress=allow)):
        assert await reaches(friend, lab.inside.ip, 18080)
        assert not await reaches(stranger, lab.inside.ip, 18080, expected=False)
        assert not await reaches(lab.host, lab.inside.ip, 18080, expected=False)
        assert await reaches(lab.inside, lab.inside.ip, 18080)
        lab.api.add(out)
        await ward.settled()
        assert not await reaches(friend, lab.inside.ip, 18080, expected=False)


async def test_established_flows_live_on_and_new_ones_are_denied(ward: PolicyLab) -> None:
    server, client = await ward.pod("server"), await ward.pod("client")
    loop = asyncio.get_running_loop()
    async with ward.enforced():
        with await client.socket(socket.SOCK_DGRAM) as sock:
            await loop.sock_connect(sock, (server.ip, PORT))
            await loop.sock_sendall(sock, b"?")
            assert await loop.sock_recv(sock, 100)
            ward.lab.api.add(policy("deny", policyTypes=["Ingress", "Egress"]))
            await ward.settled()
            await loop.sock_sendall(sock, b"?")
            async with asyncio.timeout(30):
                assert await loop.sock_recv(sock, 100)
        assert not await reaches(client, server.ip, protocol="udp", expected=False)


async def test_cluster_dns_is_asked_by_those_who_may_ask_kube_dns(ward: PolicyLab) -> None:
    client = await ward.pod("client")
    dns = Place(ward.lab, ward.lab.inside.path, *ward.lab.node.plan.dns_ips)
    await dns.serve(53)
    kube_dns = {
        "namespaceSelector": labelled(**{"kubernetes.io/metadata.name": "kube-system"}),
        "podSelector": labelled(**{"k8s-app": "kube-dns"}),
    }
    async with ward.enforced(policy("deny", policyTypes=OUT)):
        for ip in dns.ips:
            assert not await reaches(client, ip, 53, protocol="udp", expected=False)
        for peer in (kube_dns, {"namespaceSelector": {}}, {"ipBlock": {"cidr": f"{dns.ip}/32"}}):
            allow = [{"to": [peer], "ports": [port(53, "UDP"), port(53)]}]
            ward.lab.api.add(policy("dns", policyTypes=OUT, egress=allow))
            await ward.settled()
            assert await reaches(client, dns.ip, 53, protocol="udp")
            assert await reaches(client, dns.ip, 53)
            if "ipBlock" not in peer:
                assert await reaches(client, dns.ips[-1], 53, protocol="udp")
        ward.lab.api.add(policy("dns", policyTypes=OUT, egress=[{"ports": [port(53, "UDP")]}]))
        await ward.settled()
        assert await reaches(client, dns.ip, 53, protocol="udp")
        assert not await reaches(client, dns.ip, 53, expected=False)


@BY_FAMILY
async def test_a_pod_may_always_reach_its_node_but_no_service_that_ends_there(
    ward: PolicyLab, family: int
) -> None:
    """The API server is there: on the node's own address, and behind Service `kubernetes`."""
    client = await ward.pod("client")
    lab = ward.lab
    await lab.inside.serve(6443)
    node = address(lab.inside, family)
    lab.api.add(
        service("kubernetes", lab.vip(1), {"port": 443}),
        slice_of("kubernetes", [{"name": "", "port": 6443, "protocol": "TCP"}], endpoint(lab.inside.ip)),
    )
    async with lab.proxy(), ward.enforced(policy("out", policyTypes=OUT)):
        assert await reaches(client, node, 6443)
        assert not await reaches(client, lab.vip(1), 443, expected=False)
        blocks = [{"ipBlock": {"cidr": f"{lab.inside.ip}/32"}}]
        lab.api.add(policy("out", policyTypes=OUT, egress=[{"to": blocks, "ports": [port(6443)]}]))
        await ward.settled()
        assert await reaches(client, node, 6443)
        assert await reaches(client, lab.vip(1), 443)


async def test_the_way_out_is_judged_by_where_it_leads(ward: PolicyLab) -> None:
    """What leaves the cluster is led to a relay of the node: the forward hook never sees it."""
    client, free = await ward.pod("client", role="held"), await ward.pod("free")
    async with outside(ward.lab) as world, way_out(ward.lab), ward.lab.proxy():
        await world.serve(80)
        await world.serve(81)

        async def only_these_pass(spec: list[Obj], *numbers: int) -> None:
            held = labelled(role="held")
            ward.lab.api.add(policy("out", selector=held, policyTypes=OUT, egress=spec))
            await ward.settled()
            for protocol, number in product(("tcp", "udp"), (80, 81)):
                passes = number in numbers
                got = await reaches(client, world.ip, number, protocol=protocol, expected=passes)
                assert got == passes, (protocol, number, spec)
                assert await reaches(free, world.ip, number, protocol=protocol)

        async with ward.enforced():
            ports = [port(80), port(80, "UDP")]
            await only_these_pass([])
            await only_these_pass([{"to": [{"ipBlock": {"cidr": f"{world.ip}/24"}}], "ports": ports}], 80)
            await only_these_pass([{"ports": ports}], 80)
            everywhere_else = {"cidr": "0.0.0.0/0", "except": [f"{world.ip}/32"]}
            await only_these_pass([{"to": [{"ipBlock": everywhere_else}]}])
            await only_these_pass([{"to": [{"ipBlock": {"cidr": f"{ward.lab.inside.ip}/32"}}]}])
            await only_these_pass([{"to": [{"namespaceSelector": {}}]}])
            await only_these_pass([{}], 80, 81)


@contextlib.asynccontextmanager
async def way_out(lab: Lab) -> AsyncIterator[None]:
    relay = EgressRelay(lab.node)
    await relay.start()
    try:
        yield
    finally:
        await relay.stop()


async def test_a_rule_without_ports_lets_pings_pass_and_one_with_ports_does_not(ward: PolicyLab) -> None:
    server, client = await ward.pod("server"), await ward.pod("client")
    rules = {
        False: [{"ports": [port(PORT), port(PORT, "UDP"), port(protocol="SCTP")]}],
        True: [{"from": [{"podSelector": {}}]}],
    }
    async with ward.enforced():
        assert await answers_ping(ward.lab, client, server.ip, expected=True)
        for passes, rule in rules.items():
            ward.lab.api.add(policy("in", ingress=rule))
            await ward.settled()
            assert await answers_ping(ward.lab, client, server.ip, expected=passes) == passes


async def test_a_pod_is_held_before_the_api_knows_its_address(ward: PolicyLab) -> None:
    lab = ward.lab
    server = await ward.pod("server", app="web")
    allow = [{"from": [{"podSelector": labelled(role="friend")}]}]
    async with ward.enforced(policy("in", selector=labelled(app="web"), ingress=allow)) as enforcer:
        late, friend = await lab.pod(), await lab.pod()
        await late.serve(PORT)
        for name, place, labels in (("late", late, {"app": "web"}), ("friend", friend, {"role": "friend"})):
            unborn = policies.pod(name, "default", phase="Pending", **labels)
            lab.api.add(unborn)
            await enforcer.admitted(unborn, place.ips)
        assert await reaches(friend, server.ip), "known as a peer before its first packet"
        assert await reaches(friend, late.ip)
        assert not await reaches(server, late.ip, expected=False), "isolated before its first packet"


async def test_drops_are_counted_by_pod_and_direction_and_say_who_it_was(ward: PolicyLab) -> None:
    server, client = await ward.pod("server", app="web"), await ward.pod("client")
    deny = policy("deny", selector=labelled(app="web"), policyTypes=["Ingress", "Egress"])
    async with ward.enforced(deny, policy("also", selector=labelled(app="web"))) as enforcer:
        assert not await reaches(client, server.ip, protocol="udp", expected=False)
        assert not await reaches(client, server.ip, protocol="udp", expected=False)
        assert not await reaches(server, client.ip, 9, expected=False)
        found = {drop.direction: drop for drop in await enforcer.drops() if drop.address == server.ip}
        into, out = found["ingress"], found["egress"]
        assert (into.pod, into.policies) == ("default/server", ("default/also", "default/deny"))
        assert (into.packets, into.bytes) == (2, 2 * 29)
        assert into.refused == ((Refused("ingress", client.ip, server.ip, "udp", PORT), 2),)
        assert out.policies == ("default/deny",)
        assert out.packets >= 1
        assert out.refused[0][0] == Refused("egress", server.ip, client.ip, "tcp", 9)
        ward.lab.api.remove(NETWORK_POLICIES, "also", "default")
        await ward.settled()
        (into,) = [d for d in await enforcer.drops() if (d.address, d.direction) == (server.ip, "ingress")]
        assert (into.policies, into.packets) == (("default/deny",), 2), "what was counted stays"


async def test_a_restart_leaves_no_gap_and_forgets_nothing(ward: PolicyLab) -> None:
    server, client = await ward.pod("server", app="web"), await ward.pod("client")
    deny = policy("deny", selector=labelled(app="web"))
    async with ward.enforced(deny):
        assert not await reaches(client, server.ip, protocol="udp", expected=False)
    before = await table_of(ward)
    async with knocking(client, server) as answers, ward.enforced() as enforcer:
        assert await enforcer.audit() == 0
        assert await table_of(ward) == before, "nothing was written again"
        (drop,) = [drop for drop in await enforcer.drops() if drop.address == server.ip]
        assert drop.packets >= 1
    assert not answers


async def test_other_rules_take_the_place_of_an_older_versions_without_a_gap(
    ward: PolicyLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = await ward.pod("server", app="web"), await ward.pod("client")
    with monkeypatch.context() as older:
        older.setattr(ruleset, "version_chain", lambda: "version_older")
        async with ward.enforced(policy("deny", selector=labelled(app="web"))):
            assert not await reaches(client, server.ip, protocol="udp", expected=False)
    async with knocking(client, server) as answers, ward.enforced():
        listed = await table_of(ward)
        assert not any("version_older" in line for line in listed)
        assert any(ruleset.version_chain() in line for line in listed)
    assert not answers


@contextlib.asynccontextmanager
async def knocking(client: Place, server: Place) -> AsyncIterator[list[bytes]]:
    """New flows all the time; what is answered."""
    answers: list[bytes] = []

    async def knock() -> None:
        while True:
            with await client.socket(socket.SOCK_DGRAM) as sock:
                sock.sendto(b"?", (server.ip, PORT))
                await asyncio.sleep(0.002)
                with contextlib.suppress(BlockingIOError):
                    answers.append(sock.recv(100))

    task = asyncio.create_task(knock())
    await asyncio.sleep(0.05)
    try:
        yield answers
    finally:
        await asyncio.sleep(0.05)
        assert not task.done() or task.exception() is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def table_of(ward: PolicyLab) -> list[str]:
    """Sets and chains with their handles, which are new when something is made anew."""
    text = await ward.lab.node.execute(("nft", "-a", "list", "table", "inet", "sampan-policy"))
    return [line for line in text.splitlines() if "handle" in line or "version" in line]


async def test_a_drifted_table_is_mended(ward: PolicyLab) -> None:
    server, client = await ward.pod("server", app="web"), await ward.pod("client")
    async with ward.enforced(policy("deny", selector=labelled(app="web"))) as enforcer:
        await ward.lab.node.load_nft(f"delete element inet sampan-policy in4 {{ {server.ip} }}\n")
        assert await reaches(client, server.ip)
        assert await enforcer.audit() == 1
        assert not await reaches(client, server.ip, expected=False)


_PING_IDS = itertools.count(1)
"""Each makes a flow of its own."""


async def answers_ping(lab: Lab, place: Place, target: str, *, expected: bool) -> bool:
    """An echo request by a raw socket, which hears every answer that comes to the place."""
    loop = asyncio.get_running_loop()
    raw = socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
    bare = struct.pack(">BBHHH", 8, 0, 0, next(_PING_IDS), 1)
    total = sum(struct.unpack(">4H", bare))
    with await lab.node.traveller.socket(place.path, *raw) as sock:
        await loop.sock_sendto(sock, bare[:2] + struct.pack(">H", ~total & 0xFFFF) + bare[4:], (target, 0))
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S if expected else REFUSED_AFTER_S):
                answer, (source, _) = await loop.sock_recvfrom(sock, 100)
                return source == target and answer[20] == 0
        except TimeoutError:
            return False


def test_the_labs_node_is_the_one_that_policies_hold_for() -> None:
    assert policies.pod("a")["spec"]["nodeName"] == NODE
