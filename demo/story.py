"""The story, told on a real cluster: `make demo`.

Each scene prints what it shows, the commands a user would type, and what came of them. A promise that does
not hold ends the demo with an error. KEEP=1 leaves the cluster up.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness.node import Node, eventually, run
from harness.traffic import Load
from mirror import Mirror

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("SAMPAN_DEMO", "/tmp/sampan-demo"))
SPACE = "default"
BOLD, GREEN, RED = 1, 32, 31
OPENING = """\
A real cluster of one node is brought up on this machine; what follows happens on it.
   $ is what you would type, ✓ a promise that was just checked. KEEP=1 make demo leaves the cluster up."""


def styled(text: str, style: int) -> str:
    """In the style of that number (ECMA-48's SGR) where somebody looks on."""
    return f"\x1b[{style}m{text}\x1b[0m" if sys.stdout.isatty() else text


class Stage:
    """Says what is shown, types commands for the audience, and keeps them honest."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.kept = 0
        """How many promises were."""
        self._warned: set[str] = set()

    def scene(self, title: str, about: str) -> None:
        print("\n" + styled(f"== {title}", BOLD), flush=True)
        self.say(about)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def types(self, command: str) -> None:
        print("   " + styled(f"$ {command}", BOLD), flush=True)

    def kubectl(self, words: str, *, quiet: bool = False, check: bool = True) -> str:
        self.types(f"kubectl {words}")
        output = self.node.kubectl(*shlex.split(words), check=check)
        if not quiet:
            told = [line for line in output.err.rstrip().splitlines() if self._is_news(line)]
            for line in (*output.out.rstrip().splitlines(), *told):
                print(f"     {line}", flush=True)
        return output.out

    def _is_news(self, line: str) -> bool:
        """A warning is worth a line once."""
        if not line.startswith("Warning:"):
            return True
        new = line not in self._warned
        self._warned.add(line)
        return new

    def apply(self, file: str) -> None:
        self.kubectl(f"apply -f {(HERE / file).relative_to(HERE.parent)}")

    def promise(self, holds: bool, text: str) -> None:
        print("   " + styled(f"{'✓' if holds else '✗'} {text}", GREEN if holds else RED), flush=True)
        if not holds:
            raise SystemExit(f"the promise does not hold: {text}")
        self.kept += 1

    def addresses(self, service: str) -> set[str]:
        subsets = self.node.get("endpoints", service, SPACE).get("subsets") or []
        return {entry["ip"] for subset in subsets for entry in subset.get("addresses") or []}

    def sampan(self, words: str) -> None:
        self.types(f"sampan {words}")
        for line in self.node.verb(*words.split()).out.rstrip().splitlines():
            print(f"     {line}", flush=True)

    def curl(self, url: str) -> str:
        """What the host is answered, once somebody answers."""
        self.types(f"curl {url}")
        said = eventually(lambda: run(["curl", "-sS", "-m", "5", url]).out.strip())
        print(f"     {said}", flush=True)
        return said

    def under_load(self, address: str, work: Callable[[], None]) -> None:
        with Load(f"http://{address}/") as load:
            work()
        counts = load.results
        total = sum(result["requests"] for result in counts.values())
        failed = sum(result["failed"] for result in counts.values())
        self.promise(
            failed == 0, f"{total} requests meanwhile (new connections and kept ones), {failed} failed"
        )


def unit(stage: Stage) -> None:
    stage.scene(
        "1  A Pod is a collaborating unit, not a container",
        "Its containers share one address, one hostname, localhost and volumes; the address outlives them.",
    )
    stage.apply("together.yaml")
    stage.kubectl("wait --for=condition=Ready pod/together --timeout=60s", quiet=True)
    pong = eventually(lambda: stage.kubectl("exec together -c web -- redis-cli -h localhost -p 6379 ping"))
    stage.promise(
        "PONG" in pong, "the web container reaches Redis at localhost:6379: one network for the Pod"
    )
    stage.kubectl("exec together -c archiver -- tail -n 2 /archive/app.log")
    stage.say("One container writes a log into an emptyDir, its neighbour reads it; their files are apart.")
    before = stage.node.get("pod", "together", SPACE)["status"]["podIP"]
    stage.kubectl("exec together -c cache -- redis-cli shutdown nosave", quiet=True, check=False)

    def restarted() -> bool:
        statuses = stage.node.get("pod", "together", SPACE)["status"]["containerStatuses"]
        return any(status["restartCount"] and status["ready"] for status in statuses)

    eventually(restarted)
    stage.kubectl("get pod together -o wide")
    after = stage.node.get("pod", "together", SPACE)["status"]["podIP"]
    stage.promise(before == after, f"the cache crashed and came back; the Pod's address is still {after}")
    stage.kubectl("exec together -c web -- cat /etc/hosts /etc/resolv.conf")
    stage.kubectl("delete pod together --now", quiet=True)
    stage.apply("together.yaml")
    stage.kubectl("wait --for=condition=Ready pod/together --timeout=60s", quiet=True)
    fresh = stage.node.get("pod", "together", SPACE)["status"]["podIP"]
    stage.promise(fresh != after, f"a Pod that replaces it has an address of its own: {fresh}")
    debug(stage)
    stage.kubectl("delete pod together --now", quiet=True)


def debug(stage: Stage) -> None:
    """A container that nobody planned comes into the running Pod `together`."""
    stage.kubectl(
        "debug together --image=busybox --target=cache --profile=general -c visitor -- "
        "sh -c 'ps; hostname; (echo PING; sleep 1) | timeout 1 nc localhost 6379; sleep 600'",
        quiet=True,
    )
    seen = eventually(lambda: _if_has(stage, "logs together -c visitor", "PONG"))
    stage.promise(
        "redis-server" in seen and "together" in seen,
        "an ephemeral container joins: the Pod's network and name, and with --target the cache's processes",
    )
    statuses = stage.node.get("pod", "together", SPACE)["status"]["containerStatuses"]
    stage.promise(not any(s["restartCount"] for s in statuses), "nothing was restarted for it")


def _if_has(stage: Stage, words: str, wanted: str) -> str:
    output = stage.node.kubectl(*words.split(), check=False).out
    return output if wanted in output else ""


def starting(stage: Stage) -> None:
    stage.scene(
        "2  What runs first, and what runs at all",
        "Init containers one by one, sidecars around the main ones, then command and args; and what crashes.",
    )
    stage.apply("init.yaml")
    eventually(lambda: stage.node.get("pod", "init", SPACE)["status"]["phase"] == "Succeeded")
    order = stage.kubectl("logs init")
    stage.promise(
        order.split() == ["one", "two", "main"], "init containers ran one by one, before the others"
    )
    stage.apply("sidecar.yaml")
    eventually(lambda: stage.node.get("pod", "sidecar", SPACE)["status"]["phase"] == "Succeeded")
    shipped = stage.kubectl("logs sidecar -c shipper")
    stage.promise(
        "line-1 line-2 line-3 last-words" in shipped,
        "the sidecar was there before the main container, outlived it, and did not keep the Pod",
    )
    stage.apply("commands.yaml")
    eventually(lambda: stage.node.get("pod", "commands", SPACE)["status"]["phase"] == "Succeeded")
    said = stage.kubectl("logs commands --all-containers --prefix")
    wanted = (
        "image-entrypoint image-cmd",
        "image-entrypoint mine",
        "] alone",
        "] a b",
        "entrypoint me $(WHO)",
    )
    stage.promise(all(line in said for line in wanted), "command and args against the image's, and $(VAR)")
    stage.apply("host.yaml")
    stage.kubectl("wait --for=condition=Ready pod/host --timeout=60s", quiet=True)
    host = stage.node.get("pod", "host", SPACE)["status"]
    stage.promise(
        host["podIP"] == host["hostIP"], f"with hostNetwork the Pod has the node's address, {host['podIP']}"
    )
    stage.apply("crashing.yaml")
    eventually(lambda: "CrashLoopBackOff" in stage.node.kubectl("get", "pod", "crashing").out)
    stage.kubectl("get pod crashing")
    stage.kubectl("logs crashing --previous")
    stage.say("A container that crashes is restarted after 10 s, 20 s, 40 s ... up to 5 minutes.")
    stage.kubectl("delete pod init commands host crashing --now", quiet=True)


def labels(stage: Stage) -> str:
    stage.scene(
        "3  Labels join Services to Pods",
        "Three Pods with a label, and a Service that asks for it: one address and one name for all three.",
    )
    stage.apply("webapp.yaml")
    stage.kubectl("rollout status deployment/webapp --timeout=60s")
    eventually(lambda: len(stage.addresses("web-service")) == 3)
    stage.kubectl("get endpoints web-service")
    address: str = stage.node.get("service", "web-service", SPACE)["spec"]["clusterIP"]
    stage.kubectl("run shell --image=toolbox", quiet=True)
    stage.kubectl("wait --for=condition=Ready pod/shell --timeout=60s", quiet=True)
    stage.kubectl("exec shell -- dig +short web-service.default.svc.cluster.local")
    ask = "curl -s -o /dev/null -D - http://web-service/ | grep X-Pod"
    out = stage.kubectl(f"exec shell -- sh -c 'for i in $(seq 60); do {ask}; done | sort | uniq -c'")
    stage.promise(out.count("X-Pod") == 3, "60 requests to the name were spread over the three Pods")
    return address


def both_labels(stage: Stage) -> None:
    stage.apply("backend.yaml")
    stage.kubectl("wait --for=condition=Ready pod/only-app pod/both-labels --timeout=60s", quiet=True)
    wanted = {stage.node.get("pod", "both-labels", SPACE)["status"]["podIP"]}
    eventually(lambda: stage.addresses("backend") == wanted)
    stage.kubectl("get endpoints backend")
    stage.promise(True, "two labels in the selector: only the Pod that has both")
    stage.kubectl("delete pod only-app both-labels --now", quiet=True)


def nothing_lost(stage: Stage, address: str) -> None:
    stage.scene(
        "4  Pods come and go, no client notices",
        "A client asks the Service without pause while Pods are deleted, scaled, updated and rolled back.",
    )

    def delete_one() -> None:
        pod = stage.node.list("pods", SPACE, "app=web")[0]["metadata"]["name"]
        stage.kubectl(f"delete pod {pod}")
        eventually(lambda: len(stage.addresses("web-service")) == 3)

    def scale() -> None:
        for replicas in (5, 2, 3):
            stage.kubectl(f"scale deployment/webapp --replicas={replicas}")
            eventually(lambda n=replicas: len(stage.addresses("web-service")) == n)

    def update() -> None:
        stage.kubectl("set image deployment/webapp nginx=nginx:1.29")
        stage.kubectl("rollout status deployment/webapp --timeout=60s", quiet=True)
        stage.kubectl("rollout undo deployment/webapp")
        stage.kubectl("rollout status deployment/webapp --timeout=60s", quiet=True)

    for work in (delete_one, scale, update):
        stage.under_load(address, work)


def blue_green(stage: Stage, address: str) -> None:
    stage.scene(
        "5  Blue and green: the selector is the switch",
        "Another version waits under another label until the Service is told to select that one.",
    )
    stage.apply("web-v2.yaml")
    stage.kubectl("rollout status deployment/web-v2 --timeout=60s", quiet=True)

    def switch() -> None:
        stage.kubectl("""patch service web-service -p '{"spec":{"selector":{"app":"web-v2"}}}'""")
        wanted = {pod["status"]["podIP"] for pod in stage.node.list("pods", SPACE, "app=web-v2")}
        eventually(lambda: stage.addresses("web-service") == wanted)
        time.sleep(0.3)

    with socket.create_connection((address, 80), timeout=5) as established:
        stage.under_load(address, switch)
        established.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answered_by = established.recv(4096).decode("latin-1").partition("X-Pod: ")[2].split("\r\n")[0]
    old = answered_by.startswith("webapp-")
    stage.promise(old, f"a connection from before the switch ended where it began: {answered_by}")
    stage.kubectl("get endpoints web-service")


def readiness(stage: Stage) -> None:
    stage.scene(
        "6  A readiness probe keeps traffic from a container that still starts",
        "A Service asks Pods that are ready; what ready means, the Pod's author says.",
    )
    stage.apply("slow.yaml")
    eventually(lambda: stage.addresses("without-probe"))
    stage.say("Both Pods start slowly. The one without a probe is in the endpoints at once:")
    stage.kubectl("get endpoints without-probe with-probe")
    stage.promise(not stage.addresses("with-probe"), "the one with a probe is not yet asked")
    stage.kubectl("wait --for=condition=Ready pod/with-probe --timeout=60s", quiet=True)
    eventually(lambda: stage.addresses("with-probe"))
    stage.kubectl("get endpoints without-probe with-probe")


def types(stage: Stage) -> None:
    stage.scene(
        "7  Every type of Service",
        "Inside, at every node, at an address for others, as an alias, without any, with affinity, in IPv6.",
    )
    stage.apply("types.yaml")
    stage.kubectl("wait --for=condition=Ready pod/who-0 pod/who-1 --timeout=60s", quiet=True)
    balanced = eventually(lambda: _ingress(stage, "who-balanced"))
    source = eventually(lambda: _ingress(stage, "who-source"))
    stage.kubectl("get services")
    node = stage.node.list("nodes", SPACE)[0]["status"]["addresses"][0]["address"]
    port = stage.node.get("service", "who-node", SPACE)["spec"]["ports"][0]["nodePort"]
    stage.promise(
        "who-" in stage.curl(f"http://{node}:{port}/"), "NodePort: a port of the node, asked from the host"
    )
    hidden = stage.curl(f"http://{balanced}/")
    stage.promise(hidden.endswith(node), "LoadBalancer: an address out of the box; the Pod sees the node ask")
    shown = stage.curl(f"http://{source}/")
    stage.promise(not shown.endswith(node), "externalTrafficPolicy Local: the Pod sees the client itself")
    stage.kubectl("exec shell -- dig +short who-elsewhere.default.svc.cluster.local")
    stage.say("ExternalName: a CNAME, nothing is proxied.")
    stage.kubectl("exec shell -- dig +short who-headless.default.svc.cluster.local")
    stage.kubectl("exec shell -- dig +short who-1.who-headless.default.svc.cluster.local")
    stage.say("Headless: the Pods' own addresses, and a name for each.")
    asked = "for i in $(seq 20); do curl -s http://who-sticky/; done | sort | uniq -c"
    one = stage.kubectl(f'exec shell -- sh -c "{asked}"')
    stage.promise(len(one.splitlines()) == 1, "sessionAffinity: one client, one Pod")
    both = stage.kubectl("exec shell -- curl -s -6 http://who-both/")
    stage.promise(":" in both, "dual stack: the same name over IPv6")


def policy(stage: Stage) -> None:
    stage.scene(
        "8  Who may ask",
        "Until now everybody could; a NetworkPolicy selects Pods, and says who may ask them.",
    )
    stage.apply("policy.yaml")
    ask = "exec shell -- curl -sS -m 1 http://who-cluster/"
    eventually(lambda: stage.node.kubectl(*ask.split(), check=False).code != 0)
    stage.kubectl(ask, check=False)
    stage.say("A NetworkPolicy lets nobody in but Pods with the label may=ask. So the shell gets it:")
    stage.kubectl("label pod shell may=ask")
    answer = eventually(lambda: stage.node.kubectl(*ask.split(), check=False).out)
    stage.kubectl(ask)
    stage.promise("who-" in answer, "the label is the key here, too")
    stage.kubectl("delete networkpolicy who", quiet=True)


def nodes(stage: Stage) -> None:
    stage.scene(
        "9  More nodes",
        "Each further node is a process with a network of its own, and joins with a token.",
    )
    stage.sampan("up --nodes 3")
    stage.kubectl("get nodes -o wide")
    stage.kubectl("scale deployment/webapp --replicas=6")
    stage.kubectl("rollout status deployment/webapp --timeout=60s", quiet=True)
    stage.kubectl("get pods -l app=web -o wide")
    where = {pod["spec"]["nodeName"] for pod in stage.node.list("pods", SPACE, "app=web")}
    stage.promise(len(where) == 3, "Pods run on all three")
    port = stage.node.get("service", "who-node", SPACE)["spec"]["ports"][0]["nodePort"]
    found = [node["status"]["addresses"][0]["address"] for node in stage.node.list("nodes", SPACE)]
    answers = [stage.curl(f"http://{address}:{port}/") for address in found]
    stage.promise(
        all("who-" in answer for answer in answers),
        "a NodePort answers on every node, with such a Pod or none",
    )
    stage.sampan("node ls")


def _ingress(stage: Stage, service: str) -> str:
    found = stage.node.get("service", service, SPACE)["status"]["loadBalancer"].get("ingress") or [{}]
    return str(found[0].get("ip", ""))


def play(node: Node, mirror: Mirror) -> None:
    begun = time.monotonic()
    print(styled("sampan: Kubernetes' Pods and Services in Python", BOLD))
    print(f"   {OPENING}\n")
    stage = Stage(node)
    stage.types(f"sampan up --name demo --registry-mirror docker.io={mirror.url}")
    for line in node.up().out.rstrip().splitlines():
        print(f"     {line}")
    stage.kubectl("get nodes -o wide")
    unit(stage)
    starting(stage)
    address = labels(stage)
    both_labels(stage)
    nothing_lost(stage, address)
    blue_green(stage, address)
    readiness(stage)
    types(stage)
    policy(stage)
    nodes(stage)
    took = f"{stage.kept} promises kept in {time.monotonic() - begun:.0f} s."
    print("\n" + styled(took, BOLD), flush=True)


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    with Mirror(WORK) as mirror:
        node = Node(WORK / "cluster", "demo", mirror.url)
        node.work.mkdir(exist_ok=True)
        try:
            play(node, mirror)
        finally:
            if os.environ.get("KEEP"):
                print(f"\nThe cluster stays up; for kubectl: export KUBECONFIG={node.kubeconfig}")
                print(f"`sampan down --name demo --data-dir {node.data}` takes it down.")
            else:
                print("\n" + node.down().out.rstrip())


if __name__ == "__main__":
    main()
