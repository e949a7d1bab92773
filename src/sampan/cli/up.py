"""`sampan up`: a cluster in the background, ready when the command returns."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.api import names, yaml
from sampan.api.podsecurity import configuration
from sampan.apiserver.pki import Pki
from sampan.cli import cluster as clusters
from sampan.cli import daemon, fleet, pools, ranges, requirements, revival
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError, of_disk
from sampan.cli.options import add_arguments as add_arguments
from sampan.cli.terminal import Progress
from sampan.client import kubeconfig
from sampan.kubelet import configfile
from sampan.kubelet.network import families

API_PORT = 6443


def run(parsed: argparse.Namespace) -> int:
    cluster = clusters.from_arguments(parsed)
    mirrors = _mirrors(parsed.registry_mirror)
    ports, external = parsed.service_node_port_range, parsed.external_ips
    node_ports = None if ports is None else ranges.node_ports(ports)
    external_ips = None if external is None else ranges.networks("--external-ips", external)
    chosen = parsed.load_balancer_pool
    balancers = None if chosen is None else pools.parse(chosen)
    requirements.check()
    clusters.check_place(cluster)
    progress = Progress()
    count = fleet.asked_count(cluster, parsed.nodes)
    if parsed.node_monitor_grace_period is not None and not parsed.node_monitor_grace_period > 0:
        raise UserError("--node-monitor-grace-period must be more than 0 seconds")
    lock = cluster.lock()
    if lock is None:
        return _already_up(cluster, parsed.kubeconfig, count, progress)
    cluster.be_found()
    fleet.add_places(cluster, count)
    listener = _listener(cluster, progress)
    asked = Asked(
        mirrors,
        parsed.image_root,
        parsed.allowed_unsafe_sysctls,
        None if parsed.pod_security is None else _document(parsed.pod_security, POD_SECURITY),
        None if parsed.kubelet_config is None else _document(parsed.kubelet_config, KUBELET),
        parsed.ip_families,
        node_ports,
        external_ips,
        balancers,
        parsed.overlay,
        parsed.node_monitor_grace_period,
        parsed.cluster_domain,
    )
    choices = _choose(cluster, asked, listener.getsockname()[1])
    target = parsed.kubeconfig

    def serve(line: daemon.Line, ready: Callable[[], None]) -> int:
        clusters.write_pid(lock)
        return _serve(cluster, choices, listener, line, ready, _kubeconfig_path(target))

    if parsed.foreground:
        return serve(daemon.Line(None), lambda: _publish(cluster, choices, target))
    failure = daemon.detach(cluster.log, lambda line: serve(line, line.ready), progress.show)
    os.close(lock)
    listener.close()
    if failure is not None:
        raise UserError(
            f"the cluster {cluster.name!r} did not come up: {failure}", f"Its log is {cluster.log}."
        )
    _publish(cluster, choices, target)
    progress.done(
        f"sampan {cluster.name!r} is up in {progress.elapsed_s():.2f} s; "
        f"kubectl's context is {cluster.context!r} in {_kubeconfig_path(target)}"
    )
    return 0


def _already_up(cluster: Cluster, target: Path | None, count: int, progress: Progress) -> int:
    choices = cluster.choices()
    if choices is not None and Pki(cluster.pki).key("admin").exists():
        _publish(cluster, choices, target)
    if added := fleet.add_places(cluster, count):
        progress.show(f"adding {len(added)} node{'s' if len(added) > 1 else ''}")
        if pid := cluster.running_pid():
            os.kill(pid, signal.SIGHUP)
        asyncio.run(fleet.wait_for(cluster, [place.name for place in added]))
        progress.done(f"sampan {cluster.name!r} has {count} nodes, after {progress.elapsed_s():.2f} s")
        return 0
    print(f"sampan {cluster.name!r} is already up; kubectl's context is {cluster.context!r}")
    return 0


def _mirrors(words: list[str]) -> Mapping[str, str]:
    mirrors = {}
    for word in words:
        host, equals, url = word.partition("=")
        if not equals or not host or not url.startswith(("http://", "https://")):
            raise UserError(
                f"--registry-mirror {word!r} is not HOST=URL",
                "For instance: --registry-mirror docker.io=http://127.0.0.1:5000",
            )
        mirrors[host] = url.rstrip("/")
    return mirrors


@dataclass(frozen=True)
class Asked:
    """What an `up` asks for; None for what stays as it was chosen before."""

    mirrors: Mapping[str, str] = field(default_factory=dict)
    image_root: Path | None = None
    unsafe_sysctls: list[str] | None = None
    pod_security: Mapping[str, Any] | None = None
    kubelet: Mapping[str, Any] | None = None
    ip_families: str | None = None
    node_ports: tuple[int, int] | None = None
    external_ips: list[str] | None = None
    load_balancers: list[str] | None = None
    overlay: bool | None = None
    node_grace_s: float | None = None
    domain: str | None = None


def _choose(cluster: Cluster, asked: Asked, api_port: int) -> Choices:
    """What was chosen before, with what this `up` asks for."""
    before = cluster.choices() or Choices(api_port, cluster.name)
    ip_families = _families(cluster, before.ip_families, asked.ip_families)
    balancers = before.load_balancers if asked.load_balancers is None else asked.load_balancers
    if asked.load_balancers:
        pools.check(cluster, balancers, families.parse(ip_families) if ip_families else families.usable())
    chosen = Choices(
        api_port=api_port,
        node_name=before.node_name,
        mirrors={**before.mirrors, **asked.mirrors},
        image_root=str(asked.image_root.absolute()) if asked.image_root else before.image_root,
        unsafe_sysctls=before.unsafe_sysctls if asked.unsafe_sysctls is None else asked.unsafe_sysctls,
        pod_security=before.pod_security if asked.pod_security is None else asked.pod_security,
        kubelet=before.kubelet if asked.kubelet is None else asked.kubelet,
        node_ports=before.node_ports if asked.node_ports is None else asked.node_ports,
        external_ips=before.external_ips if asked.external_ips is None else asked.external_ips,
        load_balancers=balancers,
        former_pools=[*dict.fromkeys((*before.former_pools, *before.load_balancers))],
        ip_families=ip_families,
        node_grace_s=before.node_grace_s if asked.node_grace_s is None else asked.node_grace_s,
        overlay=before.overlay if asked.overlay is None else asked.overlay,
        domain=_domain(cluster, before.domain, asked.domain),
    )
    cluster.keep(chosen)
    return chosen


def _families(cluster: Cluster, before: str, asked: str | None) -> str:
    """The families chosen; the primary one stays for as long as the cluster does."""
    if asked is None:
        return before
    try:
        primary = families.parse(asked)[0]
    except ValueError as error:
        raise UserError(f"--ip-families: {error}", "For instance: --ip-families ipv4,ipv6") from error
    was = families.parse(before)[0] if before else families.DEFAULT[0]
    if primary != was and cluster.choices() is not None:
        raise UserError(
            f"--ip-families {asked}: the primary family of {cluster.name!r} is IPv{was}, and its Services "
            "have addresses of it",
            f"Name IPv{was} first, or begin anew with `sampan down --name {cluster.name}`.",
        )
    return asked


def _domain(cluster: Cluster, before: str, asked: str | None) -> str:
    """The domain chosen; it stays for as long as the cluster does."""
    if asked is None or asked == before:
        return before
    if names.dns_subdomain(asked):
        raise UserError(
            f"--cluster-domain {asked!r} is no domain", "For instance: --cluster-domain cluster.local"
        )
    if cluster.choices() is not None:
        raise UserError(
            f"--cluster-domain {asked}: the domain of {cluster.name!r} is {before}, and its Pods know it",
            f"Begin anew with `sampan down --name {cluster.name}`.",
        )
    return asked


@dataclass(frozen=True)
class Form:
    """A document that `up` takes: `check` raises ValueError for what is wrong in one."""

    option: str
    check: Callable[[dict[str, Any]], object]
    advice: str


POD_SECURITY = Form(
    "--pod-security",
    configuration.parse,
    "See kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller.",
)
KUBELET = Form(
    "--kubelet-config",
    configfile.settings,
    "See kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1.",
)


def _document(file: Path, form: Form) -> Mapping[str, Any]:
    """The document; none if the file is empty. Raises UserError."""
    try:
        document, _ = yaml.read(file.read_bytes(), max_depth=10)
        if not document:
            return {}
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        form.check(document)
    except (OSError, ValueError) as error:
        raise UserError(f"{form.option} {file}: {error}", form.advice) from error
    return document


def _listener(cluster: Cluster, progress: Progress) -> socket.socket:
    """The API's socket on loopback: on the port it had before, else on 6443, else on any.

    Taken at once, so that no other cluster that comes up in this moment can choose the same port.
    """
    before = cluster.choices()
    for port in (before.api_port if before else API_PORT, 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            listener.close()
            continue
        listener.setblocking(False)
        if before and not port:
            taken, chosen = before.api_port, listener.getsockname()[1]
            progress.show(f"another program listens on port {taken}; the API moves to {chosen}")
        return listener
    raise UserError("no TCP port is free on 127.0.0.1", "End some of the programs that listen there.")


def _kubeconfig_path(target: Path | None) -> Path:
    return target.absolute() if target else kubeconfig.default_path()


def _publish(cluster: Cluster, choices: Choices, target: Path | None) -> None:
    """Writes the administrator's kubeconfigs. Not in the background: there YAML would stay in memory."""
    keys = Pki(cluster.pki)
    access = kubeconfig.Access(
        server=f"https://127.0.0.1:{choices.api_port}",
        ca=keys.ca.read_bytes(),
        client_cert=keys.certificate("admin").read_bytes(),
        client_key=keys.key("admin").read_bytes(),
    )
    for path in (cluster.kubeconfig, _kubeconfig_path(target)):
        kubeconfig.add_context(path, cluster.context, access)


def _in_words(cause: BaseException) -> str:
    if isinstance(cause, UserError):
        return str(cause)
    if isinstance(cause, OSError) and (said := of_disk(cause)) is not None:
        return str(said)
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _serve(
    cluster: Cluster,
    choices: Choices,
    listener: socket.socket,
    line: daemon.Line,
    ready: Callable[[], None],
    target: Path,
) -> int:
    """The background process: everything, until it is told to stop."""
    from sampan.cli.assembly import Assembly

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s", stream=sys.stderr
    )

    daemon.allow_open_files()
    was_up = threading.Event()

    def up() -> None:
        ready()
        was_up.set()

    try:
        asyncio.run(Assembly(cluster, choices, listener).run(line.progress, up))
    except BaseException as error:
        cause = daemon.first_cause(error)
        line.failed(_in_words(cause))
        log = logging.getLogger(__name__)
        log.exception("the cluster ended")
        if (
            was_up.is_set()
            and isinstance(cause, Exception)
            and revival.helps(revival.earlier(), time.monotonic())
        ):
            log.warning("starting anew; Pods run on")
            revival.revive(cluster, target)
        return 1
    return 0
