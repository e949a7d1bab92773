"""What the node knows of one Pod: the values that `plan` decides on and `status` reports.

One `PodView` belongs to one worker; nobody else writes to it. Its methods are the only way from one state of
`lifecycle` to the next, so that an order of events that the tables do not know is found at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from sampan.api import podspec
from sampan.api.objects import Obj, is_deleting, name_of, namespace_of, revision_of, uid_of
from sampan.kubelet.backoff import Backoff
from sampan.kubelet.images.contract import Image
from sampan.kubelet.lifecycle import CONTAINER, POD, ContainerEvent, ContainerState, PodEvent, PodState, step
from sampan.kubelet.resize import ResizeState
from sampan.kubelet.runtime.contract import Exit, Record, Sandbox

FORCED_GRACE_S = 1.0
"""For a Pod whose object was taken away while it ran: nobody waits for it any more."""

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

    def begin(self, now_s: float) -> None:
        """The next attempt is handed to the runtime."""
        if self.record is not None:
            if (ended := self.record.exit) is not None:
                self.backoff = self.backoff.after_retry(self.ended_s or ended.finished_at_s, now_s)
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


@dataclass(slots=True)
class PodView:
    """A Pod on this node."""

    pod: Obj
    seen_s: float
    state: PodState = PodState.NEW
    init: list[ContainerView] = field(default_factory=list)
    app: list[ContainerView] = field(default_factory=list)
    ephemeral: list[ContainerView] = field(default_factory=list)
    sandbox: Sandbox | None = None
    ips: tuple[str, ...] = ()
    preparing: bool = False
    prepare_due_s: float = 0.0
    gone: bool = False
    """The API has no such Pod any more."""
    verdict: tuple[str, str] | None = None
    """(reason, message) with which the node itself ends the Pod."""
    rejected: bool = False
    """The node has not taken it: none of its containers was ever waited for."""
    verdict_grace_s: float | None = None
    """How long that takes at most; None: as long as the Pod says."""
    resize: ResizeState = field(default_factory=ResizeState)
    disruption: tuple[str, str] | None = None
    """(reason, message) of the condition DisruptionTarget: it is ended through no fault of its own."""
    ending_s: float = 0.0
    grace_s: float = 0.0
    drained: bool = False
    release_due_s: float = 0.0
    deleting: bool = False
    """The final delete is on its way, or done."""
    delete_due_s: float = 0.0
    finished: bool = False
    """Ended for good before this process saw it; its status stands as the API has it."""

    @classmethod
    def of(cls, pod: Obj, now_s: float) -> PodView:
        view = cls(pod, now_s)
        view.follow(pod)
        return view

    def follow(self, pod: Obj) -> None:
        """Takes over a new version of the object; containers keep what is known of them.

        Watch events may come after the answer to a later write of one's own: what is older is passed over.
        """
        if revision_of(pod) < revision_of(self.pod):
            return
        self.pod = pod
        known = {container.name: container for container in self.containers}

        def views(kind: Kind) -> list[ContainerView]:
            found = []
            for spec in pod["spec"].get(kind.listed) or ():
                container = known.get(spec["name"]) or ContainerView(spec, kind)
                container.spec = spec
                found.append(container)
            return found

        self.init, self.app, self.ephemeral = views(Kind.INIT), views(Kind.APP), views(Kind.EPHEMERAL)

    @property
    def uid(self) -> str:
        return uid_of(self.pod)

    @property
    def full_name(self) -> str:
        """`name_namespace(uid)`, as back-off messages name a Pod."""
        return f"{name_of(self.pod)}_{namespace_of(self.pod)}({self.uid})"

    @property
    def containers(self) -> list[ContainerView]:
        return self.init + self.app + self.ephemeral

    @property
    def sidecars(self) -> list[ContainerView]:
        return [container for container in self.init if container.sidecar]

    @property
    def initialized(self) -> bool:
        """A main container was begun: the init containers had their turn."""
        return any(container.begun for container in self.app)

    @property
    def restart_policy(self) -> str:
        return self.pod["spec"].get("restartPolicy", "Always")

    @property
    def doomed(self) -> bool:
        """Somebody has decided that it ends: the API or the node."""
        return self.gone or self.verdict is not None or is_deleting(self.pod)

    def container(self, name: str) -> ContainerView | None:
        return next((container for container in self.containers if container.name == name), None)

    def advance(self, event: PodEvent) -> None:
        self.state = step(POD, self.state, event)

    def shorten(self) -> None:
        """A second delete may ask for less time than the first, never for more."""
        self.grace_s = min(self.grace_s, self.grace_period_s())
        for container in self.containers:
            if container.ending is not None:
                container.ending.grace_s = min(container.ending.grace_s, self.grace_s)

    def grace_period_s(self) -> float:
        """Seconds between being told to end and SIGKILL, counted from the start of the ending."""
        metadata: dict[str, Any] = self.pod["metadata"]
        asked = metadata.get("deletionGracePeriodSeconds")
        if asked is None:
            asked = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        limits = [float(asked)]
        if self.verdict_grace_s is not None:
            limits.append(self.verdict_grace_s)
        if self.gone:
            limits.append(FORCED_GRACE_S)
        return min(limits)


def spec_hash(spec: Obj) -> str:
    """Changes when a running container has to be replaced: only its name and image count."""
    return hashlib.sha256(orjson.dumps([spec["name"], spec.get("image", "")])).hexdigest()[:8]
