"""Scene 2: labels join Services to Pods, and no client notices when the Pods change."""

import json
import select
import socket
import subprocess
import time

from harness.node import Node, eventually
from harness.traffic import Load
from harness.webapp import WEBAPP

READY = (
    '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","readinessProbe":'
    '{"httpGet":{"path":"/","port":80},"periodSeconds":1}}]}}}}'
)


def webapp(node: Node, namespace: str) -> str:
    """Brings the story's Deployment and Service up; answers the Service's address."""
    node.apply(
        WEBAPP.replace("image: nginx}", "image: nginx, readinessProbe: {httpGet: {port: 80}}}"), namespace
    )
    node.rolled_out("webapp", namespace)
    eventually(lambda: len(addresses(node, "web-service", namespace)) == 3)
    address: str = node.get("service", "web-service", namespace)["spec"]["clusterIP"]
    return address


def addresses(node: Node, service: str, namespace: str) -> set[str]:
    subsets = node.get("endpoints", service, namespace).get("subsets") or []
    return {entry["ip"] for subset in subsets for entry in subset.get("addresses") or []}


def ask(address: str, port: int = 80) -> str:
    """Which Pod answers a request from the host."""
    done = subprocess.run(
        ["curl", "-sS", "-m", "20", "-o", "/dev/null", "-D", "-", f"http://{address}:{port}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    return next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("X-Pod"))


def test_the_story_unchanged(node: Node, namespace: str) -> None:
    node.apply(WEBAPP, namespace)
    node.rolled_out("webapp", namespace)
    eventually(lambda: len(addresses(node, "web-service", namespace)) == 3)
    table = node.kubectl("get", "endpoints", "web-service", "-n", namespace).out
    assert table.count(":80") == 3
    address = node.get("service", "web-service", namespace)["spec"]["clusterIP"]
    eventually(lambda: ask(address))
    pods = {pod["metadata"]["name"] for pod in node.list("pods", namespace)}
    assert {ask(address) for _ in range(60)} == pods


def test_reached_by_name_from_pod_and_by_address_from_node_and_host(node: Node, namespace: str) -> None:
    address = webapp(node, namespace)
    node.kubectl("run", "shell", "--image=toolbox", "-n", namespace)
    node.wait_ready("pod/shell", namespace)
    names = ("web-service", f"web-service.{namespace}", f"web-service.{namespace}.svc.cluster.local", address)
    for name in names:
        assert "Welcome to nginx" in node.sh("shell", namespace, f"curl -sS -m 20 http://{name}/")
    dig = node.sh("shell", namespace, f"dig +short web-service.{namespace}.svc.cluster.local")
    assert dig.strip() == address
    node.kubectl("run", "small", "--image=busybox", "-n", namespace, "--", "sleep", "infinity")
    node.wait_ready("pod/small", namespace)
    assert "Welcome to nginx" in node.sh("small", namespace, "wget -q -O - http://web-service/")
    assert ask(address)
    inside = ["nsenter", f"--net={node.data}/run/node.net", "curl", "-sS", "-m", "20", f"http://{address}/"]
    assert "Welcome" in subprocess.run(inside, capture_output=True, text=True, check=True).stdout


def test_a_pod_reaches_itself_through_its_service(node: Node, namespace: str) -> None:
    address = webapp(node, namespace)
    node.kubectl("scale", "deployment/webapp", "--replicas=1", "-n", namespace)
    eventually(lambda: len(node.list("pods", namespace)) == 1)
    eventually(lambda: len(addresses(node, "web-service", namespace)) == 1)
    pod = node.list("pods", namespace)[0]["metadata"]["name"]
    assert "Welcome" in node.sh(pod, namespace, f"curl -sS -m 20 http://{address}/")


def test_no_endpoints_means_refused_at_once(node: Node, namespace: str) -> None:
    node.kubectl("create", "service", "clusterip", "nobody", "--tcp=80:80", "-n", namespace)
    address = node.get("service", "nobody", namespace)["spec"]["clusterIP"]

    def refused() -> bool:
        begun = time.monotonic()
        done = subprocess.run(
            ["curl", "-sS", "-m", "20", f"http://{address}/"], capture_output=True, check=False
        )
        return done.returncode == 7 and time.monotonic() - begun < 1

    eventually(refused)


def test_node_port(node: Node, namespace: str) -> None:
    webapp(node, namespace)
    node.kubectl("patch", "service", "web-service", "-n", namespace, "-p", '{"spec":{"type":"NodePort"}}')
    port = node.get("service", "web-service", namespace)["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    host = node.list("nodes", namespace)[0]["status"]["addresses"][0]["address"]
    assert eventually(lambda: ask(host, port))


def test_only_pods_with_both_labels(node: Node, namespace: str) -> None:
    for name, labels in {"a": "app=myapp", "b": "app=myapp,tier=backend", "c": "tier=backend"}.items():
        command = ["httpd", "-f", "-p", "9376"]
        node.kubectl("run", name, "--image=busybox", f"--labels={labels}", "-n", namespace, "--", *command)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "backend"},
        "spec": {
            "selector": {"app": "myapp", "tier": "backend"},
            "ports": [{"port": 80, "targetPort": 9376}],
        },
    }
    node.apply(json.dumps(service), namespace)
    node.wait_ready("pod/b", namespace)
    only = {node.get("pod", "b", namespace)["status"]["podIP"]}
    eventually(lambda: addresses(node, "backend", namespace) == only)


def test_several_ports_and_names_that_differ_by_pod(node: Node, namespace: str) -> None:
    for name, port in {"a": 8081, "b": 8082}.items():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "named"}},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "busybox",
                        "command": ["sh", "-c", f"echo {name} > /tmp/index.html; httpd -f -p {port} -h /tmp"],
                        "ports": [{"name": "web", "containerPort": port}],
                        "readinessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1},
                    }
                ]
            },
        }
        node.apply(json.dumps(pod), namespace)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "named"},
        "spec": {
            "selector": {"app": "named"},
            "ports": [
                {"name": "http", "port": 80, "targetPort": "web"},
                {"name": "first", "port": 81, "targetPort": 8081},
            ],
        },
    }
    node.apply(json.dumps(service), namespace)
    for name in ("a", "b"):
        node.wait_ready(f"pod/{name}", namespace)
    address = node.get("service", "named", namespace)["spec"]["clusterIP"]

    def both() -> bool:
        answers = set()
        for _ in range(20):
            done = subprocess.run(
                ["curl", "-sS", "-m", "20", f"http://{address}/"], capture_output=True, check=True
            )
            answers.add(done.stdout.decode().strip())
        return answers == {"a", "b"}

    eventually(both)


