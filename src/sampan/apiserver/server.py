"""The API server: puts its parts together, starts and stops them.

Tasks it owns: the hub that follows the store, the bookmark clock, and housekeeping. Requests have tasks of
their own, owned by the HTTP server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.podsecurity.configuration import PodSecurityConfig
from sampan.api.request import Transport, UserInfo
from sampan.api.resources import COMPUTED, CONFIG_MAPS, PODS, Resource
from sampan.api.streams import NodeStreams
from sampan.apiserver import pki, rest, route
from sampan.apiserver.admission.chain import Admission
from sampan.apiserver.admission.externalips import DenyServiceExternalIPs
from sampan.apiserver.admission.podsecurity import PodSecurity
from sampan.apiserver.authn import Authenticator
from sampan.apiserver.authz import (
    ANONYMOUS,
    AUTHENTICATED,
    BOOTSTRAPPERS,
    KUBELET_CALLERS,
    NODES_GROUP,
    AuthenticatedMay,
    Authorizer,
    Confining,
    Nothing,
)
from sampan.apiserver.bootstrap import Advertised, bootstrap, keep, provide_class
from sampan.apiserver.bootstraptokens import BootstrapTokens
from sampan.apiserver.dispatch import Dispatcher
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.housekeeping import Housekeeping
from sampan.apiserver.http import HttpServer, bound_socket
from sampan.apiserver.impersonation import impersonated
from sampan.apiserver.kubeletport import KubeletPort
from sampan.apiserver.metrics import Metrics
from sampan.apiserver.nodeauthorizer import Bootstrapper, NodeAuthorizer
from sampan.apiserver.nonresource import NonResource
from sampan.apiserver.pipeline import Pipeline
from sampan.apiserver.pki import Pki
from sampan.apiserver.proxying.connect import ProxyConnect
from sampan.apiserver.proxying.kubelets import Kubelets
from sampan.apiserver.registry import kinds
from sampan.apiserver.registry.nodes import NodeHooks
from sampan.apiserver.registry.services import ServiceHooks
from sampan.apiserver.repair import AddressRepair
from sampan.apiserver.reviews import Reviews
from sampan.apiserver.servicecidrs import ServiceCIDRs
from sampan.apiserver.storage import scope_prefix
from sampan.apiserver.streams.connect import Connect
from sampan.apiserver.tokens import Tokens
from sampan.apiserver.transport import DirectTransport
from sampan.apiserver.usage import UsageMetrics
from sampan.apiserver.watchcache import Hub
from sampan.store.contract import Store

log = logging.getLogger(__name__)

BOOKMARK_INTERVAL_S = 60.0
CLUSTER_INFO_READER = UserInfo("system:anonymous", ("system:unauthenticated", AUTHENTICATED))
_ITSELF = UserInfo("system:apiserver", ("system:masters", AUTHENTICATED))


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`sockets` are further listening sockets, already bound (in whatever network namespace).

    `advertise_host` and `advertise_port` are where Pods reach the server: the endpoints of the `kubernetes`
    Service. Without a host that Service has none; port 0 is the port listened on. `names` are further DNS
    names and addresses for the server's certificate. `listener`, if given, is bound to host and port already;
    the server owns it from `start` on. `service_cidrs` are where cluster addresses come from, one of each
    family at most; the first one's family is what Services have that ask for none.
    """

    pki_dir: Path
    pki_maker: pki.Maker | None = None
    """Who has begun to make what is missing there; see `pki.begin`."""
    host: str = "127.0.0.1"
    port: int = 0
    listener: socket.socket | None = None
    sockets: Sequence[socket.socket] = ()
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    cluster_cidrs: tuple[str, ...] = ()
    """Of which each Node gets its part as spec.podCIDRs, the primary family's first; none: they get none."""
    node_port_range: tuple[int, int] = (30000, 32767)
    reserved_ports: frozenset[int] = frozenset()
    """Where nodes themselves answer: no Service's node ports, however wide the range is."""
    cluster_domain: str = "cluster.local"
    advertise_host: str = ""
    advertise_port: int = 0
    names: Sequence[str] = ()
    node_sockets: Mapping[str, socket.socket] = field(default_factory=dict)
    """By node name: where that node's own pages are asked for."""
    external_ips: Sequence[str] = ()
    """The networks that Services may have externalIPs of."""
    pod_security: PodSecurityConfig = field(default_factory=PodSecurityConfig)


