"""A node of real namespaces, Pods with servers in them, and a proxy fed by an API server in memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import cast
from uuid import uuid4

from sampan.api.objects import Obj, key_of
from sampan.api.resources import ENDPOINT_SLICES, PODS, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.network import namespace
from sampan.kubelet.network.node import NodeNamespace, ensure_node
from sampan.kubelet.network.veth import VethNetwork
from sampan.proxy.proxy import Proxy, ProxyConfig
from sampan.proxy.rules import SERVICE_NAME

NODE = "node-1"
HOST = "host"


def service(name: str, address: str, *ports: Obj, **spec: object) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [*ports],
            **spec,
        },
    }


def endpoint(address: str, node: str = NODE, **conditions: bool) -> Obj:
    return {"addresses": [address], "nodeName": node, "conditions": {"ready": True} | conditions}


def slice_of(name: str, ports: list[Obj], *endpoints: Obj, suffix: str = "a") -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{suffix}",
            "namespace": "default",
            "labels": {SERVICE_NAME: name},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": list(endpoints),
    }


class Place:
    """Somewhere packets start or end: the host, the node, or a Pod."""

    def __init__(self, lab: Lab, path: str, *ips: str) -> None:
        self.ips = ips
        self.ip = ips[0]
        self.path = path
        self._lab = lab

    async def socket(self, kind: socket.SocketKind, address: str = "") -> socket.socket:
        """Of the family of `address`."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if not self.path:
            return socket.socket(family, kind | socket.SOCK_NONBLOCK)
        return await self._lab.node.traveller.socket(self.path, family, kind)

    async def ask(self, address: str, port: int, timeout_s: float = 30.0) -> str:
        """The answer of one new TCP connection: who answered, and whom it saw."""
        loop = asyncio.get_running_loop()
        with await self.socket(socket.SOCK_STREAM, address) as sock:
            async with asyncio.timeout(timeout_s):
                await loop.sock_connect(sock, (address, port))
                return (await loop.sock_recv(sock, 100)).decode()

    async def serve(self, port: int) -> None:
        """Tells every TCP client `PLACE CLIENT`, and the same by UDP, at each of its addresses."""
        for ip in self.ips:
            listener = await self.socket(socket.SOCK_STREAM, ip)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((ip, port))
            server = await asyncio.start_server(self._answer, sock=listener, backlog=1000)
            datagrams = await self.socket(socket.SOCK_DGRAM, ip)
            datagrams.bind((ip, port))
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                functools.partial(_Echo, ip), sock=datagrams
            )
            self._lab.closing += [server.close, transport.close]

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here, there = (writer.get_extra_info(name)[0] for name in ("sockname", "peername"))
        writer.write(f"{here} {there}".encode())
        writer.close()


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, ip: str) -> None:
        self._ip = ip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(f"{self._ip} {addr[0]}".encode(), addr)


class Lab:
    def __init__(self, root: Path, node: NodeNamespace) -> None:
        self.root = root
        self.node = node
        self.family = node.plan.families[0]
        self.network = VethNetwork(node, root / "addresses")
        self.api = FakeTransport()
        self.host = Place(self, "", *(str(row.host.ip) for row in node.plan.families))
        self.inside = Place(self, node.path, *node.plan.node_ips)
        self.closing: list[Callable[[], None]] = []
        self.pods: list[Path] = []
        self._proxies: list[Proxy] = []

    def config(self) -> ProxyConfig:
        return ProxyConfig(
            NODE,
            self.node.plan.node_ips,
            self.node.plan.pod_cidrs,
            self.node.plan.service_cidrs,
            frozenset(self.node.plan.dns_ips),
            self.node.plan.cluster_cidrs,
            self.node.plan.load_balancers,
        )

    def vip(self, n: int) -> str:
        return str(self.family.service_cidr[n])

    def pod_ip(self, n: int) -> str:
        return str(self.family.pod_cidr[n])

    @contextlib.asynccontextmanager
    async def proxy(self) -> AsyncIterator[Proxy]:
        client = Client(self.api)
        informers = Informers(client)
        proxy = Proxy(client, informers, self.node.socket, self.node.load_nft, self.config())
        tasks = [asyncio.create_task(informers.run()), asyncio.create_task(proxy.run())]
        try:
            async with asyncio.timeout(30):
                waiting = asyncio.create_task(proxy.wait_synced())
                await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            self._proxies.append(proxy)
            yield proxy
        finally:
            if proxy in self._proxies:
                self._proxies.remove(proxy)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def pod(self) -> Place:
        pin = self.root / f"pod{len(self.pods)}"
        await asyncio.to_thread(namespace.create, pin)
        self.pods.append(pin)
        addresses = await self.network.attach(f"uid-{len(self.pods)}", str(pin))
        return Place(self, str(pin), *addresses.ips)

    async def settle(self) -> None:
        """Returns when the kernel knows everything that the API has, and has forgotten what went."""
        for proxy in self._proxies:
            async with asyncio.timeout(30):
                while not self._told(proxy):  # noqa: ASYNC110 (it is somebody else's state)
                    await asyncio.sleep(0.001)
                await proxy._flows_forgotten()

    def _told(self, proxy: Proxy) -> bool:
        followed = (
            (proxy._services, self.api.objects(SERVICES)),
            (proxy._slices, self.api.objects(ENDPOINT_SLICES)),
            (proxy._pods, [pod for pod in self.api.objects(PODS) if pod["spec"].get("nodeName") == NODE]),
        )
        known = all(same(stored, informer.list()) for informer, stored in followed)
        return known and proxy._ready and not proxy._arranged


def same(stored: Iterable[Obj], seen: Iterable[Obj]) -> bool:
    def versions(objects: Iterable[Obj]) -> set[tuple[str, str]]:
        return {(key_of(obj), obj["metadata"]["resourceVersion"]) for obj in objects}

    return versions(stored) == versions(seen)


@contextlib.asynccontextmanager
async def lab_in(root: Path, *, families: Sequence[int] = ()) -> AsyncIterator[Lab]:
    """A lab with its files below `root`; nothing of it is left afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    node = await ensure_node(name, root / "node", root / "network.json", families=families)
    lab = Lab(root, node)
    await lab.network.open()
    try:
        yield lab
    finally:
        for close in lab.closing:
            close()
        lab.network.close()
        for pin in lab.pods:
            namespace.unpin(pin)
        await node.remove()
        node.close()