def test_readiness_probe_keeps_traffic_from_a_starting_container(node: Node, namespace: str) -> None:
    """With a probe nobody is sent to a Pod that still starts; without one they are."""
    slow = "until [ -e /go ]; do sleep 0.1; done; echo ok > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    for name, probe in {
        "with": {"readinessProbe": {"httpGet": {"port": 80, "path": "/"}, "periodSeconds": 1}},
        "without": {},
    }.items():
        container = {"name": "main", "image": "busybox", "command": ["sh", "-c", slow], **probe}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        }
        node.apply(json.dumps(pod), namespace)
        node.kubectl("expose", f"pod/{name}", "--port=80", "-n", namespace)
    eventually(lambda: addresses(node, "without", namespace))
    address = node.get("service", "without", namespace)["spec"]["clusterIP"]
    early = subprocess.run(["curl", "-sS", "-m", "1", f"http://{address}/"], capture_output=True, check=False)
    assert early.returncode != 0
    assert not addresses(node, "with", namespace)
    eventually(lambda: node.get("pod", "with", namespace)["status"]["phase"] == "Running")
    node.sh("with", namespace, "touch /go")
    node.wait_ready("pod/with", namespace)
    eventually(lambda: addresses(node, "with", namespace))
    address = node.get("service", "with", namespace)["spec"]["clusterIP"]
    assert subprocess.run(
        ["curl", "-sS", "-m", "20", f"http://{address}/"], capture_output=True, check=True
    ).stdout


def test_deleting_pods_loses_no_request(node: Node, namespace: str) -> None:
    address = webapp(node, namespace)
    with Load(f"http://{address}/") as load:
        for _ in range(3):
            pod = node.list("pods", namespace, "app=web")[0]["metadata"]["name"]
            node.kubectl("delete", "pod", pod, "-n", namespace)
            eventually(lambda: len(addresses(node, "web-service", namespace)) == 3)
    load.assert_nothing_lost()


def test_scaling_loses_no_request(node: Node, namespace: str) -> None:
    address = webapp(node, namespace)
    with Load(f"http://{address}/") as load:
        for replicas in (1, 5, 2):
            node.kubectl("scale", "deployment/webapp", f"--replicas={replicas}", "-n", namespace)
            eventually(lambda n=replicas: len(addresses(node, "web-service", namespace)) == n)
            eventually(lambda n=replicas: len(node.list("pods", namespace)) == n)
    load.assert_nothing_lost()


