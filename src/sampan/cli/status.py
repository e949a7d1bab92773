"""`sampan status`: one screen about a cluster, from its process and its API."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampan.api.objects import Obj, condition_is_true, name_of
from sampan.api.podspec import phase
from sampan.api.resources import NODES, PODS, SERVICES
from sampan.cli import cluster as clusters
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError
from sampan.cli.terminal import size
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.https import HttpsTransport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clusters.add_arguments(parser)
    parser.add_argument("-o", "--output", choices=["json"], help="for programs")


def run(parsed: argparse.Namespace) -> int:
    cluster, choices = clusters.existing(parsed)
    pid = cluster.running_pid()
    if not pid:
        raise UserError(
            f"the cluster {cluster.name!r} is down", f"`sampan up --name {cluster.name}` brings it back up."
        )
    try:
        facts = asyncio.run(_look(cluster, choices, pid))
    except (Unreachable, kubeconfig.KubeconfigError) as error:
        raise UserError(
            f"process {pid} runs, but its API does not answer: {error}", f"Its log is {cluster.log}."
        ) from error
    print(json.dumps(facts, indent=2) if parsed.output == "json" else _screen(facts))
    return 0


async def _look(cluster: Cluster, choices: Choices, pid: int) -> dict[str, Any]:
    client = Client(HttpsTransport.to(kubeconfig.access(cluster.kubeconfig)))
    try:
        nodes, pods, services = await asyncio.gather(
            client.list(NODES), client.list(PODS), client.list(SERVICES)
        )
    finally:
        await client.close()
    return _facts(cluster, choices, pid, nodes["items"], pods["items"], services["items"])


def _facts(
    cluster: Cluster,
    choices: Choices,
    pid: int,
    nodes: Sequence[Obj],
    pods: Sequence[Obj],
    services: Sequence[Obj],
) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "pid": pid,
        "server": f"https://127.0.0.1:{choices.api_port}",
        "context": cluster.context,
        "data": str(cluster.data),
        "log": str(cluster.log),
        "memory_bytes": resident_bytes(pid),
        "nodes": [
            {"name": name_of(node), "ready": condition_is_true(node, "Ready"), "address": _address(node)}
            for node in nodes
        ],
        "pods": dict(Counter(phase(pod) or "Unknown" for pod in pods)),
        "services": len(services),
    }


def _address(node: Obj) -> str:
    """A node that somebody has only written down has none."""
    listed = (node.get("status") or {}).get("addresses") or ()
    return next((each["address"] for each in listed if each["type"] == "InternalIP"), "")


def _screen(facts: dict[str, Any]) -> str:
    nodes = ", ".join(
        f"{node['name']} ({node['address'] or 'no address'}) {'Ready' if node['ready'] else 'NotReady'}"
        for node in facts["nodes"]
    )
    pods = ", ".join(f"{count} {phase}" for phase, count in sorted(facts["pods"].items())) or "none"
    rows = [
        ("cluster", f"{facts['name']}, process {facts['pid']}, {size(facts['memory_bytes'])} resident"),
        ("nodes", nodes),
        ("pods", pods),
        ("services", str(facts["services"])),
        ("api", facts["server"]),
        ("context", facts["context"]),
        ("data", facts["data"]),
        ("log", facts["log"]),
    ]
    return "\n".join(f"{name:<9} {text}" for name, text in rows)


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
