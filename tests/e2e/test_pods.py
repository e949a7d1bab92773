"""Scene 1: a Pod is a collaborating unit, not a container."""

import pytest

from harness.node import Node, eventually

TOGETHER = """
apiVersion: v1
kind: Pod
metadata: {name: together}
spec:
  volumes: [{name: logs, emptyDir: {}}]
  containers:
  - name: web
    image: toolbox
    command: [sh, -c, "while :; do date >> /logs/app.log; sleep 0.1; done"]
    volumeMounts: [{name: logs, mountPath: /logs}]
  - name: cache
    image: redis
    volumeMounts: [{name: logs, mountPath: /archive, readOnly: true}]
"""


def test_containers_of_a_pod_share_network_name_and_volume(node: Node, namespace: str) -> None:
    node.apply(TOGETHER, namespace)
    node.wait_ready("pod/together", namespace)
    assert "PONG" in eventually(
        lambda: node.sh("together", namespace, "redis-cli -h localhost -p 6379 ping", "web")
    )
    names = {node.sh("together", namespace, "hostname", each).strip() for each in ("web", "cache")}
    assert names == {"together"}
    assert node.sh("together", namespace, "head -1 /archive/app.log", "cache")
    assert "Read-only" in node.sh("together", namespace, "touch /archive/x", "cache", check=False)
    assert "not found" in node.sh("together", namespace, "redis-server --version", "web", check=False)
    processes = node.sh("together", namespace, "ps", "cache")
    assert "redis-server" in processes and "date" not in processes


def test_address_outlives_a_crashing_container(node: Node, namespace: str) -> None:
    node.apply(TOGETHER, namespace)
    node.wait_ready("pod/together", namespace)
    address = node.get("pod", "together", namespace)["status"]["podIP"]
    node.sh("together", namespace, "kill -9 1 || true; redis-cli shutdown nosave", "cache", check=False)

    def restarted() -> bool:
        statuses = node.get("pod", "together", namespace)["status"]["containerStatuses"]
        cache = next(status for status in statuses if status["name"] == "cache")
        return cache["restartCount"] == 1 and cache["ready"] and "terminated" in cache["lastState"]

    eventually(restarted)
    pod = node.get("pod", "together", namespace)
    assert pod["status"]["podIP"] == address
    web = next(s for s in pod["status"]["containerStatuses"] if s["name"] == "web")
    assert web["restartCount"] == 0


INIT = """
apiVersion: v1
kind: Pod
metadata: {name: init}
spec:
  restartPolicy: Never
  volumes: [{name: work, emptyDir: {}}]
  initContainers:
  - {name: one, image: busybox, command: [sh, -c, "sleep 0.3; echo one >> /steps/order"], volumeMounts: [{name: work, mountPath: /steps}]}
  - {name: two, image: busybox, command: [sh, -c, "echo two >> /steps/order"], volumeMounts: [{name: work, mountPath: /steps}]}
  containers:
  - {name: main, image: busybox, command: [sh, -c, "echo main >> /steps/order; cat /steps/order"], volumeMounts: [{name: work, mountPath: /steps}]}
"""


def test_init_containers_run_one_by_one_before_the_others(node: Node, namespace: str) -> None:
    node.apply(INIT, namespace)
    eventually(lambda: node.get("pod", "init", namespace)["status"]["phase"] == "Succeeded")
    assert node.kubectl("logs", "init", "-n", namespace).out.split() == ["one", "two", "main"]
    status = node.get("pod", "init", namespace)["status"]
    assert [c["state"]["terminated"]["reason"] for c in status["initContainerStatuses"]] == ["Completed"] * 2


@pytest.mark.parametrize(
    ("name", "fields", "printed"),
    [
        ("neither", "", "image-entrypoint image-cmd"),
        ("args", "args: [mine]", "image-entrypoint mine"),
        ("command", "command: [/bin/echo, alone]", "alone"),
        ("both", "command: [/bin/echo], args: [a, b]", "a b"),
        (
            "variables",
            'args: ["$(WHO)", "$$(WHO)", "$(NOBODY)"], env: [{name: WHO, value: me}]',
            "image-entrypoint me $(WHO) $(NOBODY)",
        ),
    ],
)
def test_command_and_args(node: Node, namespace: str, name: str, fields: str, printed: str) -> None:
    container = f"{{name: main, image: entry{', ' + fields if fields else ''}}}"
    node.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {restartPolicy: Never, containers: [%s]}}"
        % (name, container),
        namespace,
    )
    eventually(lambda: node.get("pod", name, namespace)["status"]["phase"] == "Succeeded")
    assert node.kubectl("logs", name, "-n", namespace).out.strip() == printed