def test_rolling_update_and_rollback_lose_no_request(node: Node, namespace: str) -> None:
    address = webapp(node, namespace)
    with Load(f"http://{address}/") as load:
        node.kubectl("set", "image", "deployment/webapp", "nginx=nginx:1.29", "-n", namespace)
        node.rolled_out("webapp", namespace)
        node.kubectl("rollout", "undo", "deployment/webapp", "-n", namespace)
        node.rolled_out("webapp", namespace)
    load.assert_nothing_lost()
    images = {
        pod["spec"]["containers"][0]["image"]
        for pod in node.list("pods", namespace)
        if "deletionTimestamp" not in pod["metadata"]
    }
    assert images == {"nginx"}
    history = node.kubectl("rollout", "history", "deployment/webapp", "-n", namespace).out
    assert "3" in history


def test_blue_green(node: Node, namespace: str) -> None:
    address = webapp(node, namespace)
    green = WEBAPP.split("---")[0].replace("webapp", "web-v2").replace("app: web}", "app: web-v2}")
    node.apply(
        green.replace("image: nginx}", "image: nginx, readinessProbe: {httpGet: {port: 80}}}"), namespace
    )
    node.rolled_out("web-v2", namespace)
    established = socket.create_connection((address, 80), timeout=5)
    with established, Load(f"http://{address}/") as load:
        node.kubectl(
            "patch", "service", "web-service", "-n", namespace, "-p", '{"spec":{"selector":{"app":"web-v2"}}}'
        )
        pods = {pod["metadata"]["name"] for pod in node.list("pods", namespace, "app=web-v2")}
        eventually(lambda: {ask(address) for _ in range(10)} <= pods)
        time.sleep(0.3)
        established.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = established.recv(4096)
        assert b"X-Pod: webapp-" in answer, "a connection from before the switch ends where it began"
    load.assert_nothing_lost()


def test_headless_service_answers_with_pods(node: Node, namespace: str) -> None:
    webapp(node, namespace)
    node.kubectl(
        *("create", "service", "clusterip", "web", "--clusterip=None", "-n", namespace),
    )
    node.kubectl("patch", "service", "web", "-n", namespace, "-p", '{"spec":{"selector":{"app":"web"}}}')
    node.kubectl("run", "shell", "--image=toolbox", "-n", namespace)
    node.wait_ready("pod/shell", namespace)
    ips = {pod["status"]["podIP"] for pod in node.list("pods", namespace, "app=web")}
    question = f"dig +short web.{namespace}.svc.cluster.local"
    eventually(lambda: set(node.sh("shell", namespace, question).split()) == ips)
    reverse = node.sh("shell", namespace, f"dig +short -x {min(ips)}")
    assert reverse.strip().endswith(f"web.{namespace}.svc.cluster.local.")


UDP_ECHO = (
    "import socket,os;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('0.0.0.0',5353));\n"
    "while True:\n d,a=s.recvfrom(100);s.sendto(os.uname().nodename.encode(),a)"
)


def test_udp_flows_move_when_their_pod_goes(node: Node, namespace: str) -> None:
    for name in ("one", "two"):
        node.kubectl(
            *("run", name, "--image=toolbox", "--labels=app=echo", "-n", namespace),
            *("--", "python3", "-c", UDP_ECHO),
        )
        node.wait_ready(f"pod/{name}", namespace)
    node.kubectl("create", "service", "clusterip", "echo", "--tcp=5353:5353", "-n", namespace)
    service = node.get("service", "echo", namespace)
    patch = [{"op": "replace", "path": "/spec/ports/0/protocol", "value": "UDP"}]
    node.kubectl("patch", "service", "echo", "-n", namespace, "--type=json", "-p", json.dumps(patch))
    eventually(lambda: len(addresses(node, "echo", namespace)) == 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((service["spec"]["clusterIP"], 5353))

        def answer() -> str:
            while select.select([client], [], [], 0)[0]:  # what came too late for an earlier question
                client.recv(100)
            client.send(b"?")
            return client.recv(100).decode()

        first = eventually(answer)
        node.kubectl("delete", "pod", first, "-n", namespace, "--grace-period=1")
        assert eventually(answer) in {"one", "two"} - {first}
