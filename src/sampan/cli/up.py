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
from collections.abc import Callable
from pathlib import Path

from sampan.apiserver import pki
from sampan.apiserver.pki import Pki
from sampan.cli import asked, daemon, fleet, requirements, revival
from sampan.cli import cluster as clusters
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError, of_disk
from sampan.cli.options import add_arguments as add_arguments
from sampan.cli.terminal import Progress
from sampan.client import kubeconfig
from sampan.store.contract import StoreDamaged

API_PORT = 6443


def run(parsed: argparse.Namespace) -> int:
    cluster = clusters.from_arguments(parsed)
    wanted = asked.read(parsed)
    requirements.check()
    clusters.check_place(cluster)
    progress = Progress()
    count = fleet.asked_count(cluster, parsed.nodes)
    lock = cluster.lock()
    if lock is None:
        return _already_up(cluster, parsed.kubeconfig, count, wanted, progress)
    cluster.be_found()
    fleet.add_places(cluster, count)
    listener = _listener(cluster, progress)
    choices = asked.choose(cluster, wanted, listener.getsockname()[1])
    target = parsed.kubeconfig

    def serve(line: daemon.Line, ready: Callable[[], None]) -> int:
        # Who adds nodes before there is a fleet does not end us: the fleet looks for them when it begins.
        signal.signal(signal.SIGHUP, lambda number, frame: None)
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


def _already_up(
    cluster: Cluster, target: Path | None, count: int, wanted: asked.Asked, progress: Progress
) -> int:
    asyncio.run(fleet.wait_up(cluster))
    choices = cluster.choices()
    late = [] if choices is None else asked.put_off(cluster, choices, wanted)
    if late:
        raise UserError(
            f"sampan {cluster.name!r} is up already, and was brought up with another {', '.join(late)}",
            f"`sampan down --name {cluster.name} --keep-data` first: then it comes up with what you ask for, "
            "and all objects are there; Pods start anew.",
        )
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


SALVAGE = (
    "Put a copy of the file back; `sqlite3 FILE .recover` may save what can still be read. "
    "`sampan down` takes the cluster away."
)


def _in_words(cause: BaseException) -> str:
    if isinstance(cause, UserError):
        return str(cause)
    if isinstance(cause, StoreDamaged):
        return f"{cause}\n  {SALVAGE}"
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
    pki_maker = pki.begin(cluster.pki)  # another program's work, while this one loads all that follows
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
        asyncio.run(Assembly(cluster, choices, listener, pki_maker).run(line.progress, up))
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
