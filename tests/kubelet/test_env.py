"""Environments: order, expansion, sources, Services; messages as upstream words them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.kubelet.env import ConfigError, Surroundings, environment, field_value, service_variables

AROUND = Surroundings(("10.0.0.5",), ("100.64.0.2",), "node", {"cpu": "2", "memory": "4096Ki"})
OBJECTS = {
    "settings": {"data": {"a": "1", "b": "2"}},
    "key": {"data": {"k": base64.b64encode(b"secret").decode()}},
}


def lookup(resource: Resource, name: str) -> Obj | None:
    return OBJECTS.get(name)


def pod(**metadata: Any) -> Obj:
    return {
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", **metadata},
        "spec": {"serviceAccountName": "sa", "containers": []},
    }


def env(*entries: Obj, **container: Any) -> dict[str, str]:
    described = {"name": "c", "env": list(entries), **container}
    return environment(pod(), described, lookup=lookup, surroundings=AROUND)


def source(field: str, **ref: Any) -> Obj:
    return {"name": "X", "valueFrom": {field: ref}}


def test_later_definitions_see_earlier_ones_and_win() -> None:
    found = env(
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(A)"},
        {"name": "C", "value": "$(D) $$(A) $A $("},
        {"name": "D", "value": "late"},
        {"name": "A", "value": "2"},
    )
    assert found == {"A": "2", "B": "11", "C": "$(D) $(A) $A $(", "D": "late"}


def test_image_env_is_the_base() -> None:
    container = {"name": "c", "env": [{"name": "A", "value": "mine"}]}
    found = environment(
        pod(), container, lookup=lookup, surroundings=AROUND, image_env=["A=image", "P=/bin:/usr=bin"]
    )
    assert found == {"A": "mine", "P": "/bin:/usr=bin"}


def test_env_from_with_prefix() -> None:
    found = env(
        {"name": "SUM", "value": "$(P_a)$(b)"},
        envFrom=[
            {"configMapRef": {"name": "settings"}, "prefix": "P_"},
            {"configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "key"}},
            {"secretRef": {"name": "none", "optional": True}},
        ],
    )
    assert found == {"P_a": "1", "P_b": "2", "a": "1", "b": "2", "k": "secret", "SUM": "12"}


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (source("configMapKeyRef", name="settings", key="a"), "1"),
        (source("secretKeyRef", name="key", key="k"), "secret"),
        (source("fieldRef", fieldPath="status.podIP"), "10.0.0.5"),
        (source("fieldRef", fieldPath="status.hostIP"), "100.64.0.2"),
        (source("fieldRef", fieldPath="spec.nodeName"), "node"),
        (source("fieldRef", fieldPath="spec.serviceAccountName"), "sa"),
        (source("fieldRef", fieldPath="metadata.uid"), "u"),
        (source("configMapKeyRef", name="settings", key="none", optional=True), None),
        (source("configMapKeyRef", name="none", key="a", optional=True), None),
    ],
)
def test_value_from(entry: Obj, value: str | None) -> None:
    assert env(entry).get("X") == value


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (source("configMapKeyRef", name="none", key="a"), 'configmap "none" not found'),
        (source("secretKeyRef", name="none", key="a"), 'secret "none" not found'),
        (source("configMapKeyRef", name="settings", key="z"), "couldn't find key z in ConfigMap ns/settings"),
        (source("secretKeyRef", name="key", key="z"), "couldn't find key z in Secret ns/key"),
    ],
)
def test_missing_sources_are_named(entry: Obj, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        env(entry)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "2"),
        ("requests.cpu", None, "1"),
        ("requests.cpu", "1m", "250"),
        ("requests.memory", None, "33554432"),
        ("requests.memory", "1Mi", "32"),
        ("limits.memory", "1Ki", "4096"),
    ],
)
def test_resource_fields_round_up_and_fall_back_to_the_node(
    resource: str, divisor: str | None, value: str
) -> None:
    ref = {"resource": resource} | ({"divisor": divisor} if divisor else {})
    found = env(source("resourceFieldRef", **ref), resources={"requests": {"cpu": "250m", "memory": "32Mi"}})
    assert found["X"] == value


def test_a_limit_that_is_not_set_is_the_pods_as_a_whole() -> None:
    owner = pod()
    owner["spec"]["resources"] = {"limits": {"cpu": "300m"}}
    entries = [
        {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": "1m"}}}
        for name, resource in (("A", "limits.cpu"), ("B", "requests.cpu"))
    ]
    entries.append({"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}})
    found = environment(owner, {"name": "c", "env": entries}, lookup=lookup, surroundings=AROUND)
    assert found == {"A": "300", "B": "0", "C": str(4 << 20)}


def test_labels_as_a_file() -> None:
    labelled = pod(labels={"b": 'say "hi"', "a": "1"})
    assert field_value(labelled, "metadata.labels") == 'a="1"\nb="say \\"hi\\""'
    assert field_value(labelled, "metadata.labels['a']") == "1"


def service(name: str, namespace: str, ip: str, *ports: Obj) -> Obj:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "ports": list(ports)},
    }


def test_service_variables() -> None:
    services = [
        service("my-web", "ns", "10.96.0.7", {"port": 80, "name": "http-x"}, {"port": 53, "protocol": "UDP"}),
        service("kubernetes", "default", "10.96.0.1", {"port": 443, "name": "https"}),
        service("headless", "ns", "None", {"port": 1}),
        service("other", "elsewhere", "10.96.0.9", {"port": 1}),
    ]
    found = service_variables(services, "ns")
    assert {name: value for name, value in found.items() if name.startswith("MY_WEB")} == {
        "MY_WEB_SERVICE_HOST": "10.96.0.7",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP_X": "80",
        "MY_WEB_PORT": "tcp://10.96.0.7:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.96.0.7:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.96.0.7",
        "MY_WEB_PORT_53_UDP": "udp://10.96.0.7:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
        "MY_WEB_PORT_53_UDP_PORT": "53",
        "MY_WEB_PORT_53_UDP_ADDR": "10.96.0.7",
    }
    assert {name.partition("_")[0] for name in found} == {"MY", "KUBERNETES"}
    assert {name.partition("_")[0] for name in service_variables(services, "ns", False)} == {"KUBERNETES"}


def of_file(files: dict[tuple[str, str], str | None], *, optional: bool = False) -> dict[str, str]:
    ref = {"volumeName": "v", "path": "e", "key": "K", "optional": optional}
    container = {"name": "c", "env": [{"name": "X", "valueFrom": {"fileKeyRef": ref}}]}
    return environment(pod(), container, lookup=lookup, surroundings=AROUND, files=files)


def test_a_variable_from_a_file_in_a_volume() -> None:
    assert of_file({("v", "e"): "J='0'\nK='1'"}) == {"X": "1"}


@pytest.mark.parametrize("text", [None, "", "K=''"])
def test_what_no_file_says_is_an_error_unless_it_is_optional(text: str | None) -> None:
    said = "environment variable key" if text is not None else 'file "e" not found in volume "v"'
    with pytest.raises(ConfigError, match=said):
        of_file({("v", "e"): text})
    assert of_file({("v", "e"): text}, optional=True) == {}


def test_a_file_that_is_none_of_variables_is_an_error_even_if_optional() -> None:
    with pytest.raises(ConfigError, match="couldn't parse env file e: value must be enclosed"):
        of_file({("v", "e"): "K=1"}, optional=True)
