"""The official Python client against the server."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream


@pytest.fixture(scope="module")
def core(cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


def pod(name: str) -> dict[str, Any]:
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]}
    return {"metadata": {"name": name, "labels": {"of": "python"}}, "spec": spec}


def test_objects_come_and_go(core: client.CoreV1Api) -> None:
    seen: list[tuple[str, str]] = []
    started = threading.Event()

    def follow() -> None:
        revision = core.list_namespaced_pod("default").metadata.resource_version
        started.set()
        events = watch.Watch()
        selected = {"label_selector": "of=python", "resource_version": revision, "timeout_seconds": 20}
        for event in events.stream(core.list_namespaced_pod, "default", **selected):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                events.stop()

    thread = threading.Thread(target=follow)
    thread.start()
    assert started.wait(60)
    made = core.create_namespaced_pod("default", pod("p"))
    made.metadata.labels["more"] = "yes"
    core.replace_namespaced_pod("p", "default", made)
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_pod("p", "default", made)
    assert caught.value.status == 409
    core.delete_namespaced_pod("p", "default", grace_period_seconds=0)
    thread.join(60)
    assert seen == [("ADDED", "p"), ("MODIFIED", "p"), ("DELETED", "p")]


def test_pages(core: client.CoreV1Api) -> None:
    for number in range(5):
        core.create_namespaced_config_map("kube-public", {"metadata": {"name": f"c{number}"}})
    first = core.list_namespaced_config_map("kube-public", limit=2)
    assert first.metadata.remaining_item_count == 3
    rest = core.list_namespaced_config_map("kube-public", _continue=first.metadata._continue)
    assert [item.metadata.name for item in rest.items] == ["c2", "c3", "c4"]


def test_exec_over_websocket(core: client.CoreV1Api, cluster) -> None:
    cluster.run_pod("x")
    connect = core.connect_get_namespaced_pod_exec
    said = stream(connect, "x", "default", command=["echo", "hi"], stdout=True, stderr=True)
    assert sorted(said.split()) == ["hi", "said"]
    session = stream(
        connect, "x", "default", command=["exit", "7"], stdout=True, stderr=True, _preload_content=False
    )
    session.run_forever(10)
    assert session.returncode == 7


def _first_words(session) -> str:
    """The message that says no more than that the session stands comes before."""
    return session.read_stdout(timeout=30) or session.read_stdout(timeout=30)


def test_a_terminal_has_a_size(core: client.CoreV1Api, cluster) -> None:
    cluster.run_pod("tty")
    flags = {"stdin": True, "stdout": True, "tty": True, "_preload_content": False}
    session = stream(
        core.connect_get_namespaced_pod_exec, "tty", "default", command=["size"], stderr=True, **flags
    )
    session.write_channel(4, '{"Width":80,"Height":24}')
    assert _first_words(session) == "80x24"
    session.close()


def test_a_client_that_leaves_ends_its_command(core: client.CoreV1Api, cluster) -> None:
    cluster.run_pod("left")
    cluster.node.ended.clear()
    session = stream(
        core.connect_get_namespaced_pod_exec,
        "left",
        "default",
        command=["cat"],
        stdin=True,
        stdout=True,
        _preload_content=False,
    )
    session.write_stdin("x")
    assert _first_words(session) == "x"
    session.close()
    deadline = time.monotonic() + 60
    while not cluster.node.ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert cluster.node.ended == ["cat"]


def test_port_forward_in_the_oldest_form(core: client.CoreV1Api, cluster) -> None:
    cluster.run_pod("y")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(peer.recv(100).upper())

    thread = threading.Thread(target=serve)
    thread.start()
    forward = portforward(core.connect_get_namespaced_pod_portforward, "y", "default", ports=str(port))
    sock = forward.socket(port)
    sock.settimeout(30)
    sock.sendall(b"hello")
    assert sock.recv(100) == b"HELLO"
    sock.close()
    thread.join()
    listener.close()


def test_logs(core: client.CoreV1Api, cluster) -> None:
    cluster.run_pod("z")
    assert core.read_namespaced_pod_log("z", "default") == "first\nsecond\n"
