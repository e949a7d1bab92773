import copy

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import PODS
from sampan.api.validation import podchange


def texts(errors):
    return [error.text for error in errors]


def pod(**spec):
    merged = {"containers": [{"name": "web", "image": "nginx"}], **copy.deepcopy(spec)}
    obj = {"metadata": {"name": "a", "namespace": "default"}, "spec": merged}
    defaults.apply(PODS, obj)
    return obj


FORBIDDEN = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
    "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)\n"
)


def changed(old=None, **change):
    before = pod(**(old or {}))
    after = copy.deepcopy(before)
    after["spec"].update(change)
    return texts(validation.update(PODS, after, before))


TOLERATION = {"key": "a", "operator": "Exists", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("old", "change", "found"),
    [
        ({}, {}, []),
        ({}, {"containers": [{**pod()["spec"]["containers"][0], "image": "nginx:2"}]}, []),
        ({}, {"hostname": "b"}, [FORBIDDEN + '  spec.hostname: <unset> -> "b"']),
        (
            {},
            {"containers": [{**pod()["spec"]["containers"][0], "command": ["x"]}]},
            [FORBIDDEN + '  spec.containers[0].command: <unset> -> ["x"]'],
        ),
        ({}, {"nodeName": "n"}, [FORBIDDEN + '  spec.nodeName: <unset> -> "n"']),
        ({}, {"hostNetwork": False, "volumes": []}, []),
        (
            {},
            {"containers": []},
            [
                "spec.containers: Required value",
                "spec.containers: Forbidden: pod updates may not add or remove containers",
            ],
        ),
        ({}, {"activeDeadlineSeconds": 5}, []),
        ({"activeDeadlineSeconds": 9}, {"activeDeadlineSeconds": 5}, []),
        (
            {"activeDeadlineSeconds": 5},
            {"activeDeadlineSeconds": 9},
            ["spec.activeDeadlineSeconds: Invalid value: 9: must be less than or equal to previous value"],
        ),
        ({}, {"tolerations": [TOLERATION]}, []),
        ({"tolerations": [TOLERATION]}, {"tolerations": [{**TOLERATION, "tolerationSeconds": 3}]}, []),
        (
            {"tolerations": [TOLERATION]},
            {"tolerations": []},
            [
                "spec.tolerations: Forbidden: "
                "existing toleration can not be modified except its tolerationSeconds"
            ],
        ),
        ({"terminationGracePeriodSeconds": -1}, {"terminationGracePeriodSeconds": 1}, []),
        (
            {},
            {"terminationGracePeriodSeconds": 1},
            [FORBIDDEN + "  spec.terminationGracePeriodSeconds: 30 -> 1"],
        ),
        ({"schedulingGates": [{"name": "a.b/c"}]}, {"schedulingGates": []}, []),
        ({"schedulingGates": [{"name": "a.b/c"}]}, {"nodeSelector": {"a": "b"}}, []),
        (
            {},
            {"schedulingGates": [{"name": "a.b/c"}]},
            [
                "spec.schedulingGates[0].name: Forbidden: "
                "only deletion is allowed, but found new scheduling gate 'a.b/c'"
            ],
        ),
    ],
)
def test_what_may_change_in_a_pod(old, change, found):
    assert changed(old, **change) == found


def status(**fields):
    return {**pod(restartPolicy="Never"), "status": {"qosClass": "BestEffort", **fields}}


def test_what_has_ended_for_good_does_not_come_back():
    ended = status(containerStatuses=[{"name": "web", "state": {"terminated": {"exitCode": 0}}}])
    back = status(containerStatuses=[{"name": "web", "state": {"running": {}}}])
    assert texts(validation.update_status(PODS, back, ended)) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]
    assert validation.update_status(PODS, ended, back) == []


def test_what_its_own_rules_restart_may_come_back():
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = {"name": "web", "image": "x", "restartPolicy": "Never", "restartPolicyRules": rules}
    old = {**status(), "spec": {"restartPolicy": "Never", "containers": [spec]}}
    for code, broken in ((42, 0), (1, 1)):
        old["status"] = {"containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": code}}}]}
        new = {**old, "status": {"containerStatuses": [{"name": "web", "state": {"running": {}}}]}}
        assert len(validation.update_status(PODS, new, old)) == broken


def test_addresses_in_the_status():
    found = texts(validation.update_status(PODS, status(podIPs=[{"ip": "10.0.0.1"}, {"ip": "x"}]), status()))
    assert found[0] == (
        'status.podIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
    )
    assert validation.update_status(PODS, status(podIPs=[{"ip": "10.0.0.1"}, {"ip": "::1"}]), status()) == []


def test_ephemeral_containers_come_and_stay():
    debugger = {"name": "debug", "image": "busybox", "targetContainerName": "web"}
    old, new = pod(), pod(ephemeralContainers=[debugger])
    assert texts(podchange.update_ephemeral_containers(new, old)) == []
    assert texts(podchange.update_ephemeral_containers(old, new)) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n'
    ]
    stray = pod(ephemeralContainers=[{**debugger, "targetContainerName": "none", "ports": [{}]}])
    found = texts(podchange.update_ephemeral_containers(stray, old))
    assert 'spec.ephemeralContainers[0].targetContainerName: Not found: "none"' in found
    assert "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container" in found
