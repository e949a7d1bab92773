from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, Transport, UserInfo, WatchEvent
from sampan.api.resources import SERVICE_ACCOUNTS, Resource
from sampan.apiserver import pki
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.apiserver.streams.fake import FakeNode
from sampan.store.contract import Store
from sampan.store.memory import MemoryStore

USER = UserInfo("tester", ("system:authenticated",))
DUAL = ("10.96.0.0/16", "fd00:96::/112")
HOSTS = ("localhost", "127.0.0.1", "::1", "kubernetes.default.svc.cluster.local")


@dataclass
class Api:
    """A running server and the short way to ask it something, in process."""

    server: ApiServer
    transport: Transport
    node: FakeNode

    async def call(
        self,
        verb: str,
        resource: Resource,
        name: str = "",
        body: Any = None,
        *,
        namespace: str = "default",
        sub: str = "",
        content_type: str = "application/merge-patch+json",
        **params: str,
    ) -> Obj:
        scope = namespace if resource.namespaced else ""
        return await self.transport.call(
            Request(verb, resource, scope, name, sub, params, body, content_type)
        )

    async def create(self, resource: Resource, body: Obj, **params: Any) -> Obj:
        return await self.call("create", resource, body=body, **params)

    def watch(self, resource: Resource, **params: str) -> AsyncIterator[WatchEvent]:
        return self.transport.watch(Request("watch", resource, "default", params=params))

    def tls(self) -> ssl.SSLContext:
        """As the administrator."""
        keys = self.server.pki
        context = ssl.create_default_context(cafile=str(keys.ca))
        context.load_cert_chain(keys.certificate("admin"), keys.key("admin"))
        return context


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PKI that all tests of a session share: making keys takes longer than most tests."""
    directory = tmp_path_factory.mktemp("pki")
    pki.load_or_create(directory, [*HOSTS, "10.96.0.1", "fd00:96::1", "kubernetes", "kubernetes.default"])
    return directory


@asynccontextmanager
async def running(config: ServerConfig, store: Store | None = None) -> AsyncIterator[Api]:
    """A server over `store`, or over one of its own in memory."""
    node = FakeNode()
    server = ApiServer(config, store or MemoryStore(), lambda name: node if name == "n1" else None)
    await server.start()
    api = Api(server, server.transport(USER), node)
    try:
        with suppress(StatusError):  # there already, in a store of before
            await api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}})
        yield api
    finally:
        await server.stop()


@pytest.fixture
async def api(keys: Path) -> AsyncIterator[Api]:
    async with running(ServerConfig(pki_dir=keys)) as api:
        yield api


@pytest.fixture
async def dual(keys: Path) -> AsyncIterator[Api]:
    """The API of a cluster that has Service ranges of both families, IPv4 first."""
    async with running(ServerConfig(pki_dir=keys, service_cidrs=DUAL)) as api:
        yield api


@pytest.fixture
def serve(keys: Path) -> Callable[..., AbstractAsyncContextManager[Api]]:
    """Starts a server over a store, with settings: for what depends on either."""

    def serve(store: Store | None = None, **settings: Any) -> AbstractAsyncContextManager[Api]:
        return running(ServerConfig(pki_dir=keys, **settings), store)

    return serve


@pytest.fixture
def pod() -> Callable[..., Obj]:
    def make(name: str, node: str = "", **metadata: Any) -> Obj:
        spec: Obj = {"containers": [{"name": "c", "image": "nginx"}]}
        if node:
            spec["nodeName"] = node
        return {"metadata": {"name": name, **metadata}, "spec": spec}

    return make
