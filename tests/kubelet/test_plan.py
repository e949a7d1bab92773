"""Decisions: tables of what is known -> what is done, and any order of events ends with nothing left."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.podviews import NGINX, NOW, end, make_view, record, run, up
from sampan.api.objects import Obj
from sampan.kubelet import actions, plan
from sampan.kubelet.containerview import ContainerView, Fault, Kind
from sampan.kubelet.lifecycle import ContainerState, PodEvent, PodState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Exit, Sandbox


def test_new_pod_is_prepared_while_its_image_is_looked_up() -> None:
    assert plan.plan(make_view(), NOW) == [actions.Prepare(), actions.Pull("web")]


def test_container_starts_when_image_and_sandbox_are_there() -> None:
    view = up(make_view())
    view.app[0].image = NGINX
    assert plan.plan(view, NOW) == [actions.Start("web")]


def test_containers_start_one_after_the_other() -> None:
    view = up(make_view("a", "b"))
    for container in view.app:
        container.image = NGINX
    assert plan.plan(view, NOW) == [actions.Start("a")]
    view.app[0].begin(NOW)
    assert plan.plan(view, NOW) == []
    view.app[0].running(record(view.app[0]))
    view.app[0].warming = True
    assert plan.plan(view, NOW) == []
    view.app[0].warming = False
    assert plan.plan(view, NOW) == [actions.Start("b")]


def test_an_image_that_backs_off_does_not_hold_up_the_next_container() -> None:
    view = up(make_view("a", "b"))
    view.app[0].pull_fault = Fault("ErrImagePull", "no", NOW)
    view.app[0].pull_backoff = view.app[0].pull_backoff.after_retry(NOW, NOW)
    view.app[1].image = NGINX
    assert plan.plan(view, NOW) == [actions.Start("b"), actions.Wake(NOW + plan.ERROR_SHOWN_S)]
    assert actions.Announce("a") in plan.plan(view, NOW + 3)
    assert actions.Pull("a") in plan.plan(view, NOW + 10)


@pytest.mark.parametrize(
    ("policy", "code", "wanted"),
    [
        ("Always", 0, [actions.Pull("web")]),
        ("Always", 1, [actions.Pull("web")]),
        ("OnFailure", 0, [actions.End(30.0)]),
        ("OnFailure", 1, [actions.Pull("web")]),
        ("Never", 0, [actions.End(30.0)]),
        ("Never", 1, [actions.End(30.0)]),
    ],
)
def test_restart_policy(policy: str, code: int, wanted: list[actions.Action]) -> None:
    view = up(make_view(policy=policy))
    run(view.app[0])
    end(view.app[0], code)
    assert plan.plan(view, NOW) == wanted


def test_restarts_back_off_from_ten_seconds_to_five_minutes() -> None:
    view = up(make_view())
    container = view.app[0]
    now_s, waits = NOW, []
    for _ in range(8):
        run(container, now_s)
        end(container, 1, now_s)
        due_s = plan.retry_due_s(container)
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_minutes_of_running_forgive() -> None:
    view = up(make_view())
    container = view.app[0]
    for _ in range(4):
        run(container)
        end(container, 1)
    run(container, NOW + 100)
    end(container, 1, NOW + 100 + 601)
    assert plan.retry_due_s(container) == NOW + 701


def test_init_containers_go_first_one_by_one() -> None:
    view = up(make_view("web", init=("one", "two")))
    assert plan.plan(view, NOW) == [actions.Pull("one")]
    run(view.init[0])
    assert plan.plan(view, NOW) == []
    end(view.init[0], 0)
    assert plan.plan(view, NOW) == [actions.Pull("two")]
    run(view.init[1])
    end(view.init[1], 1)
    assert plan.plan(view, NOW) == [actions.Pull("two")]
    run(view.init[1])
    end(view.init[1], 0)
    assert plan.plan(view, NOW) == [actions.Pull("web")]


def plain(name: str) -> Obj:
    return {"name": name, "image": "nginx"}


def sidecar(name: str) -> Obj:
    return {"name": name, "image": "nginx", "restartPolicy": "Always"}


def run_sidecar(container: ContainerView) -> None:
    run(container)
    container.started = True


def test_the_next_waits_until_a_sidecar_has_started() -> None:
    view = up(make_view(initContainers=[sidecar("proxy"), plain("setup")]))
    assert plan.plan(view, NOW) == [actions.Pull("proxy")]
    run(view.init[0])
    assert plan.plan(view, NOW) == []
    view.init[0].started = True
    assert plan.plan(view, NOW) == [actions.Pull("setup")]
    run(view.init[1])
    end(view.init[1], 0)
    assert plan.plan(view, NOW) == [actions.Pull("web")]


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize("code", [0, 1])
def test_sidecars_are_restarted_whatever_the_pod_says(policy: str, code: int) -> None:
    view = up(make_view(policy=policy, initContainers=[sidecar("proxy")]))
    run_sidecar(view.init[0])
    run(view.app[0])
    end(view.init[0], code)
    assert plan.plan(view, NOW) == [actions.Pull("proxy")]


def test_a_restarting_sidecar_holds_up_nothing_that_had_begun() -> None:
    view = up(make_view(initContainers=[sidecar("proxy"), plain("setup")]))
    run_sidecar(view.init[0])
    run(view.init[1])
    end(view.init[0], 1)
    run(view.init[0])
    end(view.init[0], 1)
    end(view.init[1], 0)
    assert actions.Pull("web") in plan.plan(view, NOW)


def stopping(view: PodView, grace_s: float = 10.0) -> PodView:
    view.pod["metadata"] |= {"deletionTimestamp": "x", "deletionGracePeriodSeconds": grace_s}
    view.advance(PodEvent.STOP)
    view.ending_s, view.grace_s, view.drained = NOW, grace_s, True
    for container in view.containers:
        if container.state is ContainerState.RUNNING:
            container.stopping(NOW, grace_s)
    return view


def test_sidecars_are_signalled_last_and_backwards() -> None:
    view = up(make_view("web", initContainers=[sidecar("one"), sidecar("two")]))
    for container in view.containers:
        run_sidecar(container)
    stopping(view)
    wake = actions.Wake(NOW + 10)
    assert plan.plan(view, NOW) == [actions.Signal("web"), wake]
    view.app[0].ending.signalled_s = NOW  # type: ignore[union-attr]
    assert plan.plan(view, NOW) == [wake]
    end(view.app[0], 143)
    assert plan.plan(view, NOW) == [actions.Signal("two"), wake]
    view.init[1].ending.signalled_s = NOW  # type: ignore[union-attr]
    end(view.init[1], 143)
    assert plan.plan(view, NOW) == [actions.Signal("one")]


def test_a_sidecar_waits_no_longer_than_the_grace_period() -> None:
    view = up(make_view("web", initContainers=[sidecar("one")]))
    for container in view.containers:
        run_sidecar(container)
    stopping(view)
    view.app[0].ending.signalled_s = NOW  # type: ignore[union-attr]
    assert plan.plan(view, NOW + 10) == [actions.Signal("one"), actions.Kill("web")]
    view.init[0].ending.signalled_s = NOW + 10  # type: ignore[union-attr]
    assert plan.kill_due_s(view.init[0]) == NOW + 12


def test_a_hook_is_waited_for_but_not_beyond_the_grace_period() -> None:
    view = up(make_view())
    run(view.app[0])
    stopping(view)
    view.app[0].ending.hooked = True  # type: ignore[union-attr]
    assert plan.plan(view, NOW + 1) == [actions.Wake(NOW + 10)]
    assert plan.plan(view, NOW + 10) == [actions.Signal("web")]


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_a_pod_ends_with_its_main_containers_though_sidecars_run(policy: str) -> None:
    view = up(make_view(policy=policy, initContainers=[sidecar("proxy")]))
    run_sidecar(view.init[0])
    run(view.app[0])
    end(view.app[0], 0)
    assert plan.plan(view, NOW) == [actions.End(30.0)]


def test_an_ephemeral_container_starts_at_any_time_and_once() -> None:
    view = up(make_view(init=("setup",), ephemeralContainers=[plain("debugger")]))
    assert plan.plan(view, NOW) == [actions.Pull("debugger"), actions.Pull("setup")]
    run(view.ephemeral[0])
    run(view.init[0])
    end(view.ephemeral[0], 1)
    assert plan.plan(view, NOW) == []


def test_rules_of_a_container_go_before_the_policy() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = {**plain("web"), "restartPolicy": "Never", "restartPolicyRules": rules}
    view = up(make_view(policy="Always", containers=[spec]))
    run(view.app[0])
    end(view.app[0], 42)
    assert plan.plan(view, NOW) == [actions.Pull("web")]
    run(view.app[0])
    end(view.app[0], 1)
    assert plan.plan(view, NOW) == [actions.End(30.0)]


def test_failing_init_container_ends_a_pod_that_never_restarts() -> None:
    view = up(make_view("web", init=("one",), policy="Never"))
    run(view.init[0])
    end(view.init[0], 1)
    assert plan.plan(view, NOW) == [actions.End(30.0)]


def test_unhealthy_container_is_stopped_with_its_own_grace() -> None:
    view = up(make_view())
    run(view.app[0])
    view.app[0].unhealthy, view.app[0].unhealthy_grace_s = "sick", 5.0
    assert plan.plan(view, NOW) == [actions.Stop("web", 5.0, "sick")]


def test_changed_image_replaces_the_container() -> None:
    view = up(make_view())
    run(view.app[0])
    view.app[0].spec = {"name": "web", "image": "nginx:2"}
    assert plan.plan(view, NOW) == [
        actions.Stop("web", 30.0, "Container web definition changed, will be restarted")
    ]


def test_nothing_is_stopped_before_the_pod_left_the_endpoints() -> None:
    view = up(make_view())
    run(view.app[0])
    view.pod["metadata"] |= {"deletionTimestamp": "x", "deletionGracePeriodSeconds": 10}
    assert plan.plan(view, NOW) == [actions.End(10.0)]
    view.advance(PodEvent.STOP)
    view.ending_s, view.grace_s = NOW, 10.0
    assert plan.plan(view, NOW) == []
    view.drained = True
    assert plan.plan(view, NOW + 1) == [actions.Stop("web", 9.0, "Stopping container web")]


def test_sigkill_after_grace_but_two_seconds_after_the_signal_at_least() -> None:
    view = up(make_view())
    run(view.app[0])
    view.app[0].stopping(NOW, 10.0)
    ending = view.app[0].ending
    assert ending is not None
    ending.signalled_s = NOW
    assert plan.kill_due_s(view.app[0]) == NOW + 10
    ending.signalled_s = NOW + 9.5
    assert plan.kill_due_s(view.app[0]) == NOW + 11.5
    ending.killed = True
    assert plan.kill_due_s(view.app[0]) == 0


def test_finished_pod_waits_for_its_deletion() -> None:
    view = make_view()
    view.state = PodState.RELEASED
    assert plan.plan(view, NOW) == []
    view.pod["metadata"]["deletionTimestamp"] = "x"
    assert plan.plan(view, NOW) == [actions.Delete()]
    view.gone = True
    assert plan.plan(view, NOW) == [actions.Forget()]


class World:
    """Carries out actions with whatever outcome and order the random generator picks."""

    def __init__(self, view: PodView, seed: int) -> None:
        self.view, self.random, self.now_s = view, random.Random(seed), NOW
        self.pending: list[Any] = []
        self.processes: set[str] = set()
        self.passed: set[str] = set()
        """Init containers that have done, once at least, what the next one waits for."""
        self.sandbox = False
        self.forgotten = False

    def act(self, action: actions.Action) -> None:
        view = self.view
        self.passed |= {container.name for container in view.init if container.passed}
        match action:
            case actions.Prepare():
                view.advance(PodEvent.PREPARE)
                view.preparing = True
                self.pending.append(self._prepared)
            case actions.Pull(name):
                container = view.container(name)
                assert container is not None
                container.pulling = True
                self.pending.append(lambda: self._pulled(container))
            case actions.Start(name):
                container = view.container(name)
                assert container is not None and view.sandbox is not None
                assert name not in self.processes
                if container.kind is Kind.APP and not container.begun and not view.initialized:
                    assert {other.name for other in view.init} <= self.passed
                container.begin(self.now_s)
                self.pending.append(lambda: self._started(container))
            case actions.Stop(name, grace_s, _):
                container = view.container(name)
                assert container is not None and view.drained | (view.state is PodState.UP)
                container.stopping(self.now_s, grace_s)
                assert container.ending is not None
                if container.ending.grace_s > 0 and self.random.random() < 0.3:
                    container.ending.hooked = True
                    self.pending.append(lambda: self._hook_ended(container))
            case actions.Signal(name):
                container = view.container(name)
                assert container is not None and container.ending is not None
                assert not container.ending.signalled_s
                self._check_turn(container)
                container.ending.signalled_s = self.now_s
                if self.random.random() < 0.5:
                    self.pending.append(lambda: self._exit(container, 143))
            case actions.Kill(name):
                container = view.container(name)
                assert container is not None and container.ending is not None
                container.ending.killed = True
                self.pending.append(lambda: self._exit(container, 137))
            case actions.Announce(name):
                container = view.container(name)
                assert container is not None
                container.announced = container.pull_fault or container.attempt
            case actions.Condemn(reason, message):
                view.verdict = (reason, message)
            case actions.End(grace_s):
                view.advance(PodEvent.STOP)
                view.ending_s, view.grace_s = self.now_s, grace_s
                self.pending.append(lambda: setattr(view, "drained", True))
            case actions.Ended():
                assert not self.processes
                view.advance(PodEvent.ENDED)
            case actions.Release():
                view.advance(PodEvent.RELEASE)
                self.pending.append(self._released)
            case actions.Delete():
                view.deleting = True
                self.pending.append(lambda: setattr(view, "gone", True))
            case actions.Forget():
                self.forgotten = True
            case actions.Wake(at_s):
                assert at_s > self.now_s
                self.pending.append(lambda: self._sleep(at_s))

    def _hook_ended(self, container: ContainerView) -> None:
        if container.ending is not None:
            container.ending.hooked = False

    def _check_turn(self, container: ContainerView) -> None:
        """Sidecars end after all main ones and in reverse order, unless the time is over."""
        assert container.ending is not None
        in_time = self.now_s < container.ending.over_s
        if container.sidecar and in_time and self.view.state is PodState.STOPPING:
            names = [other.name for other in self.view.sidecars]
            later = set(names[names.index(container.name) + 1 :]) | {c.name for c in self.view.app}
            assert not later & self.processes

    def _sleep(self, at_s: float) -> None:
        self.now_s = max(self.now_s, at_s)

    def _prepared(self) -> None:
        self.view.preparing = False
        self.sandbox = True
        failed = self.random.random() < 0.3
        if not failed:
            self.view.sandbox = Sandbox("u", net="/net")
        if self.view.state is PodState.PREPARING:
            self.view.prepare_due_s = self.now_s + 1
            self.view.advance(PodEvent.FAILED if failed else PodEvent.PREPARED)

    def _pulled(self, container: ContainerView) -> None:
        container.pulling = False
        if self.random.random() < 0.3:
            container.pull_fault = Fault("ErrImagePull", "no", self.now_s)
            container.pull_backoff = container.pull_backoff.after_retry(self.now_s, self.now_s)
        else:
            container.image, container.pull_fault = NGINX, None

    def _started(self, container: ContainerView) -> None:
        outcome = self.random.random()
        if outcome < 0.2:
            container.failed(Fault("CreateContainerError", "no", self.now_s))
        elif outcome < 0.4:
            container.exited(record(container, Exit(self.random.choice((0, 1)), self.now_s)))
        else:
            container.running(record(container))
            self.processes.add(container.name)
            container.started = self.random.random() < 0.5
            if not container.started:
                self.pending.append(lambda: self._probed(container))
            if self.random.random() < 0.5:
                self.pending.append(lambda: self._exit(container, self.random.choice((0, 1))))
            elif self.random.random() < 0.3:
                container.unhealthy = "sick"

    def _probed(self, container: ContainerView) -> None:
        container.started = container.state is ContainerState.RUNNING

    def _exit(self, container: ContainerView, code: int) -> None:
        if container.name not in self.processes:
            return
        self.processes.discard(container.name)
        assert container.record is not None
        container.exited(replace(container.record, exit=Exit(code, self.now_s)))

    def _released(self) -> None:
        failed = self.random.random() < 0.3
        if failed:
            self.view.release_due_s = self.now_s + 1
        else:
            self.sandbox, self.view.sandbox = False, None
        self.view.advance(PodEvent.FAILED if failed else PodEvent.RELEASED)

    def turn(self) -> None:
        """All that is planned, then one thing that was under way."""
        for _ in range(50):
            planned = plan.plan(self.view, self.now_s)
            for action in planned:
                self.act(action)
            if self.forgotten or not [a for a in planned if not isinstance(a, actions.Wake)]:
                break
        else:
            raise AssertionError(f"never at rest: {planned}")
        if self.pending:
            self.pending.pop(self.random.randrange(len(self.pending)))()


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    apps=st.integers(1, 3),
    inits=st.lists(st.booleans(), max_size=3),
    debuggers=st.integers(0, 2),
    turns=st.integers(0, 60),
    forced=st.booleans(),
)
def test_any_order_of_events_ends_with_nothing_left(
    seed: int, policy: str, apps: int, inits: list[bool], debuggers: int, turns: int, forced: bool
) -> None:
    """`inits`: which init containers are sidecars."""
    names = tuple(f"app{number}" for number in range(apps))
    init = [sidecar(f"init{n}") if lasts else plain(f"init{n}") for n, lasts in enumerate(inits)]
    ephemeral = [plain(f"debugger{number}") for number in range(debuggers)]
    view = make_view(*names, policy=policy, initContainers=init, ephemeralContainers=ephemeral)
    world = World(view, seed)
    for _ in range(turns):
        world.turn()
    if forced:
        world.view.gone = True
    else:
        world.view.pod["metadata"] |= {"deletionTimestamp": "x", "deletionGracePeriodSeconds": 5}
    for _ in range(2000):
        if world.forgotten:
            break
        world.turn()
    assert world.forgotten
    assert not world.processes and not world.sandbox
    assert all(c.state in (ContainerState.WAITING, ContainerState.EXITED) for c in world.view.containers)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), apps=st.integers(1, 3), inits=st.integers(0, 2))
def test_asking_twice_changes_nothing(seed: int, apps: int, inits: int) -> None:
    names = tuple(f"app{number}" for number in range(apps))
    world = World(make_view(*names, init=tuple(f"init{n}" for n in range(inits))), seed)
    for _ in range(30):
        assert plan.plan(world.view, world.now_s) == plan.plan(world.view, world.now_s)
        world.turn()


def test_a_fault_that_no_waiting_mends_is_not_said_to_back_off() -> None:
    view = up(make_view("a"))
    view.app[0].pull_fault = Fault("ErrImageNeverPull", "no", NOW)
    view.app[0].pull_backoff = view.app[0].pull_backoff.after_retry(NOW, NOW)
    assert plan.plan(view, NOW + 3) == [actions.Wake(NOW + 10)]
