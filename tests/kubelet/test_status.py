"""What the API is told: phases, conditions and reasons, from views made by hand."""

from __future__ import annotations

from harness.podviews import NOW, end, make_view, run, up
from sampan.api.objects import Obj, mutable
from sampan.api.patch import strategic_merge_patch
from sampan.kubelet.containerview import Fault
from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import Exit
from sampan.kubelet.status import is_urgent, pod_status, status_patch


def status(view: PodView, now_s: float = NOW) -> Obj:
    return pod_status(view, ["100.64.0.2"], now_s)


def conditions(view: PodView) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in status(view)["conditions"]}


def state(view: PodView, now_s: float = NOW) -> Obj:
    return status(view, now_s)["containerStatuses"][0]["state"]  # type: ignore[no-any-return]


def test_new_pod() -> None:
    view = make_view()
    assert status(view)["phase"] == "Pending"
    assert state(view) == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(view) == {
        "PodReadyToStartContainers": ("False", ""),
        "Initialized": ("True", ""),
        "Ready": ("False", "ContainersNotReady"),
        "ContainersReady": ("False", "ContainersNotReady"),
        "PodScheduled": ("True", ""),
    }


def test_running_and_ready() -> None:
    view = up(make_view())
    run(view.app[0])
    view.app[0].started = view.app[0].ready = True
    found = status(view)
    assert found["phase"] == "Running"
    assert found["containerStatuses"][0]["state"] == {"running": {"startedAt": "1970-01-01T00:16:40Z"}}
    assert all(value == ("True", "") for value in conditions(view).values())


def test_readiness_gates() -> None:
    view = up(make_view(readinessGates=[{"conditionType": "lb"}]))
    run(view.app[0])
    view.app[0].started = view.app[0].ready = True
    assert conditions(view)["Ready"] == ("False", "ReadinessGatesNotReady")
    view.pod["status"] = {"conditions": [{"type": "lb", "status": "True"}]}
    assert conditions(view)["Ready"] == ("True", "")


