"""What cannot be is refused in upstream's words, and changes nothing; what fails later says why."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
import yaml

from harness.node import Node, eventually

POD = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"busybox"}]}}'


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("apiVersion: v1\nkind: Boat\nmetadata: {name: x}", 'no matches for kind "Boat" in version "v1"'),
        ("apiVersion: v9\nkind: Pod\nmetadata: {name: x}", 'no matches for kind "Pod" in version "v9"'),
        (POD.replace('"spec"', '"spce"'), 'unknown field "spce"'),
        (POD.replace('"c",', '"c","imag":1,'), 'unknown field "spec.containers[0].imag"'),
        (POD.replace('"x"', '"Not_A_Name"'), "a lowercase RFC 1123 subdomain must consist of"),
        (
            '{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"ports":[{"port":99999}]}}',
            "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive",
        ),
        (
            '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"selector":{"matchLabels":'
            '{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}',
            "`selector` does not match template `labels`",
        ),
        (
            '{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"externalIPs":["1.2.3.4"],'
            '"ports":[{"port":1}]}}',
            "external IPs",
        ),
    ],
)
def test_refused_with_a_reason(node: Node, namespace: str, yaml: str, said: str) -> None:
    output = node.kubectl("create", "-n", namespace, "-f", "-", stdin=yaml, check=False)
    assert output.code != 0 and said in output.err
    assert "No resources found" in node.kubectl("get", "pods,services", "-n", namespace).err


def test_namespace_that_is_not_there(node: Node) -> None:
    output = node.kubectl("create", "-n", "nowhere", "-f", "-", stdin=POD, check=False)
    assert 'namespaces "nowhere" not found' in output.err


def test_immutable_field_and_conflict(node: Node, namespace: str) -> None:
    node.kubectl("create", "deployment", "d", "--image=nginx", "-n", namespace)
    patch = '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'
    output = node.kubectl("patch", "deployment", "d", "-n", namespace, "-p", patch, check=False)
    assert "field is immutable" in output.err or "does not match template" in output.err
    stale = node.get("deployment", "d", namespace)
    stale["metadata"]["resourceVersion"] = "1"
    output = node.kubectl("replace", "-n", namespace, "-f", "-", stdin=json.dumps(stale), check=False)
    assert "the object has been modified" in output.err


def ask(
    node: Node, path: str, body: bytes | None = None, *, known: bool = True, media: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    """A bare request, as no well-behaved client sends it; `known`: with the administrator's certificate."""
    config = yaml.safe_load(node.kubeconfig.read_text())
    context = ssl.create_default_context(
        cadata=base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    )
    if known:
        pair = node.work / "admin.pem"
        user = config["users"][0]["user"]
        pair.write_bytes(
            b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
        )
        context.load_cert_chain(pair)
    server = config["clusters"][0]["cluster"]["server"]
    request = urllib.request.Request(server + path, data=body, headers={"Content-Type": media})
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("body", "media", "code", "said"),
    [
        (b'"just a string"', "application/json", 400, "cannot unmarshal string"),
        (b"[1, 2]", "application/json", 400, "cannot unmarshal array"),
        (b"just a string", "application/yaml", 400, "cannot unmarshal string"),
        (b"{", "application/json", 400, ""),
        (b"a: [", "application/yaml", 400, ""),
        (b"", "application/json", 400, ""),
        (b"{}", "application/x-boat", 415, ""),
        (
            b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"b"},"data":{"a":"c"}}',
            "application/json",
            400,
            'duplicate field "data"',
        ),
        (b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}', "application/json", 400, "Secret"),
        (b"[" * 100_000, "application/json", 400, ""),
    ],
)
def test_body_that_is_no_object(
    node: Node, namespace: str, body: bytes, media: str, code: int, said: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps?fieldValidation=Strict"
    answered, status = ask(node, path, body, media=media)
    assert (answered, status["kind"], status["code"]) == (code, "Status", code)
    assert said in status["message"]
    names = [obj["metadata"]["name"] for obj in node.list("configmaps", namespace)]
    assert names == ["kube-root-ca.crt"]


def test_anonymous_sees_health_and_nothing_else(node: Node) -> None:
    code, status = ask(node, "/api/v1/pods", known=False)
    assert (code, status["reason"]) == (401, "Unauthorized")
    code, version = ask(node, "/version", known=False)
    assert code == 200 and version["minor"] == "35"


def test_ten_megabytes_are_too_many(node: Node, namespace: str) -> None:
    huge = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "huge"},
        "data": {"x": "y" * 10_000_000},
    }
    output = node.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(huge), check=False)
    assert output.code != 0
    assert "too large" in output.err.lower() or "limit" in output.err.lower()
    assert node.kubectl("get", "--raw", "/readyz").out == "ok"


def waiting(node: Node, name: str, namespace: str) -> dict[str, str]:
    statuses = node.get("pod", name, namespace)["status"].get("containerStatuses") or [{}]
    found: dict[str, str] = statuses[0].get("state", {}).get("waiting", {})
    return found


def test_image_that_does_not_exist(node: Node, namespace: str) -> None:
    node.kubectl("run", "x", "--image=no-such-image", "-n", namespace)
    eventually(lambda: waiting(node, "x", namespace).get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    eventually(
        lambda: (
            "not found" in waiting(node, "x", namespace)["message"]
            or "unknown" in waiting(node, "x", namespace)["message"]
        )
    )
    reasons = {event["reason"] for event in node.events("x", namespace)}
    assert {"Pulling", "Failed"} <= reasons


def test_command_that_does_not_exist(node: Node, namespace: str) -> None:
    node.kubectl(
        "run", "x", "--image=busybox", "--restart=Never", "-n", namespace, "--command", "--", "/no/such"
    )
    eventually(lambda: node.get("pod", "x", namespace)["status"]["phase"] == "Failed")
    (status,) = node.get("pod", "x", namespace)["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    assert ended["reason"] in ("StartError", "ContainerCannotRun") and "/no/such" in ended["message"]


def test_probe_that_never_succeeds(node: Node, namespace: str) -> None:
    pod = json.loads(POD)
    pod["spec"]["terminationGracePeriodSeconds"] = 0
    pod["spec"]["containers"][0] |= {
        "command": ["sleep", "infinity"],
        "readinessProbe": {"tcpSocket": {"port": 81}, "periodSeconds": 1},
    }
    node.apply(json.dumps(pod), namespace)
    eventually(lambda: node.get("pod", "x", namespace)["status"]["phase"] == "Running")
    eventually(lambda: "Readiness probe failed" in str(node.events("x", namespace)))
    conditions = {c["type"]: c for c in node.get("pod", "x", namespace)["status"]["conditions"]}
    assert conditions["Ready"]["reason"] == "ContainersNotReady"
    assert conditions["Ready"]["message"] == "containers with unready status: [c]"


def test_pod_that_fits_nowhere(node: Node, namespace: str) -> None:
    pod = json.loads(POD)
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
    node.apply(json.dumps(pod), namespace)
    eventually(lambda: "0/1 nodes are available: 1 Insufficient cpu" in str(node.events("x", namespace)))


def test_missing_configmap_is_named(node: Node, namespace: str) -> None:
    pod = json.loads(POD)
    pod["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "absent"}}]
    node.apply(json.dumps(pod), namespace)
    eventually(lambda: waiting(node, "x", namespace).get("reason") == "CreateContainerConfigError")
    assert 'configmap "absent" not found' in waiting(node, "x", namespace)["message"]
