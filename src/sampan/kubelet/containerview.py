"""What the node knows of one container of a Pod: its attempts, why it waits, how it is told to end.

The methods that change `state` are the only way from one state of `lifecycle` to the next.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

import orjson

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.kubelet.backoff import LIMIT_S, Backoff
from sampan.kubelet.images.contract import Image
from sampan.kubelet.lifecycle import CONTAINER, ContainerEvent, ContainerState, step
from sampan.kubelet.runtime.contract import Exit, Record

LABEL_UID = "io.kubernetes.pod.uid"
LABEL_POD = "io.kubernetes.pod.name"
LABEL_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_CONTAINER = "io.kubernetes.container.name"
LABEL_ATTEMPT = "io.kubernetes.container.restartCount"
LABEL_HASH = "io.kubernetes.container.hash"
LABEL_IMAGE = "sampan.image"
LABEL_IMAGE_ID = "sampan.image-id"
LABEL_START_ERROR = "sampan.start-error"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a container is not running; `reason` and `message` stand in its waiting state."""

    reason: str
    message: str
    at_s: float


class Kind(Enum):
    """In which list of the spec a container stands, and in which of the status."""

    INIT = ("initContainers", "initContainerStatuses")
    APP = ("containers", "containerStatuses")
    EPHEMERAL = ("ephemeralContainers", "ephemeralContainerStatuses")

    def __init__(self, listed: str, reported: str) -> None:
        self.listed, self.reported = listed, reported


@dataclass(slots=True)
class Ending:
    """A container that was told to end at `since_s`; `signalled_s` is 0 until it has got its stop signal."""

    since_s: float
    grace_s: float
    hooked: bool = False
    """Its preStop hook runs."""
    signalled_s: float = 0.0
    killed: bool = False

    @property
    def over_s(self) -> float:
        """When its grace period is over."""
        return self.since_s + self.grace_s


@dataclass(slots=True)
class ContainerView:
    """One container of the spec; `record` is the current attempt's, `last` that of the one before."""

    spec: Obj
    kind: Kind = Kind.APP
    state: ContainerState = ContainerState.WAITING
    attempt: int = 0
    record: Record | None = None
    last: Record | None = None
    message: str = ""
    """The termination message of `record`."""
    last_message: str = ""
    ended_s: float = 0.0
    """When the end of `record` was seen, on the steady clock; its exit has the wall's time."""
    image: Image | None = None
    """Looked up for the next attempt; None once that attempt has ended."""
    pulling: bool = False
    pull_fault: Fault | None = None
    pull_backoff: Backoff = field(default_factory=Backoff)
    fault: Fault | None = None
    backoff: Backoff = field(default_factory=Backoff)
    announced: Fault | int | None = None
    """The pull fault or the attempt for which a BackOff event was sent."""
    warming: bool = False
    """Its postStart hook has not ended."""
    started: bool = False
    ready: bool = False
    unhealthy: str = ""
    """Why it has to be ended although it runs: the message of the Killing event."""
    unhealthy_grace_s: float | None = None
    replace: bool = False
    """It was ended to be started anew, whatever the restart policy says."""
    ending: Ending | None = None
    granted: Obj | None = None
    """The resources it runs with, while those of its spec are granted and not yet so."""
    lost: Obj | None = None
    """What the API said of an attempt of which nothing is left on the node."""

    @property
    def field_path(self) -> str:
        """Which part of the Pod it is, as events name it: `spec.containers{web}`."""
        return f"spec.{self.kind.listed}{{{self.name}}}"

    @property
    def name(self) -> str:
        return self.spec["name"]

    @property
    def init(self) -> bool:
        return self.kind is Kind.INIT

    @property
    def sidecar(self) -> bool:
        """An init container that keeps running beside the main ones (KEP-753)."""
        return self.init and podspec.is_sidecar(self.spec)

    @property
    def passed(self) -> bool:
        """An init container after which the next one may start."""
        if self.sidecar:
            return self.state is ContainerState.RUNNING and self.started
        return self.succeeded

    @property
    def begun(self) -> bool:
        """An attempt was made at it."""
        return self.state is not ContainerState.WAITING or self.record is not None or self.last is not None

    @property
    def spent(self) -> bool:
        """An ephemeral container that has run is not run again, even if nothing is left of it."""
        return self.kind is Kind.EPHEMERAL and self.lost is not None

    @property
    def at_rest(self) -> bool:
        return self.state in (ContainerState.WAITING, ContainerState.EXITED)

    @property
    def restarts(self) -> int:
        """How often it was made anew; an attempt that is not made yet does not count."""
        return self.attempt if self.record is not None else max(self.attempt - 1, 0)

    @property
    def exit(self) -> Exit | None:
        return self.record.exit if self.record else None

    @property
    def succeeded(self) -> bool:
        return self.state is ContainerState.EXITED and self.exit is not None and self.exit.code == 0

    def begin(self, now_s: float, longest_wait_s: float = LIMIT_S) -> None:
        """The next attempt is handed to the runtime; the one after it waits no longer than that."""
        if self.record is not None:
            if (ended := self.record.exit) is not None:
                failed_at_s = self.ended_s or ended.finished_at_s
                self.backoff = self.backoff.after_retry(failed_at_s, now_s, longest_wait_s)
            self.last, self.last_message = self.record, self.message
            self.attempt += 1
        self.record, self.message, self.ended_s = None, "", 0.0
        self.started = self.ready = self.replace = False
        self.granted = None
        self.unhealthy, self.unhealthy_grace_s = "", None
        self.state = step(CONTAINER, self.state, ContainerEvent.START)

    def running(self, record: Record) -> None:
        self.state = step(CONTAINER, self.state, ContainerEvent.STARTED)
        self.fault = None
        if self.state is ContainerState.RUNNING:
            self.record = record

    def failed(self, fault: Fault) -> None:
        """This attempt could not be made at all; the same attempt is made again later."""
        self.state = step(CONTAINER, self.state, ContainerEvent.FAILED)
        self.fault, self.image = fault, None

    def abandoned(self) -> None:
        """This attempt was given up before it ran."""
        self.state = step(CONTAINER, self.state, ContainerEvent.FAILED)

    def stopping(self, now_s: float, grace_s: float) -> None:
        self.state = step(CONTAINER, self.state, ContainerEvent.STOP)
        self.ending = Ending(now_s, grace_s)

    def exited(self, record: Record, message: str = "", fault: Fault | None = None) -> None:
        """`record` carries the exit. `fault`: it ended because it could not be started."""
        self.state = step(CONTAINER, self.state, ContainerEvent.EXIT)
        self.record, self.message, self.fault = record, message, fault
        self.started = self.ready = self.warming = False
        self.unhealthy, self.unhealthy_grace_s = "", None
        self.ending = self.image = None

    def adopt(self, records: list[Record]) -> None:
        """Goes on where an earlier process stopped; `records` by attempt, oldest first."""
        if not records:
            return
        self.record = records[-1]
        self.last = records[-2] if len(records) > 1 else None
        self.attempt = int(self.record.spec.labels.get(LABEL_ATTEMPT, "0"))
        self.state = ContainerState.RUNNING if self.record.exit is None else ContainerState.EXITED


def spec_hash(spec: Obj) -> str:
    """Changes when a running container has to be replaced: only its name and image count."""
    return hashlib.sha256(orjson.dumps([spec["name"], spec.get("image", "")])).hexdigest()[:8]
