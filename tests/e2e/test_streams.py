"""kubectl logs, exec and port-forward, as a user at a terminal has them."""

import asyncio
import json
import os
import pty
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.execsession import Session, way_to
from harness.node import LIMIT_S, Node, eventually, kubectl_path

TALKER = """
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: toolbox
    command: [sh, -c, "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; while :; do date; sleep 0.2; done"]
  - name: other
    image: nginx
"""


def talker(node: Node, namespace: str) -> None:
    node.apply(TALKER, namespace)
    node.wait_ready("pod/talker", namespace)


def test_logs_in_all_their_forms(node: Node, namespace: str) -> None:
    talker(node, namespace)

    def logs(*words: str, check: bool = True) -> str:
        output = node.kubectl("logs", "talker", "-c", "main", "-n", namespace, *words, check=check)
        return output.out or output.err

    eventually(lambda: "line 5" in logs())
    assert logs().startswith("line 1\nline 2\n")
    assert "oops" in logs()
    assert len(logs("--tail=2").splitlines()) == 2
    stamped = logs("--timestamps").splitlines()[0]
    assert stamped[10] == "T" and stamped.endswith("line 1")
    time.sleep(1.2)
    assert "line 1" not in logs("--since=1s")
    assert "previous terminated container" in logs("--previous", check=False)
    assert len(logs("--limit-bytes=10")) == 10
    refused = node.kubectl("logs", "talker", "-c", "nope", "-n", namespace, check=False).err
    assert "container nope is not valid for pod talker" in refused
    both = node.kubectl("logs", "talker", "--all-containers", "--prefix", "-n", namespace).out
    assert "[pod/talker/main]" in both


def test_logs_follow(node: Node, namespace: str) -> None:
    talker(node, namespace)
    words = [kubectl_path(), "logs", "-f", "talker", "-c", "main", "-n", namespace, "--tail=0"]
    follow = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=node.env)
    assert follow.stdout
    for _ in range(3):
        assert follow.stdout.readline()
    node.kubectl("delete", "pod", "talker", "-n", namespace)
    assert follow.wait(LIMIT_S) == 0


def test_exec_passes_streams_and_exit_code(node: Node, namespace: str) -> None:
    talker(node, namespace)
    base = ("exec", "talker", "-c", "main", "-n", namespace)
    assert node.kubectl(*base, "--", "sh", "-c", "exit 3", check=False).code == 3
    output = node.kubectl(*base, "--", "sh", "-c", "echo out; echo err >&2")
    assert (output.out, output.err) == ("out\n", "err\n")
    assert node.kubectl(*base, "-i", "--", "cat", stdin="x" * 3_000_000).out == "x" * 3_000_000
    size = node.kubectl(*base, "--", "sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' z").out
    assert len(size) == 5_000_000
    missing = node.kubectl(*base, "--", "no-such-program", check=False)
    assert missing.code != 0 and "no-such-program" in missing.err


def test_exec_on_a_terminal_with_resize(node: Node, namespace: str) -> None:
    talker(node, namespace)
    pid, terminal = pty.fork()
    if pid == 0:
        words = [kubectl_path(), "exec", "-it", "talker", "-c", "main", "-n", namespace, "--", "sh"]
        os.execve(words[0], words, node.env)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    seen = b""

    def read_until(wanted: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + LIMIT_S
        while wanted not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 4096)

    read_until(b"# ")
    os.write(terminal, b"stty size; test -t 0 && echo is-a-terminal\n")
    read_until(b"is-a-terminal\r\n")
    read_until(b"31 97")
    os.write(terminal, b"exit 7\n")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7


@contextmanager
def forwarded(node: Node, what: str, port: int, namespace: str) -> Iterator[int]:
    words = [kubectl_path(), "port-forward", what, f":{port}", "-n", namespace]
    forward = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=node.env)
    assert forward.stdout
    line = forward.stdout.readline()
    try:
        yield int(line.split("127.0.0.1:")[1].split(" ")[0])
    finally:
        forward.terminate()
        forward.wait()


def test_port_forward(node: Node, namespace: str) -> None:
    talker(node, namespace)
    with forwarded(node, "pod/talker", 80, namespace) as port:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while chunk := client.recv(4096):
                    answer += chunk
            assert b"Welcome to nginx" in answer


def test_cp_both_ways(node: Node, namespace: str) -> None:
    talker(node, namespace)
    source = node.work / "file"
    source.write_bytes(os.urandom(300_000))
    node.kubectl("cp", str(source), f"{namespace}/talker:/tmp/file", "-c", "main")
    node.kubectl("cp", f"{namespace}/talker:/tmp/file", str(node.work / "back"), "-c", "main")
    assert (node.work / "back").read_bytes() == source.read_bytes()


