"""The cluster's further nodes on this machine: a process each, started, revived when it dies, ended with us.

Which there should be is told by the directories below D/nodes. A process that outlived the one that started
it (killed, say) is taken over as it is: it is known by the lock it holds and watched by its pidfd. One task
per node owns its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sampan.api import bootstraptoken
from sampan.api.clock import parse_time
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_of, name_of
from sampan.api.resources import NODES, SECRETS
from sampan.cli.access import administrator
from sampan.cli.cluster import Cluster
from sampan.cli.credentials import Pair
from sampan.cli.errors import UserError
from sampan.client.client import Client, ended

TOKEN_LIFETIME_S = 900.0
JOIN_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.1
MOST_NODES = 32
"""Of one machine."""
STOP_TIMEOUT_S = 15.0
REVIVE_S = 0.2
LONGEST_REVIVE_S = 30.0
STEADY_S = 60.0
"""A process that lived so long is revived at once."""
SERVER = "server"
"""A file with the URL that its process was told."""
LEAVING = "leaving"
"""A file in the directory of a node that is being taken away: nobody revives it."""

log = logging.getLogger(__name__)


class Fleet:
    """`server` is the API's URL for processes of this machine, `ca_hash` the hash of its CA."""

    def __init__(self, cluster: Cluster, client: Client, server: str, ca_hash: str) -> None:
        self._cluster, self._client = cluster, client
        self._server, self._ca_hash = server, ca_hash
        self._news = asyncio.Event()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self.started: dict[str, int] = {}
        """When each process of ours began (seconds since the epoch); none for those that were taken over."""

    def look(self) -> None:
        """There may be more nodes than before."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled. The processes go on: whoever comes after us takes them over."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                for place in self._cluster.node_places:
                    keeper = self._keepers.get(place.name)
                    if (keeper is None or keeper.done()) and not (place.data / LEAVING).exists():
                        work = self._keep(place)
                        self._keepers[place.name] = group.create_task(work, name=f"node-{place.name}")
                await self._news.wait()

    async def end(self) -> None:
        """Tells all processes to stop and awaits it, once `run` has ended. Their Pods run on."""
        await asyncio.gather(*(asyncio.to_thread(stop, place) for place in self._cluster.node_places))

    async def _keep(self, place: Cluster) -> None:
        """Runs one node for as long as its directory is there."""
        delay_s = REVIVE_S
        while place.data.exists() and not (place.data / LEAVING).exists():
            began_s = time.monotonic()
            if self._knows_another(place):
                await asyncio.to_thread(stop, place)
            if pid := place.running_pid():
                log.info("node %s runs already: process %d", place.name, pid)
                await gone(pid)
            else:
                self.started[place.name] = int(time.time())
                try:
                    await self._run_process(place)
                except (StatusError, OSError) as error:  # a full disk, say
                    log.warning("node %s cannot be started: %s", place.name, error)
            if not place.data.exists() or (place.data / LEAVING).exists():
                break
            if time.monotonic() - began_s > STEADY_S:
                delay_s = REVIVE_S
            log.warning(
                "the process of node %s has ended; another one follows (log: %s)", place.name, place.log
            )
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_REVIVE_S)

    def _knows_another(self, place: Cluster) -> bool:
        """Whether its process, should it run, was told another way to the API than there is now."""
        told = place.data / SERVER
        return told.exists() and told.read_text() != self._server

    async def _run_process(self, place: Cluster) -> None:
        token = await self._token(place)
        (place.data / SERVER).write_text(self._server)
        argv = command(place, self._server, self._ca_hash, token)
        pid = await asyncio.to_thread(_start, argv, place.log)
        log.info("node %s: process %d", place.name, pid)
        await gone(pid)

    async def _token(self, place: Cluster) -> Path | None:
        """The file with a bootstrap token, for a node that has no certificate that is good."""
        if Pair(place.pki / "client.pem").good(time.time()):
            return None
        token = bootstraptoken.generate()
        expires_s = time.time() + TOKEN_LIFETIME_S
        usages = ("authentication",)
        secret = bootstraptoken.secret(
            token, expires_s=expires_s, usages=usages, description=f"For node {place.name} to join."
        )
        await self._client.create(SECRETS, secret)
        path = place.data / "token"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")
        return path


def _start(argv: Sequence[str], log_file: Path) -> int:
    """A process that lives on without us: asyncio's own kind is killed when its loop is closed."""
    with log_file.open("ab") as output:
        log_file.chmod(0o600)
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    process.returncode = 0  # whoever waits for the pid buries it; Popen is not to warn of it
    return process.pid


