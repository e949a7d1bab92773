import subprocess
import sys

import pytest

from sampan.api import podspec


def pod(*containers, init=(), **spec):
    return {"metadata": {}, "spec": {"containers": list(containers), "initContainers": list(init), **spec}}


def container(requests=None, limits=None, **more):
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "qos"),
    [
        ([container()], "BestEffort"),
        ([container({"cpu": "0"})], "BestEffort"),
        ([container(FULL, FULL)], "Guaranteed"),
        ([container({"cpu": "1000m", "memory": "1024Mi"}, FULL)], "Guaranteed"),
        ([container(None, FULL)], "Guaranteed"),
        ([container({"cpu": "1"}, {"cpu": "1"})], "Burstable"),
        ([container(FULL, FULL), container()], "Burstable"),
        ([container({"cpu": "500m"}, FULL)], "Burstable"),
        ([container({"memory": "1"})], "Burstable"),
        ([container({"example.com/gpu": "1"}, {"example.com/gpu": "1"})], "BestEffort"),
    ],
)
def test_qos_class(containers, qos):
    assert podspec.qos_class(pod(*containers)) == qos


def test_an_init_container_without_limits_makes_a_pod_burstable():
    assert podspec.qos_class(pod(container(FULL, FULL), init=[container()])) == "Burstable"


def test_requests_are_the_larger_of_running_and_starting():
    sidecar = container({"cpu": "100m"}, restartPolicy="Always")
    start = container({"cpu": "1", "memory": "1Mi"})
    found = podspec.requests(
        pod(container({"cpu": "200m"}), container({"cpu": "0.3"}), init=[sidecar, start])
    )
    assert found == {"cpu": 1100, "memory": 1024**2}


def test_overhead_and_pod_level_requests_count():
    found = podspec.requests(
        pod(container({"cpu": "200m"}), overhead={"cpu": "50m"}, resources={"requests": {"cpu": "1"}})
    )
    assert found == {"cpu": 1050}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "Always"),
        ("", "Always"),
    ],
)
def test_default_pull_policy(image, policy):
    assert podspec.default_pull_policy(image) == policy


def test_named_ports_differ_from_pod_to_pod():
    web = pod({"name": "c", "ports": [{"name": "http", "containerPort": 8080}]})
    assert podspec.resolve_port(web, "http") == 8080
    assert podspec.resolve_port(web, "http", "UDP") is None
    assert podspec.resolve_port(web, 80) == 80


def test_ready_terminal_active():
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:10Z"}
    running = {**pod(), "status": {"phase": "Running", "conditions": [ready]}}
    assert podspec.is_ready(running)
    assert podspec.is_active(running)
    assert not podspec.is_terminal(running)
    assert podspec.is_terminal({"status": {"phase": "Failed"}})
    assert not podspec.is_active({"metadata": {"deletionTimestamp": "x"}, "status": {}})


def test_pod_ips():
    assert podspec.pod_ips({"status": {"podIP": "a", "podIPs": [{"ip": "a"}, {"ip": "b"}]}}) == ["a", "b"]
    assert podspec.pod_ips({"status": {"podIP": "a"}}) == ["a"]
    assert podspec.pod_ips({}) == []


TEMPLATE = {"metadata": {"labels": {"app": "web", "b": "c"}}, "spec": {"containers": [{"name": "a"}]}}
HASH = podspec.template_hash(TEMPLATE)


def test_template_hash_is_the_same_in_every_process():
    again = {"spec": {"containers": [{"name": "a"}]}, "metadata": {"labels": {"b": "c", "app": "web"}}}
    assert podspec.template_hash(again) == HASH
    code = f"from sampan.api import podspec; print(podspec.template_hash({TEMPLATE!r}))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == HASH == "jcq6v2t522"


def test_template_hash_changes_with_the_template_and_the_collision_count():
    changed = {**TEMPLATE, "spec": {"containers": [{"name": "b"}]}}
    assert len({HASH, podspec.template_hash(changed), podspec.template_hash(TEMPLATE, 1)}) == 3
    assert podspec.template_hash(TEMPLATE, 0) == HASH
    assert len(HASH) == 10


def test_while_a_resize_is_under_way_the_larger_counts():
    def pod(asked, allocated, given, reason=""):
        status = {
            "name": "c",
            "allocatedResources": {"cpu": allocated},
            "resources": {"requests": {"cpu": given}},
        }
        pending = [{"type": "PodResizePending", "reason": reason}] if reason else []
        container = {"name": "c", "resources": {"requests": {"cpu": asked}}}
        return {
            "metadata": {"generation": 2},
            "spec": {"containers": [container]},
            "status": {"containerStatuses": [status], "conditions": pending},
        }

    assert podspec.occupied(pod("3", "1", "2")) == {"cpu": 3000}
    assert podspec.occupied(pod("1", "1", "2")) == {"cpu": 2000}
    assert podspec.occupied(pod("9", "1", "2", "Infeasible")) == {"cpu": 2000}
    assert podspec.occupied(pod("9", "1", "2", "Deferred")) == {"cpu": 9000}
    started = pod("3", "1", "2")
    started["metadata"]["generation"] = 1
    assert podspec.occupied(started) == {"cpu": 3000}
    assert podspec.occupied({**pod("3", "1", "2"), "status": {}}) == {"cpu": 3000}


@pytest.mark.parametrize(
    ("resource", "text"),
    [("cpu", "1500m"), ("memory", "64Mi"), ("example.com/gpu", "3"), ("hugepages-2Mi", "4Mi")],
)
def test_amounts_are_written_as_people_do(resource, text):
    assert str(podspec.as_quantity(resource, podspec.amount(resource, text))) == text