def test_hosts_resolv_conf_and_hostname(node: Node, namespace: str) -> None:
    node.kubectl("run", "shell", "--image=toolbox", "-n", namespace)
    node.wait_ready("pod/shell", namespace)
    address = node.get("pod", "shell", namespace)["status"]["podIP"]
    assert f"{address}\tshell" in node.sh("shell", namespace, "cat /etc/hosts")
    resolv = node.sh("shell", namespace, "cat /etc/resolv.conf")
    assert f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in resolv
    assert "options ndots:5" in resolv
    assert address in node.sh("shell", namespace, "ip -4 addr show eth0")


CRASHING = """
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  containers: [{name: main, image: busybox, command: [sh, -c, "echo try; exit 3"]}]
"""


def test_crash_loop_backs_off_and_says_so(node: Node, namespace: str) -> None:
    node.apply(CRASHING, namespace)

    def backing_off() -> bool:
        (status,) = node.get("pod", "crashing", namespace)["status"]["containerStatuses"]
        return status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"

    eventually(backing_off)
    (status,) = node.get("pod", "crashing", namespace)["status"]["containerStatuses"]
    assert "back-off 10s restarting failed container=main" in status["state"]["waiting"]["message"]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert node.kubectl("logs", "crashing", "--previous", "-n", namespace).out == "try\n"
    assert any(event["reason"] == "BackOff" for event in node.events("crashing", namespace))
    table = node.kubectl("get", "pod", "crashing", "-n", namespace).out
    assert "CrashLoopBackOff" in table


