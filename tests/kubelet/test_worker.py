"""The Pod worker under any order of events: all it does is legal, and at the end nothing is left."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.podworld import PodWorld
from harness.virtualtime import VirtualTime
from sampan.api.objects import Obj
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.runtime.contract import RuntimeFault

NAMES = ("init0", "init1", "init2", "app0", "app1", "dbg0", "dbg1")
PROBE = {"exec": {"command": ["x"]}, "periodSeconds": 1, "failureThreshold": 2}
HOOK, PRE_STOP = {"exec": {"command": ["x"]}}, {"exec": {"command": ["y"]}}
RULES = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]

extras = st.fixed_dictionaries(
    {},
    optional={
        "startupProbe": st.just(PROBE),
        "livenessProbe": st.just({**PROBE, "terminationGracePeriodSeconds": 1}),
        "readinessProbe": st.just(PROBE),
        "lifecycle": st.sampled_from(
            [{"postStart": HOOK}, {"preStop": PRE_STOP}, {"preStop": PRE_STOP, "postStart": HOOK}]
        ),
    },
)
own_policies = st.one_of(
    st.just({}),
    st.sampled_from(["Always", "OnFailure", "Never"]).map(lambda policy: {"restartPolicy": policy}),
    st.just({"restartPolicy": "Never", "restartPolicyRules": RULES}),
)


def container(name: str, more: Obj) -> Obj:
    return {"name": name, "image": "nginx", "imagePullPolicy": "IfNotPresent", **more}


seldom = st.sampled_from([True, False, False, False])
"""What ends a Pod's life: if it came as often as the rest, no life would be long."""


class AnyPod(RuleBasedStateMachine):
    @initialize(
        policy=st.sampled_from(["Always", "OnFailure", "Never"]),
        inits=st.lists(st.one_of(st.none(), extras), max_size=3),
        apps=st.lists(st.tuples(extras, own_policies), min_size=1, max_size=2),
        grace_s=st.sampled_from([0, 2, 30]),
        present=st.booleans(),
        up=st.booleans(),
    )
    def begin(
        self,
        policy: str,
        inits: list[Obj | None],
        apps: list[tuple[Obj, Obj]],
        grace_s: int,
        present: bool,
        up: bool,
    ) -> None:
        """`inits`: None for one that runs to its end, else a sidecar. `up`: all goes well at first."""
        self.root = Path(tempfile.mkdtemp(prefix="sampan-anypod-"))
        self.time = VirtualTime()
        spec = {
            "nodeName": "node",
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": grace_s,
            "initContainers": [
                container(f"init{number}", {} if more is None else {"restartPolicy": "Always", **more})
                for number, more in enumerate(inits)
            ],
            "containers": [container(f"app{n}", more | own) for n, (more, own) in enumerate(apps)],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": spec,
        }
        self.world = PodWorld(self.root, self.time, pod)
        if present:
            self.world.images.add(self.world.images.remote["docker.io/library/nginx:latest"])
        if up:
            for number, more in enumerate(inits):
                self.world.go(2)
                if more is None:
                    self.world.finish(f"init{number}", 0)
            self.world.go(2)

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.5, 3.0, 12.0, 60.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.go(seconds)

    @rule(name=st.sampled_from(NAMES), code=st.sampled_from([0, 1, 42]))
    def ends(self, name: str, code: int) -> None:
        self.world.finish(name, code)

    @rule(code=st.sampled_from([0, 0, 0, 1]))
    def init_containers_end(self, code: int) -> None:
        """Often enough, or no main container would ever start."""
        for name in NAMES[:3]:
            specs = (self.world.pod or {"spec": {}})["spec"].get("initContainers") or ()
            if any(spec["name"] == name and "restartPolicy" not in spec for spec in specs):
                self.world.go(0.1)
                self.world.finish(name, code)

    @rule(name=st.sampled_from(NAMES), healthy=st.booleans())
    def health(self, name: str, healthy: bool) -> None:
        self.world.healthy[name] = healthy

    @rule(name=st.sampled_from(NAMES))
    def grows_stubborn(self, name: str) -> None:
        self.world.stubborn.add(name)

    @rule(kind=st.sampled_from(["quick", "fails", "slow", "hangs"]))
    def hooks(self, kind: str) -> None:
        self.world.hook = kind

    @rule(verb=st.sampled_from(["create", "start", "start_sandbox", "remove_sandbox"]))
    def runtime_fails(self, verb: str) -> None:
        reason = {"create": "CreateContainerError", "start": "RunContainerError"}.get(verb, "")
        self.world.runtime.fail(verb, RuntimeFault(reason, "no"))

    @rule()
    def network_fails(self) -> None:
        self.world.network.fault = "no"

    @rule()
    def volumes_fail(self) -> None:
        self.world.volumes.faults += 1

    @rule()
    def pull_fails(self) -> None:
        self.world.images.fail("nginx", ImageFault("ErrImagePull", "no"))

    @rule()
    def another_image(self) -> None:
        """A container of a running Pod gets a new one."""
        if self.world.pod is not None:
            first, *rest = self.world.pod["spec"]["containers"]
            image = "other" if first["image"] == "nginx" else "nginx"
            self.world.change({"spec": {"containers": [{**first, "image": image}, *rest]}})

    @rule()
    def a_debugger_comes(self) -> None:
        if self.world.pod is not None:
            known = self.world.pod["spec"].get("ephemeralContainers") or []
            if len(known) < 2:
                debugger = container(f"dbg{len(known)}", {})
                self.world.change({"spec": {"ephemeralContainers": [*known, debugger]}})

    @rule(seconds=st.sampled_from([1, 300, 3000]))
    def a_deadline_is_set(self, seconds: int) -> None:
        self.world.change({"spec": {"activeDeadlineSeconds": seconds}})

    @rule(really=seldom)
    def evicted(self, really: bool) -> None:
        async def evict() -> None:
            if really and self.world.worker is not None:
                self.world.worker.evict("Evicted", "the node was low on memory", grace_s=0)

        self.time.run(evict())

    @rule(really=seldom, grace_s=st.sampled_from([1, 5, 30]))
    def deleted_by_somebody(self, really: bool, grace_s: int) -> None:
        if really:
            self.world.delete(grace_s)

    @rule(really=seldom)
    def removed_by_force(self, really: bool) -> None:
        if really:
            self.world.remove()

    @rule(away_s=st.sampled_from([0.0, 1.0, 100.0]))
    def the_kubelet_restarts(self, away_s: float) -> None:
        if self.world.pod is None:
            return  # an orphan is the kubelet's business, not the worker's
        self.world.kill()
        self.time.sleep(away_s)
        self.world.start()

    @invariant()
    def in_order(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        try:
            world.delete(5)
            for _ in range(30):
                if world.idle:
                    break
                world.go(20)
            assert world.pod is None, world.pod
            assert world.idle, world.worker and world.worker.view
            world.check()
            world.time.sleep(1)
            assert not world.runtime.records() and not world.runtime.sandboxes()
            assert not world.network.attached and not world.volumes.mounted and not world.references.held
            assert not world.hooks_running
            assert not list(world.parts.config.pods.iterdir())
        finally:
            world.close()
            self.time.close()
            shutil.rmtree(self.root)


TestAnyPod = AnyPod.TestCase
TestAnyPod.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
