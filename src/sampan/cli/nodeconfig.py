"""What a cluster tells its nodes: the ConfigMap kube-system/sampan-config, which every node may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS
from sampan.cli import pools
from sampan.cli.cluster import DEFAULT_DOMAIN, Choices, Cluster
from sampan.client.client import Client

NAMESPACE, NAME, FIELD = "kube-system", "sampan-config", "node"
REMEMBERED = "node.json"


@dataclass(frozen=True)
class NodeConfig:
    """Paths are those of the machine `machine_id`, which all nodes of a cluster share."""

    cluster: str
    machine_id: str
    address_plan: str
    lan: str
    families: str = ""
    overlay: bool = False
    images: str = ""
    mirrors: Mapping[str, str] = field(default_factory=dict)
    unsafe_sysctls: Sequence[str] = ()
    kubelet: Mapping[str, Any] = field(default_factory=dict)
    domain: str = DEFAULT_DOMAIN
    load_balancers: Sequence[str] = ()


class NoConfig(Exception):
    """The cluster tells nothing, or nothing that can be read."""


def of(cluster: Cluster, choices: Choices) -> NodeConfig:
    return NodeConfig(
        cluster=cluster.name,
        machine_id=machine_id(),
        address_plan=str(cluster.address_plan),
        lan=str(cluster.lan),
        families=choices.ip_families,
        overlay=choices.overlay,
        images=str(choices.images),
        mirrors=choices.mirrors,
        unsafe_sysctls=choices.unsafe_sysctls,
        kubelet=choices.kubelet,
        domain=choices.domain,
        load_balancers=pools.networks(choices.load_balancers),
    )


def machine_id() -> str:
    """What tells this machine from others; "" where nothing does."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Membership:
    """What a node's directory remembers, so that all of it can be found when it is to go."""

    number: int
    cluster: str
    address_plan: str
    lan: str
    pod_cidrs: Sequence[str] = ()


def remember(place: Cluster, number: int, pod_cidrs: Sequence[str], config: NodeConfig) -> None:
    told = Membership(number, config.cluster, config.address_plan, config.lan, pod_cidrs)
    (place.data / REMEMBERED).write_bytes(orjson.dumps(asdict(told)))


def membership(place: Cluster) -> Membership | None:
    """None for a node that never came so far as to have a number, and for what is no node's directory."""
    try:
        return Membership(**orjson.loads((place.data / REMEMBERED).read_bytes()))
    except (OSError, TypeError, orjson.JSONDecodeError):
        return None


async def publish(client: Client, config: NodeConfig) -> None:
    data = {FIELD: orjson.dumps(asdict(config), option=orjson.OPT_SORT_KEYS).decode()}
    try:
        await client.create(CONFIG_MAPS, {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data})
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        await client.patch(CONFIG_MAPS, NAME, {"data": data}, namespace=NAMESPACE)


async def fetch(client: Client) -> NodeConfig:
    """Raises NoConfig, StatusError, Unreachable."""
    return read(await client.get(CONFIG_MAPS, NAME, NAMESPACE))


def read(config_map: Obj) -> NodeConfig:
    try:
        return NodeConfig(**orjson.loads((config_map.get("data") or {})[FIELD]))
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise NoConfig(f"ConfigMap {NAMESPACE}/{NAME} cannot be read: {error}") from error
