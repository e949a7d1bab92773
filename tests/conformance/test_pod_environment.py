"""What a container is given: command, arguments, environment."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.scene import Scene, box, pod, refused


def field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def amount(name: str, resource: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource}}}


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        pytest.param(
            {},
            "image-entrypoint image-cmd",
            marks=conforms(
                "[sig-node] Containers should use the image defaults if command and args are blank [NodeConformance]"
            ),
        ),
        pytest.param(
            {"args": ["mine"]},
            "image-entrypoint mine",
            marks=conforms(
                "[sig-node] Containers should be able to override the image's default arguments (container cmd) [NodeConformance]"
            ),
        ),
        pytest.param(
            {"command": ["/bin/echo"]},
            "",
            marks=conforms(
                "[sig-node] Containers should be able to override the image's default command (container entrypoint) [NodeConformance]"
            ),
        ),
        pytest.param(
            {"command": ["/bin/echo", "mine"], "args": ["too"]},
            "mine too",
            marks=conforms(
                "[sig-node] Containers should be able to override the image's default command and arguments [NodeConformance]"
            ),
        ),
    ],
)
def test_command_and_arguments_against_those_of_the_image(
    scene: Scene, given: dict[str, Any], printed: str
) -> None:
    assert scene.finished(pod("p", box(image="entry", **given))).strip() == printed


@conforms("[sig-node] ConfigMap should be consumable via environment variable [NodeConformance]")
def test_a_variable_from_a_config_map(scene: Scene) -> None:
    scene.config_map("settings", colour="green")
    env = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y", "optional": True}}},
    ]
    assert scene.finished(pod("p", box("echo $COLOUR ${NONE-unset}", env=env))) == "green unset\n"


@conforms("[sig-node] ConfigMap should be consumable via the environment [NodeConformance]")
def test_all_variables_from_a_config_map(scene: Scene) -> None:
    scene.config_map("settings", colour="green", size="7")
    sources = [{"configMapRef": {"name": "settings"}}, {"prefix": "P_", "configMapRef": {"name": "settings"}}]
    log = scene.finished(pod("p", box("echo $colour $size $P_colour $P_size", envFrom=sources)))
    assert log == "green 7 green 7\n"


@conforms("[sig-node] Secrets should be consumable from pods in env vars [NodeConformance]")
def test_a_variable_from_a_secret(scene: Scene) -> None:
    scene.secret("s", password="p4ss")
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]
    assert scene.finished(pod("p", box("echo $PASSWORD", env=env))) == "p4ss\n"


@conforms("[sig-node] Secrets should be consumable via the environment [NodeConformance]")
def test_all_variables_from_a_secret(scene: Scene) -> None:
    scene.secret("s", user="me", password="p4ss")
    log = scene.finished(pod("p", box("echo $user $password", envFrom=[{"secretRef": {"name": "s"}}])))
    assert log == "me p4ss\n"


@conforms(
    "[sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars [NodeConformance]"
)
def test_variables_of_resources(scene: Scene) -> None:
    names = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
    env = [amount(name.upper().replace(".", "_"), name) for name in names]
    resources = {
        "requests": {"cpu": "250m", "memory": "32Mi"},
        "limits": {"cpu": "1250m", "memory": "64Mi"},
    }
    command = "echo $LIMITS_CPU $LIMITS_MEMORY $REQUESTS_CPU $REQUESTS_MEMORY"
    assert scene.finished(pod("p", box(command, env=env, resources=resources))) == "2 67108864 1 33554432\n"


@conforms(
    "[sig-node] Downward API should provide default limits.cpu/memory from node allocatable [NodeConformance]"
)
def test_variables_of_limits_that_are_not_set(scene: Scene) -> None:
    env = [amount("CPU", "limits.cpu"), amount("MEMORY", "limits.memory")]
    cpu, memory = scene.finished(pod("p", box("echo $CPU $MEMORY", env=env))).split()
    allocatable = scene.core.list_node().items[0].status.allocatable
    assert int(cpu) >= 1
    assert int(memory) > 1 << 20
    assert allocatable["cpu"] == cpu or allocatable["cpu"].endswith("m")


@conforms("[sig-node] Downward API should provide host IP as an env var [NodeConformance]")
def test_a_variable_of_the_nodes_address(scene: Scene) -> None:
    printed = scene.finished(pod("p", box("echo $HOST", env=[field("HOST", "status.hostIP")]))).strip()
    assert printed == scene.get("p").status.host_ip
    addresses = scene.core.list_node().items[0].status.addresses
    assert printed in [address.address for address in addresses]


@conforms("[sig-node] Downward API should provide pod UID as env vars [NodeConformance]")
def test_a_variable_of_the_uid(scene: Scene) -> None:
    printed = scene.finished(pod("p", box("echo $POD_UID", env=[field("POD_UID", "metadata.uid")])))
    assert printed.strip() == scene.get("p").metadata.uid


@conforms(
    "[sig-node] Downward API should provide pod name, namespace and IP address as env vars [NodeConformance]"
)
def test_variables_of_name_and_address(scene: Scene) -> None:
    env = [field("N", "metadata.name"), field("NS", "metadata.namespace"), field("IP", "status.podIP")]
    name, namespace, ip = scene.finished(pod("p", box("echo $N $NS $IP", env=env))).split()
    assert (name, namespace) == ("p", scene.namespace)
    assert ip == scene.get("p").status.pod_ip


@conforms("[sig-node] Pods should contain environment variables for services [NodeConformance]")
def test_variables_of_services(scene: Scene) -> None:
    spec = {"selector": {"app": "x"}, "ports": [{"port": 8765, "targetPort": 8080}]}
    service = {"metadata": {"name": "fooservice"}, "spec": spec}
    address = scene.core.create_namespaced_service(scene.namespace, service).spec.cluster_ip
    printed = dict(
        line.split("=", 1) for line in scene.finished(pod("p", box("env"))).splitlines() if "=" in line
    )
    assert printed["FOOSERVICE_SERVICE_HOST"] == address
    assert printed["FOOSERVICE_SERVICE_PORT"] == "8765"
    assert printed["FOOSERVICE_PORT"] == f"tcp://{address}:8765"
    assert printed["FOOSERVICE_PORT_8765_TCP"] == f"tcp://{address}:8765"
    assert printed["FOOSERVICE_PORT_8765_TCP_PORT"] == "8765"
    assert printed["FOOSERVICE_PORT_8765_TCP_PROTO"] == "tcp"
    assert printed["FOOSERVICE_PORT_8765_TCP_ADDR"] == address


@conforms("[sig-node] Variable Expansion should allow composing env vars into new env vars [NodeConformance]")
def test_variables_made_of_variables(scene: Scene) -> None:
    env = [
        {"name": "FOO", "value": "foo-value"},
        {"name": "BAR", "value": "bar-value"},
        {"name": "FOOBAR", "value": "$(FOO);;$(BAR);$$(FOO);$(NOBODY)"},
    ]
    log = scene.finished(pod("p", box(["sh", "-c", 'echo "$FOOBAR"'], env=env)))
    assert log == "foo-value;;bar-value;$(FOO);$(NOBODY)\n"


@conforms(
    "[sig-node] Variable Expansion should allow substituting values in a container's command [NodeConformance]"
)
def test_variables_in_the_command(scene: Scene) -> None:
    env = [{"name": "TEST", "value": "test-value"}]
    log = scene.finished(pod("p", box(["sh", "-c", 'TEST=wrong echo "$(TEST)"'], env=env)))
    assert log == "test-value\n"


@conforms(
    "[sig-node] Variable Expansion should allow substituting values in a container's args [NodeConformance]"
)
def test_variables_in_the_arguments(scene: Scene) -> None:
    env = [{"name": "TEST", "value": "test-value"}]
    log = scene.finished(pod("p", box(["sh", "-c"], args=['TEST=wrong echo "$(TEST)"'], env=env)))
    assert log == "test-value\n"


@conforms("[sig-node] ConfigMap should fail to create ConfigMap with empty key")
def test_a_config_map_with_an_empty_key_is_refused(scene: Scene) -> None:
    body = {"metadata": {"name": "bad"}, "data": {"": "value"}}
    assert "data[]" in refused(422, scene.core.create_namespaced_config_map, scene.namespace, body)


@conforms("[sig-node] Secrets should fail to create secret due to empty secret key")
def test_a_secret_with_an_empty_key_is_refused(scene: Scene) -> None:
    body = {"metadata": {"name": "bad"}, "data": {"": "dmFsdWU="}}
    assert "data[]" in refused(422, scene.core.create_namespaced_secret, scene.namespace, body)


@conforms("[sig-node] ConfigMap should run through a ConfigMap lifecycle")
def test_life_of_a_config_map(scene: Scene) -> None:
    labels = {"conformance-static": scene.namespace}
    body = {"metadata": {"name": "settings", "labels": labels}, "data": {"a": "1"}}
    scene.core.create_namespaced_config_map(scene.namespace, body)
    change = {"metadata": {"labels": {"changed": "yes"}}, "data": {"a": "2"}}
    scene.core.patch_namespaced_config_map("settings", scene.namespace, change)
    assert scene.core.read_namespaced_config_map("settings", scene.namespace).data == {"a": "2"}
    selector = f"conformance-static={scene.namespace}"
    (found,) = scene.core.list_config_map_for_all_namespaces(label_selector=selector).items
    assert found.metadata.labels["changed"] == "yes"
    scene.core.delete_collection_namespaced_config_map(scene.namespace, label_selector=selector)
    assert not scene.core.list_config_map_for_all_namespaces(label_selector=selector).items


@conforms("[sig-node] Secrets should patch a secret")
def test_life_of_a_secret(scene: Scene) -> None:
    labels = {"conformance-static": scene.namespace}
    body = {"metadata": {"name": "s", "labels": labels}, "stringData": {"key": "value"}}
    scene.core.create_namespaced_secret(scene.namespace, body)
    selector = f"conformance-static={scene.namespace}"
    assert len(scene.core.list_secret_for_all_namespaces(label_selector=selector).items) == 1
    scene.core.patch_namespaced_secret("s", scene.namespace, {"data": {"key": "bmV3"}})
    assert scene.core.read_namespaced_secret("s", scene.namespace).data == {"key": "bmV3"}
    scene.core.delete_collection_namespaced_secret(scene.namespace, label_selector=selector)
    assert not scene.core.list_secret_for_all_namespaces(label_selector=selector).items


@conforms("[sig-node] PodTemplates should run the lifecycle of PodTemplates")
def test_life_of_a_pod_template(scene: Scene) -> None:
    core, namespace = scene.core, scene.namespace
    core.create_namespaced_pod_template(namespace, template("t", namespace))
    core.patch_namespaced_pod_template("t", namespace, {"metadata": {"labels": {"changed": "yes"}}})
    assert core.read_namespaced_pod_template("t", namespace).metadata.labels["changed"] == "yes"
    (found,) = core.list_pod_template_for_all_namespaces(label_selector=f"set={namespace}").items
    assert found.metadata.labels["changed"] == "yes"
    core.delete_namespaced_pod_template("t", namespace)
    assert not core.list_namespaced_pod_template(namespace).items


@conforms("[sig-node] PodTemplates should delete a collection of pod templates")
def test_a_collection_of_pod_templates_is_deleted(scene: Scene) -> None:
    core, namespace = scene.core, scene.namespace
    for name in ("one", "two", "three"):
        core.create_namespaced_pod_template(namespace, template(name, namespace))
    chosen = {"label_selector": f"set={namespace}"}
    assert len(core.list_namespaced_pod_template(namespace, **chosen).items) == 3
    core.delete_collection_namespaced_pod_template(namespace, **chosen)
    assert not core.list_namespaced_pod_template(namespace, **chosen).items


@conforms("[sig-node] PodTemplates should replace a pod template")
def test_a_pod_template_is_replaced(scene: Scene) -> None:
    made = scene.core.create_namespaced_pod_template(scene.namespace, template("t", scene.namespace))
    made.metadata.annotations = {"updated": "true"}
    answer = scene.core.replace_namespaced_pod_template("t", scene.namespace, made)
    assert answer.metadata.annotations == {"updated": "true"}


def template(name: str, label: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"set": label}}
    return {
        "metadata": metadata,
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [box("true")]}},
    }


@conforms("[sig-node] Lease lease API should be available")
def test_leases(scene: Scene) -> None:
    api, namespace = client.CoordinationV1Api(scene.api), scene.namespace
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 30, "leaseTransitions": 0}
    api.create_namespaced_lease(namespace, {"metadata": {"name": "one"}, "spec": spec})
    made = api.read_namespaced_lease("one", namespace)
    assert (made.spec.holder_identity, made.spec.lease_duration_seconds) == ("me", 30)
    made.spec.holder_identity, made.spec.lease_transitions = "you", 1
    api.replace_namespaced_lease("one", namespace, made)
    assert api.read_namespaced_lease("one", namespace).spec.holder_identity == "you"
    api.patch_namespaced_lease("one", namespace, {"spec": {"leaseDurationSeconds": 50}})
    assert api.read_namespaced_lease("one", namespace).spec.lease_duration_seconds == 50
    labelled = {"metadata": {"name": "two", "labels": {"of": "two"}}, "spec": spec}
    api.create_namespaced_lease(namespace, labelled)
    assert len(api.list_namespaced_lease(namespace).items) == 2
    api.delete_collection_namespaced_lease(namespace, label_selector="of=two")
    assert [lease.metadata.name for lease in api.list_namespaced_lease(namespace).items] == ["one"]
    api.delete_namespaced_lease("one", namespace)
    refused(404, api.read_namespaced_lease, "one", namespace)