def command(place: Cluster, server: str, ca_hash: str, token: Path | None) -> list[str]:
    """What runs a node; the token itself is on no command line, where anybody could read it."""
    words = [
        "node",
        "join",
        server,
        "--ca-hash",
        ca_hash,
        "--name",
        place.name,
        "--data-dir",
        str(place.data),
    ]
    if token is not None:
        words += ["--token-file", str(token)]
    return [sys.executable, "-m", "sampan", *words, "--foreground"]


async def gone(pid: int) -> None:
    """Returns when a process, be it our child or not, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: None if over.done() else over.set_result(None))
    try:
        await over
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _bury(pid)


def _bury(pid: int) -> None:
    """If it was our child: one that an earlier program of this process started."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def stop(place: Cluster, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """SIGTERM to a node's process, and its end awaited on a pidfd; SIGKILL if it takes too long.

    Whether it has ended.
    """
    import select

    if not (pid := place.running_pid()):
        return True
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], timeout_s)[0]:
                return True
        return False
    finally:
        os.close(descriptor)


def add_places(cluster: Cluster, count: int) -> list[Cluster]:
    """Makes directories for so many nodes that the cluster has `count` in all; answers the new ones."""
    present = {place.name for place in cluster.node_places}
    added: list[Cluster] = []
    number = 2
    while len(present) + len(added) + 1 < count:
        place = cluster.node_place(f"{cluster.name}-{number}")
        if place.name not in present:
            place.data.mkdir(parents=True, mode=0o711)
            added.append(place)
        number += 1
    return added


def asked_count(cluster: Cluster, asked: int | None) -> int:
    """How many nodes there shall be; raises UserError for fewer than there are."""
    present = len(cluster.node_places) + 1
    if asked is None:
        return present
    if not 1 <= asked <= MOST_NODES:
        raise UserError(f"--nodes {asked} is not between 1 and {MOST_NODES}")
    if asked < present:
        names = ", ".join(place.name for place in cluster.node_places)
        raise UserError(
            f"the cluster {cluster.name!r} has {present} nodes, and nothing says which of them should go",
            f"`sampan node rm NAME` takes one away (there are {names}).",
        )
    return asked


async def wait_up(cluster: Cluster) -> None:
    """Until the process that runs has its own node Ready, as it may have only begun. Or raises UserError."""
    begun_s = int((cluster.data / "lock").stat().st_mtime)
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            while True:
                try:
                    async with administrator(cluster) as client:
                        return await all_ready(client, [cluster.name], {cluster.name: begun_s})
                except UserError:
                    if cluster.running_pid() is None:
                        raise
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise UserError(
            f"the cluster {cluster.name!r} has begun, and is not up after {JOIN_TIMEOUT_S:g} s",
            f"Its log is {cluster.log}.",
        ) from None


async def wait_for(cluster: Cluster, names: Sequence[str]) -> None:
    """Until these nodes of a running cluster are Ready; raises UserError if that takes too long."""
    async with administrator(cluster) as client:
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await all_ready(client, names, {})
        except TimeoutError:
            raise UserError(
                f"{', '.join(names)}: not Ready after {JOIN_TIMEOUT_S:g} s",
                f"Their logs are {cluster.data}/nodes/NAME/sampan.log.",
            ) from None


async def all_ready(client: Client, names: Iterable[str], since_s: Mapping[str, int]) -> None:
    """Returns once all these nodes have said that they are Ready, each since it began (`since_s`, epoch)."""
    missing = set(names)
    while missing:
        stream = client.watch(NODES)
        async with ended(stream):
            async for event in stream:
                name = name_of(event.object)
                if event.type in ("ADDED", "MODIFIED") and says_ready(event.object, since_s.get(name, 0)):
                    missing.discard(name)
                if not missing:
                    return


def says_ready(node: Obj, since_s: int) -> bool:
    """What its earlier process said does not count."""
    ready = condition_of(node, "Ready") or {}
    heard = ready.get("lastHeartbeatTime")
    return ready.get("status") == "True" and (parse_time(heard) if heard else 0.0) >= since_s


async def forget_tokens(client: Client, places: Sequence[Cluster]) -> None:
    """Tokens of nodes that have joined are of no use to anybody who finds them."""
    for place in places:
        path = place.data / "token"
        if not path.exists():
            continue
        token_id = path.read_text().partition(".")[0]
        path.unlink()
        try:
            name = bootstraptoken.PREFIX + token_id
            await client.delete(SECRETS, name, namespace=bootstraptoken.NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
