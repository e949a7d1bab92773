"""Names that Pods can ask for."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod


@pytest.fixture
def asker(scene: Scene) -> Scene:
    scene.ready(pod("asker", box("sleep 600", image="toolbox")))
    return scene


def dig(scene: Scene, *words: str) -> list[str]:
    """Answers to a question, with the search path as a resolver would use it."""
    return sorted(scene.sh("asker", f"dig +short +search {' '.join(words)}").split("\n"))[1:]


def name_of(scene: Scene, *labels: str) -> str:
    return ".".join((*labels, scene.namespace, "svc.cluster.local"))


def service(scene: Scene, name: str, **spec: Any) -> client.V1Service:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    body = {"metadata": {"name": name}, "spec": {"ports": ports, "selector": {"app": "dns"}, **spec}}
    return scene.core.create_namespaced_service(scene.namespace, body)


def backend(**spec: Any) -> Manifest:
    return pod("backend", box("sleep 600"), labels={"app": "dns"}, **spec)


@conforms("[sig-network] DNS should provide DNS for the cluster")
def test_name_of_the_api(asker: Scene) -> None:
    address = asker.core.read_namespaced_service("kubernetes", "default").spec.cluster_ip
    assert dig(asker, "kubernetes.default.svc.cluster.local") == [address]


@conforms("[sig-network] DNS should provide DNS for services")
def test_names_of_services(asker: Scene) -> None:
    pod_ip = asker.ready(backend()).status.pod_ip
    service(asker, "headless", clusterIP="None")
    address = service(asker, "normal").spec.cluster_ip
    eventually(lambda: dig(asker, name_of(asker, "headless")) == [pod_ip])
    assert dig(asker, name_of(asker, "normal")) == [address]
    (line,) = dig(asker, "SRV", name_of(asker, "_http._tcp", "normal"))
    assert line.split()[2:] == ["80", f"{name_of(asker, 'normal')}."]
    (line,) = dig(asker, "SRV", name_of(asker, "_http._tcp", "headless"))
    assert line.split()[2] == "80" and line.endswith(f".{name_of(asker, 'headless')}.")
    assert dig(asker, "-x", address) == [f"{name_of(asker, 'normal')}."]


@conforms("[sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly]")
def test_short_names_of_services(asker: Scene) -> None:
    pod_ip = asker.ready(backend()).status.pod_ip
    service(asker, "headless", clusterIP="None")
    address = service(asker, "normal").spec.cluster_ip
    for end in ("", f".{asker.namespace}", f".{asker.namespace}.svc"):
        eventually(lambda end=end: dig(asker, f"headless{end}") == [pod_ip])  # type: ignore[misc]
        assert dig(asker, f"normal{end}") == [address]
    for name in ("headless", "normal"):
        assert len(dig(asker, "SRV", f"_http._tcp.{name}.{asker.namespace}.svc")) == 1
    assert dig(asker, "-x", address) == [f"{name_of(asker, 'normal')}."]


@conforms("[sig-network] DNS should provide DNS for pods for Hostname")
def test_name_of_a_pod_with_a_hostname(asker: Scene) -> None:
    service(asker, "sub", clusterIP="None")
    pod_ip = asker.ready(backend(hostname="querier", subdomain="sub")).status.pod_ip
    eventually(lambda: dig(asker, name_of(asker, "querier", "sub")) == [pod_ip])
    assert asker.sh("backend", "hostname").strip() == "querier"
    assert pod_ip in asker.sh("backend", "cat /etc/hosts")


@conforms("[sig-network] DNS should provide DNS for pods for Subdomain")
def test_name_of_a_subdomain(asker: Scene) -> None:
    service(asker, "sub", clusterIP="None")
    pod_ip = asker.ready(backend(hostname="querier", subdomain="sub")).status.pod_ip
    eventually(lambda: dig(asker, name_of(asker, "sub")) == [pod_ip])
    assert dig(asker, name_of(asker, "querier", "sub")) == [pod_ip]


@conforms("[sig-network] DNS should provide /etc/hosts entries for the cluster")
def test_a_pod_knows_its_own_names(scene: Scene) -> None:
    command = 'python3.11 -c "import socket,sys; [print(socket.gethostbyname(n)) for n in sys.argv[1:]]"'
    full = f"querier.sub.{scene.namespace}.svc.cluster.local"
    manifest = pod(
        "p", box(f"{command} querier {full}", image="toolbox"), hostname="querier", subdomain="sub"
    )
    assert set(scene.finished(manifest).split()) == {scene.get("p").status.pod_ip}


@conforms("[sig-network] DNS should provide DNS for ExternalName services")
def test_a_service_that_is_another_name(asker: Scene) -> None:
    core, question = asker.core, ("CNAME", name_of(asker, "ext"))
    spec = {"type": "ExternalName", "externalName": "foo.example.com"}
    core.create_namespaced_service(asker.namespace, {"metadata": {"name": "ext"}, "spec": spec})
    eventually(lambda: dig(asker, *question) == ["foo.example.com."])
    core.patch_namespaced_service("ext", asker.namespace, {"spec": {"externalName": "bar.example.com"}})
    eventually(lambda: dig(asker, *question) == ["bar.example.com."])
    ports = [{"port": 80, "name": "http"}]
    change = {"spec": {"type": "ClusterIP", "externalName": None, "ports": ports}}
    address = core.patch_namespaced_service("ext", asker.namespace, change).spec.cluster_ip
    eventually(lambda: dig(asker, name_of(asker, "ext")) == [address])


@conforms("[sig-network] DNS should support configurable pod DNS nameservers")
def test_a_pod_brings_its_own_resolvers(scene: Scene) -> None:
    settings = {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]}
    log = scene.finished(pod("p", box("cat /etc/resolv.conf"), dnsPolicy="None", dnsConfig=settings))
    assert log.split() == ["search", "resolv.conf.local", "nameserver", "1.1.1.1"] or sorted(
        log.split()
    ) == sorted(["search", "resolv.conf.local", "nameserver", "1.1.1.1"])