def test_waiting_for_init_containers() -> None:
    view = up(make_view("web", init=("one", "two")))
    run(view.init[0])
    found = status(view)
    assert found["phase"] == "Pending"
    assert state(view) == {"waiting": {"reason": "PodInitializing"}}
    initialized = next(c for c in found["conditions"] if c["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [one two]"


def test_crash_loop_words() -> None:
    view = up(make_view())
    container = view.app[0]
    for _ in range(4):
        run(container)
        end(container, 1)
    assert state(view)["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": "back-off 40s restarting failed container=web pod=web_default(u)",
    }
    assert status(view)["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert status(view)["phase"] == "Running"


def test_image_pull_words() -> None:
    view = up(make_view())
    view.app[0].pull_fault = Fault("ErrImagePull", "no such host", NOW)
    assert state(view)["waiting"] == {"reason": "ErrImagePull", "message": "no such host"}
    assert state(view, NOW + 5)["waiting"] == {
        "reason": "ImagePullBackOff",
        "message": 'Back-off pulling image "nginx": ErrImagePull: no such host',
    }


def test_ends() -> None:
    for code, oom, reason, phase in (
        (0, False, "Completed", "Succeeded"),
        (2, False, "Error", "Failed"),
        (137, True, "OOMKilled", "Failed"),
        (1, True, "OOMKilled", "Failed"),
        (0, True, "Completed", "Succeeded"),
    ):
        view = up(make_view(policy="Never"))
        run(view.app[0])
        end(view.app[0], Exit(code, NOW, oom=oom))
        assert state(view)["terminated"]["reason"] == reason
        assert status(view)["phase"] == phase


def test_deleted_pod_ends_failed_or_succeeded_once_stopped() -> None:
    view = up(make_view())
    run(view.app[0])
    view.pod["metadata"]["deletionTimestamp"] = "x"
    end(view.app[0], 0)
    view.state = PodState.STOPPING
    assert status(view)["phase"] == "Running"
    view.state = PodState.STOPPED
    assert status(view)["phase"] == "Succeeded"


def test_terminal_phase_stays() -> None:
    view = make_view()
    view.pod["status"] = {"phase": "Failed"}
    assert status(view)["phase"] == "Failed"


def test_transition_time_moves_only_with_the_status() -> None:
    view = up(make_view())
    view.pod["status"] = status(view)
    later = pod_status(view, [], NOW + 100)
    times = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}
    assert set(times.values()) == {"1970-01-01T00:16:40Z"}
    run(view.app[0])
    view.app[0].started = view.app[0].ready = True
    later = pod_status(view, [], NOW + 100)
    times = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}
    assert times["Ready"] == "1970-01-01T00:18:20Z"
    assert times["PodScheduled"] == "1970-01-01T00:16:40Z"


def test_patch_takes_back_reasons_and_leaves_others_conditions() -> None:
    view = up(make_view())
    old = mutable(status(view))
    old["conditions"].append({"type": "lb", "status": "True"})
    run(view.app[0])
    view.app[0].started = view.app[0].ready = True
    patch = status_patch(view.pod, old, status(view))
    assert patch is not None
    assert patch["metadata"] == {"uid": "u"}
    changed = {c["type"]: c for c in patch["status"]["conditions"]}
    assert set(changed) == {"Ready", "ContainersReady"}
    assert changed["Ready"]["reason"] is None and changed["Ready"]["message"] is None
    assert status_patch(view.pod, status(view), status(view)) is None


def test_address_of_a_new_sandbox_takes_the_place_of_the_old_one() -> None:
    view = up(make_view())
    old = mutable(status(view)) | {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
    new = old | {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]}
    patch = status_patch(view.pod, old, new)
    assert patch is not None
    patched = strategic_merge_patch({"status": old}, patch, "v1", "Pod")
    assert patched["status"]["podIPs"] == [{"ip": "10.0.0.2"}]
    assert strategic_merge_patch({"status": new}, patch, "v1", "Pod")["status"]["podIPs"] == new["podIPs"]


def test_only_what_others_act_on_is_urgent() -> None:
    view = up(make_view())
    creating = status(view)
    assert not is_urgent({}, creating)
    run(view.app[0])
    running = status(view)
    assert is_urgent(creating, running)
    view.app[0].started = view.app[0].ready = True
    assert is_urgent(running, status(view))


def sidecar(name: str) -> Obj:
    return {"name": name, "image": "nginx", "restartPolicy": "Always"}


def started(view: PodView) -> PodView:
    for container in view.containers:
        run(container)
        container.started = container.ready = True
    return view


def test_a_sidecar_counts_for_readiness_and_not_for_the_end() -> None:
    view = started(up(make_view(policy="Never", initContainers=[sidecar("proxy")])))
    view.pod["status"] = {"phase": "Running"}
    view.init[0].ready = False
    assert conditions(view)["Initialized"] == ("True", "")
    assert conditions(view)["ContainersReady"] == ("False", "ContainersNotReady")
    end(view.app[0], 0)
    assert status(view)["phase"] == "Running"
    view.state = PodState.STOPPING
    end(view.init[0], 137)
    view.state = PodState.STOPPED
    found = status(view)
    assert found["phase"] == "Succeeded"
    assert found["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_a_sidecar_that_has_not_started_keeps_the_pod_pending() -> None:
    view = up(make_view(initContainers=[sidecar("proxy")]))
    run(view.init[0])
    found = status(view)
    assert found["phase"] == "Pending"
    assert found["initContainerStatuses"][0]["started"] is False
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    (condition,) = (c for c in found["conditions"] if c["type"] == "Initialized")
    assert condition["message"] == "containers with incomplete status: [proxy]"


def test_an_ephemeral_container_has_a_status_and_no_say() -> None:
    debugger = {"name": "debugger", "image": "nginx"}
    view = started(up(make_view(ephemeralContainers=[debugger])))
    (found,) = status(view)["ephemeralContainerStatuses"]
    assert "running" in found["state"] and not found["ready"] and "started" not in found
    end(view.ephemeral[0], 1)
    assert conditions(view)["Ready"] == ("True", "")
    assert status(view)["phase"] == "Running"


def test_phase_follows_what_a_container_says_of_itself() -> None:
    own = {"name": "web", "image": "nginx", "restartPolicy": "Never"}
    view = started(up(make_view(containers=[own, {"name": "b", "image": "nginx"}])))
    end(view.app[0], 1)
    assert status(view)["phase"] == "Running"
    assert "terminated" in state(view)


def test_condemned_is_failed_once_nothing_runs() -> None:
    view = started(up(make_view()))
    view.pod["status"] = {"phase": "Running"}
    view.verdict, view.disruption = ("Evicted", "low"), ("TerminationByKubelet", "low")
    found = status(view)
    assert found["phase"] == "Running" and "reason" not in found
    assert conditions(view)["DisruptionTarget"] == ("True", "TerminationByKubelet")
    end(view.app[0], 143)
    found = status(view)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Evicted", "low")


def test_condemned_leaves_the_endpoints_while_it_still_runs() -> None:
    view = started(up(make_view()))
    view.pod["status"] = {"phase": "Running"}
    view.verdict = ("DeadlineExceeded", "late")
    assert status(view)["phase"] == "Running"
    assert conditions(view)["Ready"] == conditions(view)["ContainersReady"] == ("False", "PodFailed")


def test_many_containers_share_the_room_for_last_words() -> None:
    names = tuple(f"c{number}" for number in range(6))
    view = up(make_view(*names, policy="Never"))
    for container in view.app:
        run(container)
        end(container, 1)
        container.message = "é" * 2048
    for found in status(view)["containerStatuses"]:
        assert found["state"]["terminated"]["message"] == "é" * 1024


def test_every_condition_says_which_generation_it_saw() -> None:
    view = started(up(make_view()))
    view.pod["metadata"]["generation"] = 7
    found = status(view)
    assert found["observedGeneration"] == 7
    assert {c["observedGeneration"] for c in found["conditions"]} == {7}