class ApiServer:
    """Opens the store at `start`, closes it at `stop`. `streams(node_name)` finds a node's streaming side."""

    def __init__(
        self, config: ServerConfig, store: Store, streams: Callable[[str], NodeStreams | None]
    ) -> None:
        self.config = config
        self.store = store
        self.hub = Hub(store)
        self.pki = Pki(config.pki_dir)
        self.port = config.port
        self._streams = streams
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False
        self._node_ports: list[HttpServer] = []

    @property
    def server_url(self) -> str:
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"https://{host}:{self.port}"

    async def start(self) -> None:
        """Returns once the API answers and the built-in objects are there."""
        config = self.config
        sock = config.listener or bound_socket(config.host, config.port)
        making = pki.provide(config.pki_dir, self._names(), config.pki_maker)
        keys = asyncio.create_task(making)  # another program's work, meanwhile
        try:
            self.port = sock.getsockname()[1]
            await self.store.open()
            await self.hub.open()
            self._assemble()
            self._spawn(self.hub.run(), "watch cache")
            self._spawn(self._bookmarks(), "bookmarks")
            self._spawn(self._housekeeping.run(), "housekeeping")
            advertised = Advertised(
                tuple(config.service_cidrs), config.advertise_host, config.advertise_port or self.port
            )
            await bootstrap(self.transport(_ITSELF), advertised)
            await provide_class(self.transport(_ITSELF))
            self._spawn(keep(self.transport(_ITSELF), advertised), "kubernetes Service")
            self._spawn(self._service_cidrs.run(), "service CIDRs")
            self._spawn(self._repair.run(), "address repair")
            await keys
            context = self.pki.server_context()
            for listening in (sock, *config.sockets):
                await self._http.listen(listening, context)
            for name, listening in config.node_sockets.items():
                pages = HttpServer(KubeletPort(self._http.handler, name))
                self._node_ports.append(pages)
                await pages.listen(listening, context)
        except BaseException:
            keys.cancel()
            sock.close()
            await self.stop()
            raise
        self._ready = True

    async def stop(self) -> None:
        """Ends watches and streams, lets writes finish, closes the store."""
        self._ready = False
        self.hub.shut()
        if hasattr(self, "_http"):
            await self._http.stop()
        for pages in self._node_ports:
            await pages.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.store.close()

    def transport(self, user: UserInfo) -> Transport:
        """The API for a component in this process, as `user`."""
        return DirectTransport(self.dispatcher, user)

    def _assemble(self) -> None:
        services = ServiceHooks(
            self.hub, self.config.service_cidrs, self.config.node_port_range, self.config.reserved_ports
        )
        nodes = NodeHooks(self.hub, self.config.cluster_cidrs)
        admission = Admission(
            self.hub,
            ready=[
                DenyServiceExternalIPs(self.hub, self.config.external_ips),
                PodSecurity(self.hub, self.config.pod_security),
            ],
        )
        self.pipeline = Pipeline(self.store, self.hub, kinds.hooks(services, nodes), admission)
        issuer = f"https://kubernetes.default.svc.{self.config.cluster_domain}"
        self.tokens = Tokens(self.pki.service_account_key, issuer, self._live)
        confined: dict[str, Authorizer] = {
            NODES_GROUP: NodeAuthorizer(self._live, self._pods_of),
            BOOTSTRAPPERS: Bootstrapper(),
            KUBELET_CALLERS: Nothing(),
        }
        authorizer = Confining(confined, AuthenticatedMay())
        reviews = Reviews(authorizer, self.tokens)
        kubelets = Kubelets(self.pki, self._live)
        usage = UsageMetrics(self.pipeline, self._streams, kubelets)
        computed = dict.fromkeys(COMPUTED, usage.answer)
        self.dispatcher = Dispatcher(self.pipeline, authorizer, reviews, self.tokens, computed)
        self._housekeeping = Housekeeping(self.hub, self.transport(_ITSELF))
        self._service_cidrs = ServiceCIDRs(self.hub, services.addresses, self.transport(_ITSELF))
        self._repair = AddressRepair(self.hub, services, self.transport(_ITSELF))
        self.metrics = Metrics(self.hub)
        checks = {"ping": lambda: True, "store": self._store_works, "poststarthook/bootstrap": self._is_ready}
        front = Front(
            Authenticator(self.tokens, BootstrapTokens(self._live)),
            self.dispatcher,
            NonResource(self.tokens, checks, self.metrics.text),
            Connect(self.dispatcher, self._streams, kubelets),
            self.metrics,
            ProxyConnect(self.dispatcher, self._streams, kubelets),
            authorizer,
        )
        self._http = HttpServer(front)

    def _names(self) -> list[str]:
        config = self.config
        firsts = [str(ipaddress.ip_network(cidr)[1]) for cidr in config.service_cidrs]
        service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        service.append(f"kubernetes.default.svc.{config.cluster_domain}")
        hosts = ["localhost", "127.0.0.1", "::1", *firsts, config.host, config.advertise_host, *config.names]
        return service + [host for host in hosts if host and host not in ("0.0.0.0", "::")]

    def _live(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        entry = self.pipeline.find(resource, namespace, name)
        return entry.obj if entry is not None else None

    def _pods_of(self, node_name: str, namespace: str) -> Iterator[Obj]:
        for entry in self.pipeline.cache(PODS).scan(scope_prefix(PODS, namespace)):
            if entry.obj["spec"].get("nodeName") == node_name:
                yield entry.obj

    def _store_works(self) -> bool:
        return bool(self._tasks) and not self._tasks[0].done()

    def _is_ready(self) -> bool:
        return self._ready

    async def _bookmarks(self) -> None:
        while True:
            await asyncio.sleep(BOOKMARK_INTERVAL_S)
            self.hub.bookmark()

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"apiserver {what}")
        task.add_done_callback(_report)
        self._tasks.append(task)


