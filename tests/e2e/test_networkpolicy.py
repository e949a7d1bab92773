"""NetworkPolicies as users write them, on a real node."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from harness.node import Node, eventually

WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: nginx
    ports: [{name: http, containerPort: 80}]
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
"""
CLIENT = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{role: {name}}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: main, image: toolbox, command: [sleep, infinity]}}]
---
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}}}
spec: {spec}
---
"""
DENY_IN = POLICY.format(name="deny-in", spec="{podSelector: {}}")
DENY_OUT = POLICY.format(
    name="deny-out", spec="{podSelector: {matchLabels: {role: held}}, policyTypes: [Egress]}"
)
FRIENDS = POLICY.format(
    name="friends",
    spec="""
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{port: http}]
""",
)
PARTNERS = POLICY.format(
    name="partners",
    spec="""
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {partner: "yes"}}, podSelector: {matchLabels: {role: held}}}]
    ports: [{port: 80}]
""",
)
HOST = POLICY.format(
    name="host",
    spec="""
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [PODS]}}]
    ports: [{port: 80, endPort: 90}]
""",
)
ASK_NAMES = POLICY.format(
    name="names",
    spec="""
  podSelector: {matchLabels: {role: held}}
  policyTypes: [Egress]
  egress:
  - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}},
          podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ports: [{port: 53, protocol: UDP}, {port: 53}]
  - to: [{podSelector: {matchLabels: {app: web}}}]
""",
)
KNOCKER = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{role: {name}}}}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: toolbox
    command:
    - python3
    - -c
    - |
      import select, socket
      opened = 0
      for attempt in range({times}):
          with socket.socket() as sock:
              sock.setblocking(False)
              sock.connect_ex(("{target}", 80))
              select.select([], [sock], [], {patience_s})
              opened += sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and sock.connect_ex(
                  ("{target}", 80)) in (0, 106)
      print("opened", opened)
"""


@pytest.fixture
def other(node: Node, namespace: str) -> Iterator[str]:
    name = f"{namespace[:40]}-other"
    node.kubectl("create", "namespace", name)
    yield name
    node.kubectl("delete", "namespace", name, "--wait=false")


def opens(node: Node, namespace: str, pod: str, address: str, *, expected: bool = True) -> bool:
    """Whether the Pod's request is answered; one that should be is waited for."""
    limit_s = 20 if expected else 1
    return "Welcome" in node.sh(pod, namespace, f"curl -sS -m {limit_s} http://{address}/", check=False)


def test_who_may_come_in(node: Node, namespace: str, other: str) -> None:
    friend, held = CLIENT.format(name="friend"), CLIENT.format(name="held")
    node.apply(WEB + friend + held, namespace)
    node.apply(held, other)
    for name in ("web", "friend", "held"):
        node.wait_ready(f"pod/{name}", namespace)
    node.wait_ready("pod/held", other)
    web = node.get("pod", "web", namespace)["status"]["podIP"]
    assert opens(node, namespace, "held", "web")

    node.apply(DENY_IN + FRIENDS, namespace)
    eventually(lambda: not opens(node, namespace, "held", "web", expected=False))
    assert opens(node, namespace, "friend", "web"), "by the Service"
    assert opens(node, namespace, "friend", web), "by the Pod's address"
    assert not opens(node, other, "held", web, expected=False)
    node.wait_ready("pod/web", namespace)

    node.apply(PARTNERS, namespace)
    node.kubectl("label", "namespace", other, "partner=yes")
    eventually(lambda: opens(node, other, "held", f"web.{namespace}"))
    assert not opens(node, namespace, "held", "web", expected=False)
    node.kubectl("label", "namespace", other, "partner-")
    eventually(lambda: not opens(node, other, "held", web, expected=False))

    asked = ["curl", "-sS", "-m", "1", f"http://{web}/"]
    assert subprocess.run(asked, capture_output=True).returncode == 28, "the host is no part of the node"
    pods = f"{web.rpartition('.')[0]}.0/24"
    node.apply(HOST.replace("PODS", pods), namespace)
    eventually(lambda: subprocess.run(asked, capture_output=True).returncode == 0)
    assert not opens(node, namespace, "held", web, expected=False)

    told = node.kubectl("get", "--raw", f"/api/v1/nodes/{node_name(node)}/proxy/metrics").out
    dropped = [line for line in told.splitlines() if f'namespace="{namespace}"' in line and "packets" in line]
    assert any('policy="deny-in"' in line and not line.endswith(" 0") for line in dropped), dropped

    node.kubectl("delete", "networkpolicy", "--all", "-n", namespace)
    eventually(lambda: opens(node, namespace, "held", "web"))


