import pytest

from sampan.api.tables import pods

NOW = 1735689600.0  # 2025-01-01T00:00:00Z


def pod(status=None, *, containers=2, init=(), deleting=False, **spec):
    metadata = {"name": "web", "creationTimestamp": "2024-12-31T23:58:30Z"}
    if deleting:
        metadata["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    listed = [{"name": f"c{index}"} for index in range(containers)]
    return {
        "metadata": metadata,
        "spec": {"containers": listed, "initContainers": list(init), **spec},
        "status": status or {},
    }


def state(name="c0", *, restarts=0, ready=False, started=None, last=None, **kinds):
    entry = {"name": name, "restartCount": restarts, "ready": ready, "state": kinds}
    if started is not None:
        entry["started"] = started
    if last:
        entry["lastState"] = {"terminated": {"finishedAt": last}}
    return entry


RUNNING = state("c0", ready=True, running={})
SIDECAR = {"name": "s", "restartPolicy": "Always"}
READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("given", "status", "ready", "restarts"),
    [
        (pod({"phase": "Pending"}), "Pending", "0/2", "0"),
        (pod({"phase": "Failed", "reason": "Evicted"}), "Evicted", "0/2", "0"),
        (
            pod(
                {
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }
            ),
            "SchedulingGated",
            "0/2",
            "0",
        ),
        (
            pod({"phase": "Running", "containerStatuses": [RUNNING, state("c1", ready=True, running={})]}),
            "Running",
            "2/2",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [
                        RUNNING,
                        state(
                            "c1",
                            restarts=3,
                            last="2024-12-31T23:55:00Z",
                            waiting={"reason": "CrashLoopBackOff"},
                        ),
                    ],
                }
            ),
            "CrashLoopBackOff",
            "1/2",
            "3 (5m ago)",
        ),
        (
            pod({"phase": "Pending", "containerStatuses": [state(waiting={"reason": "ImagePullBackOff"})]}),
            "ImagePullBackOff",
            "0/2",
            "0",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [state(terminated={"exitCode": 3})]}),
            "ExitCode:3",
            "0/2",
            "0",
        ),
        (
            pod({"phase": "Failed", "containerStatuses": [state(terminated={"exitCode": 137, "signal": 9})]}),
            "Signal:9",
            "0/2",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "conditions": READY,
                    "containerStatuses": [state("c0", terminated={"reason": "Completed"}), RUNNING],
                }
            ),
            "Running",
            "1/2",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [state("c0", terminated={"reason": "Completed"}), RUNNING],
                }
            ),
            "NotReady",
            "1/2",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [
                        state("i0", terminated={"exitCode": 0}),
                        state("i1", restarts=2, running={}),
                    ],
                },
                init=[{"name": "i0"}, {"name": "i1"}],
            ),
            "Init:1/2",
            "0/2",
            "2",
        ),
        (
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [state("i0", terminated={"exitCode": 1, "reason": "Error"})],
                },
                init=[{"name": "i0"}],
            ),
            "Init:Error",
            "0/2",
            "0",
        ),
        (
            pod(
                {"initContainerStatuses": [state("i0", waiting={"reason": "ImagePullBackOff"})]},
                init=[{"name": "i0"}],
            ),
            "Init:ImagePullBackOff",
            "0/2",
            "0",
        ),
        (
            pod(
                {
                    "phase": "Running",
                    "initContainerStatuses": [
                        state("s", restarts=1, ready=True, started=True, running={}),
                    ],
                    "containerStatuses": [RUNNING, state("c1", ready=True, running={})],
                },
                init=[SIDECAR],
            ),
            "Running",
            "3/3",
            "1",
        ),
        (pod({"phase": "Running"}, deleting=True), "Terminating", "0/2", "0"),
        (pod({"phase": "Succeeded"}, deleting=True), "Succeeded", "0/2", "0"),
        (pod({"phase": "Running", "reason": "NodeLost"}, deleting=True), "Unknown", "0/2", "0"),
    ],
)
def test_status_ready_and_restarts(given, status, ready, restarts):
    _, *found = pods.cells(given, NOW)[:4]
    assert found == [ready, status, restarts]


def test_wide_columns():
    given = pod(
        {"phase": "Running", "podIPs": [{"ip": "10.0.0.2"}], "conditions": [{"type": "g", "status": "True"}]},
        nodeName="n1",
        readinessGates=[{"conditionType": "g"}, {"conditionType": "h"}],
    )
    assert pods.cells(given, NOW)[4:] == ["90s", "10.0.0.2", "n1", "<none>", "1/2"]
    assert pods.cells(pod(), NOW)[5:] == ["<none>"] * 4


def test_ended_pods_are_marked():
    assert pods.conditions(pod({"phase": "Succeeded"})) == [
        {
            "type": "Completed",
            "status": "True",
            "reason": "Succeeded",
            "message": "The pod has completed successfully.",
        }
    ]
    assert pods.conditions(pod({"phase": "Running"})) == []
