"""Decisions: tables of what is known -> what is done, and any order of events ends with nothing left."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.podviews import NGINX, NOW, end, make_view, record, run, up
from sampan.kubelet import plan
from sampan.kubelet.lifecycle import ContainerState, PodEvent, PodState
from sampan.kubelet.podview import ContainerView, Fault, PodView
from sampan.kubelet.runtime.contract import Exit, Sandbox


def test_new_pod_is_prepared_while_its_image_is_looked_up() -> None:
    assert plan.plan(make_view(), NOW) == [plan.Prepare(), plan.Pull("web")]


def test_container_starts_when_image_and_sandbox_are_there() -> None:
    view = up(make_view())
    view.app[0].image = NGINX
    assert plan.plan(view, NOW) == [plan.Start("web")]


def test_containers_start_one_after_the_other() -> None:
    view = up(make_view("a", "b"))
    for container in view.app:
        container.image = NGINX
    assert plan.plan(view, NOW) == [plan.Start("a")]
    view.app[0].begin(NOW)
    assert plan.plan(view, NOW) == []
    view.app[0].running(record(view.app[0]))
    view.app[0].warming = True
    assert plan.plan(view, NOW) == []
    view.app[0].warming = False
    assert plan.plan(view, NOW) == [plan.Start("b")]


def test_an_image_that_backs_off_does_not_hold_up_the_next_container() -> None:
    view = up(make_view("a", "b"))
    view.app[0].pull_fault = Fault("ErrImagePull", "no", NOW)
    view.app[0].pull_backoff = view.app[0].pull_backoff.after_retry(NOW, NOW)
    view.app[1].image = NGINX
    assert plan.plan(view, NOW) == [plan.Start("b"), plan.Wake(NOW + plan.ERROR_SHOWN_S)]
    assert plan.Announce("a") in plan.plan(view, NOW + 3)
    assert plan.Pull("a") in plan.plan(view, NOW + 10)


@pytest.mark.parametrize(
    ("policy", "code", "wanted"),
    [
        ("Always", 0, [plan.Pull("web")]),
        ("Always", 1, [plan.Pull("web")]),
        ("OnFailure", 0, [plan.End(30.0)]),
        ("OnFailure", 1, [plan.Pull("web")]),
        ("Never", 0, [plan.End(30.0)]),
        ("Never", 1, [plan.End(30.0)]),
    ],
)
def test_restart_policy(policy: str, code: int, wanted: list[plan.Action]) -> None:
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
    assert plan.plan(view, NOW) == [plan.Pull("one")]
    run(view.init[0])
    assert plan.plan(view, NOW) == []
    end(view.init[0], 0)
    assert plan.plan(view, NOW) == [plan.Pull("two")]
    run(view.init[1])
    end(view.init[1], 1)
    assert plan.plan(view, NOW) == [plan.Pull("two")]
    run(view.init[1])
    end(view.init[1], 0)
    assert plan.plan(view, NOW) == [plan.Pull("web")]


def test_failing_init_container_ends_a_pod_that_never_restarts() -> None:
    view = up(make_view("web", init=("one",), policy="Never"))
    run(view.init[0])
    end(view.init[0], 1)
    assert plan.plan(view, NOW) == [plan.End(30.0)]


def test_unhealthy_container_is_stopped_with_its_own_grace() -> None:
    view = up(make_view())
    run(view.app[0])
    view.app[0].unhealthy, view.app[0].unhealthy_grace_s = "sick", 5.0
    assert plan.plan(view, NOW) == [plan.Stop("web", 5.0, "sick")]


def test_changed_image_replaces_the_container() -> None:
    view = up(make_view())
    run(view.app[0])
    view.app[0].spec = {"name": "web", "image": "nginx:2"}
    assert plan.plan(view, NOW) == [
        plan.Stop("web", 30.0, "Container web definition changed, will be restarted")
    ]


def test_nothing_is_stopped_before_the_pod_left_the_endpoints() -> None:
    view = up(make_view())
    run(view.app[0])
    view.pod["metadata"] |= {"deletionTimestamp": "x", "deletionGracePeriodSeconds": 10}
    assert plan.plan(view, NOW) == [plan.End(10.0)]
    view.advance(PodEvent.STOP)
    view.ending_s, view.grace_s = NOW, 10.0
    assert plan.plan(view, NOW) == []
    view.drained = True
    assert plan.plan(view, NOW + 1) == [plan.Stop("web", 9.0, "Stopping container web")]


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
    assert plan.plan(view, NOW) == [plan.Delete()]
    view.gone = True
    assert plan.plan(view, NOW) == [plan.Forget()]


class World:
    """Carries out actions with whatever outcome and order the random generator picks."""

    def __init__(self, view: PodView, seed: int) -> None:
        self.view, self.random, self.now_s = view, random.Random(seed), NOW
        self.pending: list[Any] = []
        self.processes: set[str] = set()
        self.sandbox = False
        self.forgotten = False

    def act(self, action: plan.Action) -> None:
        view = self.view
        match action:
            case plan.Prepare():
                view.advance(PodEvent.PREPARE)
                view.preparing = True
                self.pending.append(self._prepared)
            case plan.Pull(name):
                container = view.container(name)
                assert container is not None
                container.pulling = True
                self.pending.append(lambda: self._pulled(container))
            case plan.Start(name):
                container = view.container(name)
                assert container is not None and view.sandbox is not None
                container.begin(self.now_s)
                self.pending.append(lambda: self._started(container))
            case plan.Stop(name, grace_s, _):
                container = view.container(name)
                assert container is not None and view.drained | (view.state is PodState.UP)
                container.stopping(self.now_s, grace_s)
                assert container.ending is not None
                container.ending.signalled_s = self.now_s
                if self.random.random() < 0.5:
                    self.pending.append(lambda: self._exit(container, 143))
            case plan.Kill(name):
                container = view.container(name)
                assert container is not None and container.ending is not None
                container.ending.killed = True
                self.pending.append(lambda: self._exit(container, 137))
            case plan.Announce(name):
                container = view.container(name)
                assert container is not None
                container.announced = container.pull_fault or container.attempt
            case plan.Condemn(reason, message):
                view.verdict = (reason, message)
            case plan.End(grace_s):
                view.advance(PodEvent.STOP)
                view.ending_s, view.grace_s = self.now_s, grace_s
                self.pending.append(lambda: setattr(view, "drained", True))
            case plan.Ended():
                assert not self.processes
                view.advance(PodEvent.ENDED)
            case plan.Release():
                view.advance(PodEvent.RELEASE)
                self.pending.append(self._released)
            case plan.Delete():
                view.deleting = True
                self.pending.append(lambda: setattr(view, "gone", True))
            case plan.Forget():
                self.forgotten = True
            case plan.Wake(at_s):
                assert at_s > self.now_s
                self.pending.append(lambda: self._sleep(at_s))

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
            if self.random.random() < 0.5:
                self.pending.append(lambda: self._exit(container, self.random.choice((0, 1))))
            elif self.random.random() < 0.3:
                container.unhealthy = "sick"

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
            actions = plan.plan(self.view, self.now_s)
            for action in actions:
                self.act(action)
            if self.forgotten or not [a for a in actions if not isinstance(a, plan.Wake)]:
                break
        else:
            raise AssertionError(f"never at rest: {actions}")
        if self.pending:
            self.pending.pop(self.random.randrange(len(self.pending)))()


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    apps=st.integers(1, 3),
    inits=st.integers(0, 2),
    turns=st.integers(0, 60),
    forced=st.booleans(),
)
def test_any_order_of_events_ends_with_nothing_left(
    seed: int, policy: str, apps: int, inits: int, turns: int, forced: bool
) -> None:
    names = tuple(f"app{number}" for number in range(apps))
    init = tuple(f"init{number}" for number in range(inits))
    world = World(make_view(*names, init=init, policy=policy), seed)
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
    assert plan.plan(view, NOW + 3) == [plan.Wake(NOW + 10)]