class Front:
    """Keeps http.Handler: who asks, what for, who answers."""

    def __init__(
        self,
        authenticator: Authenticator,
        dispatcher: Dispatcher,
        nonresource: NonResource,
        connect: Connect,
        metrics: Metrics,
        proxy: ProxyConnect,
        authorizer: Authorizer,
    ) -> None:
        self._authenticator = authenticator
        self._dispatcher = dispatcher
        self._nonresource = nonresource
        self._connect = connect
        self._metrics = metrics
        self._proxy = proxy
        self._authorizer = authorizer
        self._rest = rest.Rest(dispatcher)

    def takes_body(self, exchange: Exchange) -> bool:
        return route.proxied(exchange.raw_path) is not None

    def knows(self, exchange: Exchange) -> bool:
        try:
            return self._authenticator.user(exchange) is not ANONYMOUS
        except StatusError:
            return False

    def answer_now(self, exchange: Exchange) -> bool:
        """Plain GETs are answered without a task of their own."""
        if exchange.method != "GET" or exchange.raw_query or exchange.upgrade:
            return False
        began = time.perf_counter()
        try:
            if not self._rest.get_now(exchange, self._known(exchange)):
                return False
        except StatusError:
            return False  # said again, and answered, in `answer`
        self._metrics.count(exchange, time.perf_counter() - began)
        return True

    async def answer(self, exchange: Exchange) -> None:
        began = time.perf_counter()
        try:
            await self._answer(exchange)
        except StatusError as error:
            rest.refuse(exchange, error)
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("%s %s failed", exchange.method, exchange.path)
            rest.refuse(exchange, errors.internal(f"{type(error).__name__}: {error}"))
        finally:
            self._metrics.count(exchange, time.perf_counter() - began)

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.too_large:
            exchange.keep_alive = False
            raise errors.too_large("Request entity too large: limit is 3145728")
        if (proxied := route.proxied(exchange.raw_path)) is not None:
            await self._proxy.answer(exchange, self._known(exchange), proxied)
            return
        found = route.parse(exchange.path)
        if found is None:
            if not self._nonresource.public(exchange.path):
                user = self._known(exchange)
                self._dispatcher.authorize_path(user, exchange.method.lower(), exchange.path)
            self._nonresource.answer(exchange)
            return
        user = CLUSTER_INFO_READER if _is_cluster_info(exchange, found) else self._known(exchange)
        if found.subresource == "proxy":
            raise errors.no_such_path()  # spelled so that it is none of `proxied`
        if found.subresource in self._connect.subresources:
            await self._connect.answer(exchange, user, found)
            return
        await self._rest.answer(exchange, user, found)

    def _known(self, exchange: Exchange) -> UserInfo:
        user = self._authenticator.user(exchange)
        if user is ANONYMOUS:
            raise errors.unauthorized()
        return impersonated(user, exchange.headers, self._authorizer)


def _is_cluster_info(exchange: Exchange, found: route.Route) -> bool:
    """What anybody may read, as with kubeadm: where the cluster is, and whose certificates to trust there."""
    return exchange.method == "GET" and found == route.Route(CONFIG_MAPS, "kube-public", "cluster-info", "")


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s ended: %s", task.get_name(), error, exc_info=error)