def test_attach_sees_the_running_process(node: Node, namespace: str) -> None:
    node.kubectl(
        *("run", "cat", "--image=busybox", "--restart=Never", "-n", namespace),
        *(
            "--overrides",
            json.dumps(
                {
                    "spec": {
                        "containers": [
                            {
                                "name": "cat",
                                "image": "busybox",
                                "command": ["cat"],
                                "stdin": True,
                                "stdinOnce": True,
                            }
                        ]
                    }
                }
            ),
        ),
    )
    node.wait_ready("pod/cat", namespace)
    output = node.kubectl("attach", "-i", "cat", "-n", namespace, stdin="hello\n", check=False)
    assert "hello" in output.out
    eventually(lambda: node.get("pod", "cat", namespace)["status"]["phase"] == "Succeeded")


ECHOES = """
import socket, threading
def serve(port, talk):
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
def echo(peer):
    while data := peer.recv(65536): peer.sendall(data)
    peer.close()
def count(peer):
    total = 0
    while data := peer.recv(1 << 20): total += len(data)
    peer.sendall(b"%d" % total)
    peer.close()
def pour(peer):
    for _ in range(48): peer.sendall(bytes(1 << 20))
    peer.close()
for port, talk in ((7001, count), (7002, pour)):
    threading.Thread(target=serve, args=(port, talk)).start()
serve(7003, echo)
"""


def echoing(node: Node, namespace: str) -> None:
    container = {"name": "c", "image": "toolbox", "command": ["python3", "-c", ECHOES]}
    listening = "import socket; socket.create_connection(('127.0.0.1', 7003))"
    container["readinessProbe"] = {"exec": {"command": ["python3", "-c", listening]}, "periodSeconds": 1}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "echoing"}, "spec": spec}
    node.apply(json.dumps(pod), namespace)
    node.wait_ready("pod/echoing", namespace)


def test_port_forward_of_much_and_of_many(node: Node, namespace: str) -> None:
    """Three ports on one connection: 48 MiB each way with half-close, then a hundred at once."""
    echoing(node, namespace)
    words = [kubectl_path(), "port-forward", "pod/echoing", ":7001", ":7002", ":7003", "-n", namespace]
    forward = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=node.env)
    assert forward.stdout
    ports: dict[int, int] = {}
    while len(ports) < 3:
        line = forward.stdout.readline()
        if "127.0.0.1:" in line:
            own, _, theirs = line.split("127.0.0.1:")[1].partition(" -> ")
            ports[int(theirs)] = int(own)
    try:
        with socket.create_connection(("127.0.0.1", ports[7001]), timeout=LIMIT_S) as sink:
            sink.sendall(bytes(48 << 20))
            sink.shutdown(socket.SHUT_WR)
            assert sink.recv(100) == b"%d" % (48 << 20)
        with socket.create_connection(("127.0.0.1", ports[7002]), timeout=LIMIT_S) as source:
            got = 0
            while data := source.recv(1 << 20):
                got += len(data)
            assert got == 48 << 20
        peers = [socket.create_connection(("127.0.0.1", ports[7003]), timeout=LIMIT_S) for _ in range(100)]
        for number, peer in enumerate(peers):
            peer.sendall(b"%04d" % number)
        assert [peer.recv(4) for peer in peers] == [b"%04d" % number for number in range(100)]
        for peer in peers:
            peer.close()
    finally:
        forward.terminate()
        forward.wait()


def test_many_at_once_and_nothing_left_when_they_vanish(node: Node, namespace: str) -> None:
    echoing(node, namespace)
    address, tls = way_to(node)

    async def all_at_once() -> None:
        opened = (Session.open(address, tls, "echoing", "cat", namespace) for _ in range(60))
        sessions = await asyncio.gather(*opened)
        for number, session in enumerate(sessions):
            session.send(b"\x00%d" % number)
        heard = await asyncio.gather(*(session.until(1) for session in sessions))
        assert heard == [b"%d" % number for number in range(60)]
        for session in sessions:
            session.close()

    def held() -> int:
        return sum(1 for _ in Path(f"/proc/{node.pid}/fd").iterdir())

    before = held()
    asyncio.run(all_at_once())
    eventually(lambda: held() <= before + 2)
    count = "ps | grep -c '[c]at$'"
    eventually(lambda: node.sh("echoing", namespace, count, check=False).strip().startswith("0"))


def test_a_shell_of_ones_own_and_then_it_is_gone(node: Node, namespace: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        words = [kubectl_path(), "run", "-it", "--rm", "shell", "--image=busybox", "--restart=Never"]
        os.execve(words[0], [*words, "-n", namespace, "--", "sh"], node.env)
    seen = b""

    def read_until(wanted: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + LIMIT_S
        while wanted not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 4096)

    read_until(b"enter")
    os.write(terminal, b"\necho all $((40 + 2))\n")
    read_until(b"all 42")
    os.write(terminal, b"exit\n")
    read_until(b"deleted")
    os.waitpid(pid, 0)
    eventually(lambda: node.list("pods", namespace) == [])
