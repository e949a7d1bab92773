"""What the node knows of one Pod: the values that `plan` decides on and `status` reports.

One `PodView` belongs to one worker; nobody else writes to it. Its methods are the only way from one state of
`lifecycle` to the next, so that an order of events that the tables do not know is found at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sampan.api.objects import Obj, is_deleting, name_of, namespace_of, revision_of, uid_of
from sampan.kubelet import qos
from sampan.kubelet.containerview import ContainerView, Kind
from sampan.kubelet.lifecycle import POD, PodEvent, PodState, step
from sampan.kubelet.resize import ResizeState
from sampan.kubelet.runtime.contract import Sandbox

FORCED_GRACE_S = 1.0
"""For a Pod whose object was taken away while it ran: nobody waits for it any more."""


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
    mirror: Obj | None = None
    """Of a static Pod: what stands for it in the API, if there is anything."""
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
    def static(self) -> bool:
        return qos.is_static(self.pod)

    def mirrored(self, mirror: Obj | None) -> None:
        """The API has this instead of a static Pod. Of its status only conditions may be others' work."""
        known = self.mirror
        same = mirror is not None and known is not None and uid_of(mirror) == uid_of(known)
        if mirror and known and same and revision_of(mirror) < revision_of(known):
            return
        self.mirror = mirror
        told = (mirror or {}).get("status") or {}
        if "startTime" in told and (same or not self.pod.get("status")):  # a new mirror knows nothing yet
            self.reported(told)

    def reported(self, status: Obj) -> None:
        """A static Pod's status is what was last said of it, whether the API knows the Pod or not."""
        self.pod = {**self.pod, "status": status}

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
        if self.gone and not self.static:
            limits.append(FORCED_GRACE_S)
        return min(limits)
