"""What an `up` asks for, and what a cluster keeps of it: each wish holds until another `up` has another.

What is on the command line is read before anything is touched. Raises UserError, which names the option.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sampan.api import names
from sampan.api.podsecurity import configuration
from sampan.cli import pools, ranges
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError
from sampan.kubelet import configfile
from sampan.kubelet.network import families


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


def read(parsed: argparse.Namespace) -> Asked:
    """What the words on the command line mean."""
    ports, external, balancers = (
        parsed.service_node_port_range,
        parsed.external_ips,
        parsed.load_balancer_pool,
    )
    grace_s = parsed.node_monitor_grace_period
    if grace_s is not None and not grace_s > 0:
        raise UserError("--node-monitor-grace-period must be more than 0 seconds")
    return Asked(
        mirrors=_mirrors(parsed.registry_mirror),
        image_root=parsed.image_root,
        unsafe_sysctls=parsed.allowed_unsafe_sysctls,
        pod_security=None if parsed.pod_security is None else document(parsed.pod_security, POD_SECURITY),
        kubelet=None if parsed.kubelet_config is None else document(parsed.kubelet_config, KUBELET),
        ip_families=parsed.ip_families,
        node_ports=None if ports is None else ranges.node_ports(ports),
        external_ips=None if external is None else ranges.networks("--external-ips", external),
        load_balancers=None if balancers is None else pools.parse(balancers),
        overlay=parsed.overlay,
        node_grace_s=grace_s,
        domain=parsed.cluster_domain,
    )


OPTIONS = {
    "mirrors": "--registry-mirror",
    "image_root": "--image-root",
    "unsafe_sysctls": "--allowed-unsafe-sysctls",
    "pod_security": "--pod-security",
    "kubelet": "--kubelet-config",
    "ip_families": "--ip-families",
    "node_ports": "--service-node-port-range",
    "external_ips": "--external-ips",
    "load_balancers": "--load-balancer-pool",
    "overlay": "--overlay",
    "node_grace_s": "--node-monitor-grace-period",
    "domain": "--cluster-domain",
}
"""By the name that a wish and a choice share, how it is said."""


def choose(cluster: Cluster, wanted: Asked, api_port: int) -> Choices:
    """What was chosen before, with what this `up` asks for; kept from now on."""
    chosen = _with(cluster, wanted, api_port)
    cluster.keep(chosen)
    return chosen


def put_off(cluster: Cluster, before: Choices, wanted: Asked) -> list[str]:
    """The options that ask for something else than a cluster that runs was brought up with."""
    usual = ",".join(f"ipv{version}" for version in families.usable())
    old, new = (
        json.loads(json.dumps(asdict(choices) | {"ip_families": choices.ip_families or usual}))
        for choices in (before, _with(cluster, wanted, before.api_port))
    )
    return [option for name, option in OPTIONS.items() if old[name] != new[name]]


def _with(cluster: Cluster, wanted: Asked, api_port: int) -> Choices:
    before = cluster.choices() or Choices(api_port, cluster.name)
    ip_families = _families(cluster, before.ip_families, wanted.ip_families)
    balancers = before.load_balancers if wanted.load_balancers is None else wanted.load_balancers
    if wanted.load_balancers:
        pools.check(cluster, balancers, families.parse(ip_families) if ip_families else families.usable())
    return Choices(
        api_port=api_port,
        node_name=before.node_name,
        mirrors={**before.mirrors, **wanted.mirrors},
        image_root=str(wanted.image_root.absolute()) if wanted.image_root else before.image_root,
        unsafe_sysctls=before.unsafe_sysctls if wanted.unsafe_sysctls is None else wanted.unsafe_sysctls,
        pod_security=before.pod_security if wanted.pod_security is None else wanted.pod_security,
        kubelet=before.kubelet if wanted.kubelet is None else wanted.kubelet,
        node_ports=before.node_ports if wanted.node_ports is None else wanted.node_ports,
        external_ips=before.external_ips if wanted.external_ips is None else wanted.external_ips,
        load_balancers=balancers,
        former_pools=[*dict.fromkeys((*before.former_pools, *before.load_balancers))],
        ip_families=ip_families,
        node_grace_s=before.node_grace_s if wanted.node_grace_s is None else wanted.node_grace_s,
        overlay=before.overlay if wanted.overlay is None else wanted.overlay,
        domain=_domain(cluster, before.domain, wanted.domain),
    )


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


def document(file: Path, form: Form) -> Mapping[str, Any]:
    """The document; none if the file is empty. Raises UserError."""
    from sampan.api import yaml  # or it would stay in the memory of every cluster

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