CONFIGURED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, file.txt: "from a file"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: configured, labels: {tier: front}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: [sleep, infinity]
    envFrom: [{configMapRef: {name: settings}, prefix: CFG_}]
    env:
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: BOTH, value: "$(TOKEN)-$(CFG_colour)"}
    resources: {limits: {cpu: 250m, memory: 64Mi}}
    volumeMounts:
    - {name: settings, mountPath: /settings}
    - {name: keys, mountPath: /keys, readOnly: true}
    - {name: all, mountPath: /all}
    - {name: host, mountPath: /host}
    - {name: settings, mountPath: /one.txt, subPath: file.txt}
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
  - name: all
    projected:
      sources:
      - configMap: {name: settings, items: [{key: colour, path: deep/colour}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
  - {name: host, hostPath: {path: /etc, type: Directory}}
"""


def test_configuration_reaches_the_container(node: Node, namespace: str) -> None:
    node.apply(CONFIGURED, namespace)
    node.wait_ready("pod/configured", namespace)
    env = dict(line.partition("=")[::2] for line in node.sh("configured", namespace, "env").splitlines())
    pod = node.get("pod", "configured", namespace)
    assert env["CFG_colour"] == "blue" and env["TOKEN"] == "s3cret" and env["CPU"] == "250"
    assert env["NODE"] == pod["spec"]["nodeName"] and env["IP"] == pod["status"]["podIP"]
    assert env["KUBERNETES_SERVICE_HOST"] and env["KUBERNETES_SERVICE_PORT"] == "443"
    assert node.sh("configured", namespace, "cat /settings/file.txt /one.txt") == "from a file" * 2
    assert node.sh("configured", namespace, "stat -L -c %a /keys/token").strip() == "400"
    assert node.sh("configured", namespace, "cat /all/deep/colour") == "blue"
    assert 'tier="front"' in node.sh("configured", namespace, "cat /all/labels")
    assert node.sh("configured", namespace, "cut -d. -f1-2 /all/token").count(".") == 1
    assert node.sh("configured", namespace, "cat /host/hostname")
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert node.sh("configured", namespace, f"cat {account}/namespace") == namespace
    assert "BEGIN CERTIFICATE" in node.sh("configured", namespace, f"cat {account}/ca.crt")


def test_a_changed_configmap_reaches_the_volume(node: Node, namespace: str) -> None:
    node.apply(CONFIGURED, namespace)
    node.wait_ready("pod/configured", namespace)
    node.kubectl("patch", "configmap", "settings", "-n", namespace, "-p", '{"data":{"colour":"green"}}')
    eventually(lambda: node.sh("configured", namespace, "cat /settings/colour") == "green")
    assert node.sh("configured", namespace, "cat /one.txt") == "from a file"


def test_a_pod_reaches_the_api_with_its_account(node: Node, namespace: str) -> None:
    node.kubectl("run", "shell", "--image=toolbox", "-n", namespace)
    node.wait_ready("pod/shell", namespace)
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    answer = node.sh(
        "shell",
        namespace,
        f'curl -sS --cacert {account}/ca.crt -H "Authorization: Bearer $(cat {account}/token)"'
        f" https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods/shell",
    )
    assert '"name":"shell"' in answer.replace(" ", "")
    refused = node.sh(
        "shell", namespace, f"curl -sS --cacert {account}/ca.crt https://kubernetes.default.svc/api/v1/pods"
    )
    assert '"code":401' in refused.replace(" ", "")


HUNGRY = """
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: toolbox
    command: [python3, -c, "x = bytearray(200 << 20)"]
    resources: {limits: {memory: 32Mi}}
"""


def test_memory_limit_is_kept_and_named(node: Node, namespace: str) -> None:
    node.apply(HUNGRY, namespace)
    eventually(lambda: node.get("pod", "hungry", namespace)["status"]["phase"] == "Failed")
    (status,) = node.get("pod", "hungry", namespace)["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"
    assert status["state"]["terminated"]["exitCode"] == 137


GRACEFUL = """
apiVersion: v1
kind: Pod
metadata: {name: graceful}
spec:
  terminationGracePeriodSeconds: 20
  volumes: [{name: host, hostPath: {path: %s, type: DirectoryOrCreate}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "trap 'sleep 0.5; echo bye > /host/farewell; exit 0' TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{name: host, mountPath: /host}]
"""


def test_deletion_waits_for_the_farewell(node: Node, namespace: str) -> None:
    place = node.work / "farewell"
    node.apply(GRACEFUL % place, namespace)
    node.wait_ready("pod/graceful", namespace)
    node.kubectl("delete", "pod", "graceful", "-n", namespace)
    assert (place / "farewell").read_text() == "bye\n"


def test_a_replaced_pod_gets_another_address(node: Node, namespace: str) -> None:
    addresses = set()
    for _ in range(2):
        node.kubectl("run", "web", "--image=nginx", "-n", namespace)
        node.wait_ready("pod/web", namespace)
        addresses.add(node.get("pod", "web", namespace)["status"]["podIP"])
        node.kubectl("delete", "pod", "web", "-n", namespace)
    assert len(addresses) == 2


PROBED = """
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: toolbox
    command: [sh, -c, "touch /tmp/alive; mkdir /tmp/www; until [ -e /tmp/go ]; do sleep 0.1; done; echo ok > /tmp/www/healthz; exec httpd -f -p 8080 -h /tmp/www"]
    ports: [{name: http, containerPort: 8080}]
    startupProbe: {tcpSocket: {port: http}, periodSeconds: 1, failureThreshold: 300}
    readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, timeoutSeconds: 20}
    livenessProbe: {exec: {command: [test, -e, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 20}
"""


def test_probes_gate_readiness_and_restart(node: Node, namespace: str) -> None:
    node.apply(PROBED, namespace)
    eventually(lambda: node.get("pod", "probed", namespace)["status"]["phase"] == "Running")
    (status,) = node.get("pod", "probed", namespace)["status"]["containerStatuses"]
    assert not status["ready"]
    node.sh("probed", namespace, "touch /tmp/go")
    node.wait_ready("pod/probed", namespace)
    node.sh("probed", namespace, "rm /tmp/www/healthz")
    eventually(lambda: not node.get("pod", "probed", namespace)["status"]["containerStatuses"][0]["ready"])
    assert "Readiness probe failed: HTTP probe failed with statuscode: 404" in str(
        node.events("probed", namespace)
    )
    node.sh("probed", namespace, "rm /tmp/alive")

    def restarted() -> bool:
        return bool(node.get("pod", "probed", namespace)["status"]["containerStatuses"][0]["restartCount"])

    eventually(restarted)
    assert "Container main failed liveness probe, will be restarted" in str(node.events("probed", namespace))


HOST = """
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  terminationGracePeriodSeconds: 0
  hostNetwork: true
  containers: [{name: main, image: toolbox, command: [sleep, infinity]}]
"""


def test_host_network_has_the_nodes_address_and_name(node: Node, namespace: str) -> None:
    node.apply(HOST, namespace)
    node.wait_ready("pod/host", namespace)
    status = node.get("pod", "host", namespace)["status"]
    assert status["podIP"] == status["hostIP"]
    assert status["hostIP"] in node.sh("host", namespace, "hostname -I || ip -4 addr", check=False)
    name = node.list("nodes", namespace)[0]["metadata"]["name"]
    assert node.sh("host", namespace, "hostname; echo $HOSTNAME").split() == [name, name]