def test_who_may_go_out(node: Node, namespace: str) -> None:
    node.apply(WEB + CLIENT.format(name="held") + DENY_OUT, namespace)
    for name in ("web", "held"):
        node.wait_ready(f"pod/{name}", namespace)
    web = node.get("pod", "web", namespace)["status"]["podIP"]
    assert not opens(node, namespace, "held", web, expected=False)
    look_up = f"dig +short +time=1 +tries=1 web.{namespace}.svc.cluster.local"
    assert "timed out" in node.sh("held", namespace, look_up, check=False)
    api = "curl -sk -m 1 -o /dev/null -w '%{http_code}' https://$KUBERNETES_SERVICE_HOST/version"
    assert node.sh("held", namespace, api, check=False).startswith("000")

    node.apply(ASK_NAMES, namespace)
    eventually(lambda: opens(node, namespace, "held", "web"))
    assert node.sh("held", namespace, api, check=False).startswith("000")


def test_policies_hold_from_the_first_packet_to_the_last(node: Node, namespace: str) -> None:
    """Neither does a Pod slip out before its policy, nor is one shut out before it is known as a peer."""
    node.apply(WEB + DENY_IN + DENY_OUT + FRIENDS, namespace)
    node.wait_ready("pod/web", namespace)
    web = node.get("pod", "web", namespace)["status"]["podIP"]
    node.apply(KNOCKER.format(name="held", target=web, times=100, patience_s=0.01), namespace)
    node.apply(KNOCKER.format(name="friend", target=web, times=1, patience_s=30), namespace)
    for name, opened in (("held", 0), ("friend", 1)):
        node.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "-n", namespace)
        assert node.kubectl("logs", name, "-n", namespace).out.split() == ["opened", str(opened)]
    told = node.kubectl("get", "--raw", f"/api/v1/nodes/{node_name(node)}/proxy/metrics").out
    into_web = [line for line in told.splitlines() if f'address="{web}",direction="ingress"' in line]
    assert into_web and all(line.endswith(" 0") for line in into_web), "the friend was known from the start"


def test_a_namespace_that_goes_stays_shut_until_its_pods_have_ended(
    node: Node, namespace: str, other: str
) -> None:
    """CVE-2024-7598."""
    slow = WEB.replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 300")
    slow = slow.replace(
        "    readinessProbe", "    lifecycle: {preStop: {sleep: {seconds: 300}}}\n    readinessProbe"
    )
    node.apply(slow + DENY_IN, other)
    node.apply(CLIENT.format(name="guest"), namespace)
    node.wait_ready("pod/web", other)
    node.wait_ready("pod/guest", namespace)
    web = node.get("pod", "web", other)["status"]["podIP"]
    node.kubectl("delete", "namespace", other, "--wait=false")
    eventually(lambda: "deletionTimestamp" in node.get("pod", "web", other)["metadata"])
    assert not opens(node, namespace, "guest", web, expected=False)
    assert node.get("networkpolicy", "deny-in", other)
    node.kubectl("delete", "pod", "web", "-n", other, "--grace-period=0", "--force")
    eventually(lambda: node.kubectl("get", "namespace", other, check=False).code != 0)
    node.kubectl("create", "namespace", other)


def node_name(node: Node) -> str:
    return node.kubectl("get", "nodes", "-o", "name").out.split()[0].removeprefix("node/")
