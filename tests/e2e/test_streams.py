"""kubectl logs, exec and port-forward, as a user at a terminal has them."""

import json
import os
import pty
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.node import Node, eventually, kubectl_path

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
    assert follow.wait(20) == 0


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
        deadline = time.monotonic() + 15
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
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
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
