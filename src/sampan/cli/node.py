"""`sampan node`: join a cluster, list its nodes, take one away."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sampan.api import bootstraptoken
from sampan.api.objects import Obj, condition_is_true, name_of
from sampan.api.resources import NODES, PERSISTENT_VOLUMES, PODS
from sampan.cli import cluster as clusters
from sampan.cli import daemon, discovery, fleet, nodeconfig, requirements
from sampan.cli.access import administrator
from sampan.cli.cluster import Cluster
from sampan.cli.drain import drain, held
from sampan.cli.errors import UserError
from sampan.cli.terminal import Progress, size
from sampan.cli.verbs import add_verb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="node_verb", metavar="VERB", required=True)
    join = add_verb(verbs, "join", "become a node of a cluster")
    join.add_argument("url", metavar="URL", help="the cluster's API, e.g. https://127.0.0.1:6443")
    token = join.add_mutually_exclusive_group()
    token.add_argument("--token", default="", help="a bootstrap token, see `sampan token create`")
    token.add_argument("--token-file", metavar="FILE", type=Path, help="a file that holds one")
    join.add_argument(
        "--ca-hash", default="", metavar="sha256:HEX", help="the hash of the cluster's CA: whom to trust"
    )
    join.add_argument(
        "--name",
        default=os.uname().nodename.partition(".")[0].lower(),
        help="the node's name (default: %(default)s)",
    )
    join.add_argument(
        "--data-dir", metavar="DIR", type=Path, help=f"where it lives (default: {clusters.DEFAULT_ROOT}/NAME)"
    )
    join.add_argument("--foreground", action="store_true", help="do not go into the background")
    listing = add_verb(verbs, "ls", "the nodes, how they are and how many Pods they have")
    listing.add_argument("-o", "--output", choices=["json"], help="for programs")
    clusters.add_arguments(listing)
    removal = add_verb(verbs, "rm", "move a node's Pods away, and take it away")
    removal.add_argument("node", metavar="NODE", help="its name, as `sampan node ls` shows it")
    removal.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="S",
        help="how long its Pods have to go, in seconds (default: %(default)g)",
    )
    removal.add_argument(
        "--force", action="store_true", help="do not wait for its Pods to go, nor mind its volumes"
    )
    clusters.add_arguments(removal)


def run(parsed: argparse.Namespace) -> int:
    if parsed.node_verb == "join":
        return _join(parsed)
    return asyncio.run(_ls(parsed) if parsed.node_verb == "ls" else _rm(parsed))


# --- join -------------------------------------------------------------------------------------------------


def _join(parsed: argparse.Namespace) -> int:
    requirements.check()
    if not re.fullmatch(r"https://[^/]+/?", parsed.url):
        raise UserError(f"{parsed.url!r} is not the URL of an API", "For instance: https://127.0.0.1:6443")
    if parsed.ca_hash and not re.fullmatch(discovery.HASH_FORM, parsed.ca_hash):
        raise UserError(
            "--ca-hash wants sha256: and 64 hexadecimal digits",
            "`sampan token create --print-join-command` shows it.",
        )
    if not clusters.NAME_FORM.fullmatch(parsed.name):
        raise UserError(
            f"{parsed.name!r} cannot be a node's name",
            "Use at most 32 lower-case letters, digits and dashes; the first and last no dash.",
        )
    token = _token(parsed)
    if parsed.token:
        _hide(parsed)
    place = clusters.from_arguments(parsed)
    fresh = not place.data.exists()
    lock = place.lock()
    if lock is None:
        raise UserError(f"node {place.name!r} runs already, in {place.data}")

    def serve(line: daemon.Line) -> int:
        clusters.write_pid(lock)
        return _serve(place, parsed.url.rstrip("/"), token, parsed.ca_hash, line)

    if parsed.foreground:
        return serve(daemon.Line(None))
    progress = Progress()
    failure = daemon.detach(place.log, serve, progress.show)
    os.close(lock)
    if failure is not None:
        if fresh and not nodeconfig.membership(place):
            shutil.rmtree(place.data)  # nothing of it is of any use to the next attempt
        raise UserError(f"node {place.name!r} did not join: {failure}")
    progress.done(f"node {place.name!r} has joined in {progress.elapsed_s():.2f} s")
    return 0


def _hide(parsed: argparse.Namespace) -> NoReturn:
    """Begins anew with the token in memory of its own: a command line is there for everybody to read."""
    kept = os.memfd_create("token", 0)
    os.write(kept, parsed.token.encode())
    words = ["node", "join", parsed.url, "--token-file", f"/proc/self/fd/{kept}", "--name", parsed.name]
    if parsed.ca_hash:
        words += ["--ca-hash", parsed.ca_hash]
    if parsed.data_dir is not None:
        words += ["--data-dir", str(parsed.data_dir)]
    if parsed.foreground:
        words.append("--foreground")
    os.execv(sys.executable, [sys.executable, "-m", "sampan", *words])


def _token(parsed: argparse.Namespace) -> str:
    token = parsed.token
    if parsed.token_file is not None and parsed.token_file.exists():
        token = parsed.token_file.read_text().strip()
    if token and not re.fullmatch(bootstraptoken.FORM, token):
        raise UserError(
            "that is no bootstrap token", "One looks like abcdef.0123456789abcdef; see `sampan token create`."
        )
    return str(token)


def _serve(place: Cluster, server: str, token: str, ca_hash: str, line: daemon.Line) -> int:
    from sampan.cli.agent import Agent, Joining

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s", stream=sys.stderr
    )
    daemon.allow_open_files()
    try:
        asyncio.run(Agent(place, Joining(server, token, ca_hash)).run(line.progress, line.ready))
    except BaseException as error:
        cause = daemon.first_cause(error)
        name = type(cause).__name__
        line.failed(
            str(cause) if isinstance(cause, UserError) else f"{name}: {cause}" if str(cause) else name
        )
        log = logging.getLogger(__name__)
        if isinstance(cause, UserError):
            log.error("%s", cause)
        else:
            log.exception("the node's process ends")
        return 1
    return 0


# --- ls ---------------------------------------------------------------------------------------------------


async def _ls(parsed: argparse.Namespace) -> int:
    cluster, choices = clusters.existing(parsed)
    async with administrator(cluster) as client:
        nodes, pods = await asyncio.gather(client.list(NODES), client.list(PODS))
    pids = {place.name: place.running_pid() or 0 for place in cluster.node_places}
    pids[choices.node_name] = cluster.running_pid() or 0
    found = facts(nodes["items"], pods["items"], pids)
    if parsed.output == "json":
        print(json.dumps(found, indent=2))
        return 0
    rows = [("NAME", "STATUS", "ADDRESSES", "PODS", "VERSION", "PROCESS", "MEMORY")]
    for node in found:
        process = str(node["pid"] or "-")
        used = size(node["memory_bytes"]) if node["pid"] else "-"
        rows.append(
            (
                node["name"],
                node["status"],
                ",".join(node["addresses"]),
                str(node["pods"]),
                node["version"],
                process,
                used,
            )
        )
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    for line in rows:
        print("   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    return 0


def facts(nodes: Sequence[Obj], pods: Sequence[Obj], pids: dict[str, int]) -> list[dict[str, Any]]:
    """What is known of each node, by name."""
    from sampan.cli.status import resident_bytes

    counts = Counter(pod["spec"].get("nodeName", "") for pod in pods)
    found: list[dict[str, Any]] = []
    for node in sorted(nodes, key=name_of):
        status = node.get("status") or {}
        pid = pids.get(name_of(node), 0)
        state = "Ready" if condition_is_true(node, "Ready") else "NotReady"
        if (node.get("spec") or {}).get("unschedulable"):
            state += ",SchedulingDisabled"
        found.append(
            {
                "name": name_of(node),
                "status": state,
                "addresses": [
                    each["address"] for each in status.get("addresses") or () if each["type"] == "InternalIP"
                ],
                "pods": counts[name_of(node)],
                "version": (status.get("nodeInfo") or {}).get("kubeletVersion", ""),
                "pid": pid,
                "memory_bytes": resident_bytes(pid) if pid else 0,
            }
        )
    return found


# --- rm ---------------------------------------------------------------------------------------------------


async def _rm(parsed: argparse.Namespace) -> int:
    cluster, choices = clusters.existing(parsed)
    name = parsed.node
    if name == choices.node_name:
        raise UserError(
            f"{name!r} is the cluster's first node, in the process of the cluster itself",
            f"`sampan down --name {cluster.name}` takes the whole cluster away.",
        )
    place = next((each for each in cluster.node_places if each.name == name), None)
    progress = Progress()
    async with administrator(cluster) as client:
        listed = await client.list(NODES)
        node = next((each for each in listed["items"] if name_of(each) == name), None)
        if node is None and place is None:
            names = ", ".join(sorted(name_of(each) for each in listed["items"]))
            raise UserError(f"the cluster {cluster.name!r} has no node {name!r}", f"It has: {names}.")
        if node is not None:
            volumes = await client.list(PERSISTENT_VOLUMES)
            if not parsed.force and (claims := held(volumes["items"], node)):
                raise UserError(
                    f"node {name!r} has the data of {', '.join(claims[:5])}, which would be gone with it",
                    "Delete the claims if nobody needs them, or say --force.",
                )
            await drain(client, node, parsed.timeout, progress.show, force=parsed.force)
        if place is not None:
            progress.show("ending its process")
            (place.data / fleet.LEAVING).touch()
            if not await asyncio.to_thread(fleet.stop, place):
                raise UserError(f"the process of node {name!r} does not end", f"Its log is {place.log}.")
        if node is not None:
            await client.delete(NODES, name)
    if place is not None:
        await clear(place)
        shutil.rmtree(place.data)
    progress.done(f"node {name!r} is gone")
    if place is None:
        print(
            f"Its process was not started by this cluster; `sampan down --name {name}` ends it where it runs."
        )
    return 0


async def clear(place: Cluster) -> None:
    """Containers, mounts, cgroups and the namespace of a node whose process has ended."""
    from sampan.cli import nodedns
    from sampan.kubelet.network.contract import NetworkFault
    from sampan.kubelet.network.node import NodeNamespace, choose_plan
    from sampan.kubelet.network.plan import PlanOptions
    from sampan.kubelet.runtime.purge import purge

    nodedns.end(place.data)
    await purge(place.data, place.cgroup)
    member = nodeconfig.membership(place)
    if member is None or not Path(member.address_plan).exists():
        return
    more = PlanOptions(number=member.number, lan=Path(member.lan))
    try:
        plan = choose_plan(member.cluster, place.node_pin, Path(member.address_plan), **more)
    except NetworkFault:
        return
    node = NodeNamespace(plan)
    try:
        await node.remove()
    finally:
        node.close()
