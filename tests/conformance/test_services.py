"""Services find their Pods, keep their addresses, and change their type."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.life import discovered, life
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod

HOSTNAMES = "mkdir -p /www && hostname > /www/index.html && exec busybox httpd -f -p 9376 -h /www"
ECHO_UDP = "exec socat UDP-LISTEN:9376,fork SYSTEM:hostname"


def server(name: str, labels: Manifest, command: str = HOSTNAMES, **more: Any) -> Manifest:
    return pod(name, box(command, image="toolbox", **more), labels=labels, restartPolicy="Always")


def service(scene: Scene, name: str, *ports: Manifest, **spec: Any) -> client.V1Service:
    listed = list(ports) or [{"port": 80, "targetPort": 9376}]
    body = {"metadata": {"name": name}, "spec": {"ports": listed, "selector": {"app": name}, **spec}}
    return scene.core.create_namespaced_service(scene.namespace, body)


def change(scene: Scene, name: str, **spec: Any) -> client.V1Service:
    return scene.core.patch_namespaced_service(name, scene.namespace, {"spec": spec})


def endpoints(scene: Scene, name: str) -> set[tuple[str, int]]:
    """(Pod, port) pairs of an Endpoints object."""
    try:
        found = scene.core.read_namespaced_endpoints(name, scene.namespace)
    except client.ApiException as error:
        assert error.status == 404
        return set()
    return {
        (address.target_ref.name, port.port)
        for subset in found.subsets or ()
        for address in subset.addresses or ()
        for port in subset.ports or ()
    }


@pytest.fixture
def asker(scene: Scene) -> Scene:
    """A scene with a Pod `asker` that tools can be run in."""
    scene.ready(pod("asker", box("sleep 600", image="toolbox")))
    return scene


def ask(scene: Scene, host: str, port: int, *, udp: bool = False) -> str:
    if udp:
        return scene.sh(
            "asker", f"echo x | timeout 1 socat -t0.5 - UDP:{host}:{port} 2>/dev/null; true"
        ).strip()
    return scene.sh("asker", f"curl -s --max-time 1 http://{host}:{port}; true").strip()


def answers(scene: Scene, host: str, port: int, *, udp: bool = False) -> str:
    return eventually(lambda: ask(scene, host, port, udp=udp))


def silent(scene: Scene, host: str, port: int, *, udp: bool = False) -> bool:
    return not ask(scene, host, port, udp=udp)


def node_address(scene: Scene) -> str:
    addresses = scene.core.list_node().items[0].status.addresses
    return str(next(each.address for each in addresses if each.type == "InternalIP"))


@conforms("[sig-network] Services should provide secure master service")
def test_the_api_is_a_service(scene: Scene) -> None:
    assert scene.core.read_namespaced_service("kubernetes", "default").spec.ports[0].port == 443


@conforms("[sig-network] Services should find a service from listing all namespaces")
def test_services_of_all_namespaces(scene: Scene) -> None:
    found = scene.core.list_service_for_all_namespaces().items
    assert ("default", "kubernetes") in [(each.metadata.namespace, each.metadata.name) for each in found]


@conforms("[sig-network] Services should serve a basic endpoint from pods")
def test_endpoints_follow_pods(scene: Scene) -> None:
    service(scene, "web")
    eventually(lambda: endpoints(scene, "web") == set())
    port = {"ports": [{"containerPort": 9376}]}
    scene.create(server("one", {"app": "web"}, **port))
    eventually(lambda: endpoints(scene, "web") == {("one", 9376)})
    scene.create(server("two", {"app": "web"}, **port))
    eventually(lambda: endpoints(scene, "web") == {("one", 9376), ("two", 9376)})
    scene.core.delete_namespaced_pod("two", scene.namespace)
    eventually(lambda: endpoints(scene, "web") == {("one", 9376)})
    scene.core.delete_namespaced_pod("one", scene.namespace)
    eventually(lambda: endpoints(scene, "web") == set())


@conforms("[sig-network] Services should serve multiport endpoints from pods")
def test_named_ports_of_different_pods(scene: Scene) -> None:
    service(
        scene,
        "multi",
        {"name": "first", "port": 80, "targetPort": "first"},
        {"name": "second", "port": 81, "targetPort": "second"},
    )
    eventually(lambda: endpoints(scene, "multi") == set())
    for name, port in (("first", 9376), ("second", 9377)):
        ports = [{"name": name, "containerPort": port}]
        scene.create(server(name, {"app": "multi"}, ports=ports))
    eventually(lambda: endpoints(scene, "multi") == {("first", 9376), ("second", 9377)})
    scene.core.delete_namespaced_pod("first", scene.namespace)
    eventually(lambda: endpoints(scene, "multi") == {("second", 9377)})
    scene.core.delete_namespaced_pod("second", scene.namespace)
    eventually(lambda: endpoints(scene, "multi") == set())


@conforms("[sig-network] Services should serve endpoints on same port and different protocols")
def test_one_port_in_two_protocols(asker: Scene) -> None:
    both = f"({ECHO_UDP}) & {HOSTNAMES}"
    asker.ready(server("server", {"app": "both"}, both))
    tcp = {"name": "tcp", "port": 80, "targetPort": 9376, "protocol": "TCP"}
    udp = {"name": "udp", "port": 80, "targetPort": 9376, "protocol": "UDP"}
    address = service(asker, "both", tcp, udp).spec.cluster_ip
    assert answers(asker, address, 80) == "server"
    assert answers(asker, address, 80, udp=True) == "server"
    services = Kind(asker.core, "service", asker.namespace)

    def only(*ports: Manifest) -> None:
        seen = services.read("both")
        seen.spec.ports = list(ports)
        asker.core.replace_namespaced_service("both", asker.namespace, seen)

    only(tcp)
    eventually(lambda: silent(asker, address, 80, udp=True))
    assert answers(asker, address, 80) == "server"
    only(udp)
    eventually(lambda: silent(asker, address, 80))
    assert answers(asker, address, 80, udp=True) == "server"


@conforms("[sig-network] Services should be able to create a functioning NodePort service")
def test_a_node_port(asker: Scene) -> None:
    asker.ready(server("server", {"app": "web"}))
    made = service(asker, "web", type="NodePort")
    for host, port in (
        ("web", 80),
        (made.spec.cluster_ip, 80),
        (node_address(asker), made.spec.ports[0].node_port),
    ):
        assert answers(asker, host, port) == "server"


@conforms("[sig-network] Services should be able to change the type from ExternalName to ClusterIP")
def test_external_name_to_cluster_ip(asker: Scene) -> None:
    asker.ready(server("server", {"app": "web"}))
    assert not service(asker, "web", type="ExternalName", externalName="example.com").spec.cluster_ip
    made = change(asker, "web", type="ClusterIP", externalName=None)
    assert answers(asker, made.spec.cluster_ip, 80) == answers(asker, "web", 80) == "server"


@conforms("[sig-network] Services should be able to change the type from ExternalName to NodePort")
def test_external_name_to_node_port(asker: Scene) -> None:
    asker.ready(server("server", {"app": "web"}))
    assert not service(asker, "web", type="ExternalName", externalName="example.com").spec.cluster_ip
    made = change(asker, "web", type="NodePort", externalName=None)
    assert answers(asker, made.spec.cluster_ip, 80) == answers(asker, "web", 80) == "server"
    assert answers(asker, node_address(asker), made.spec.ports[0].node_port) == "server"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "ClusterIP",
            marks=conforms(
                "[sig-network] Services should be able to change the type from ClusterIP to ExternalName"
            ),
        ),
        pytest.param(
            "NodePort",
            marks=conforms(
                "[sig-network] Services should be able to change the type from NodePort to ExternalName"
            ),
        ),
    ],
)
def test_to_external_name(asker: Scene, kind: str) -> None:
    asker.ready(server("target", {"app": "target"}))
    target = service(asker, "target").spec.cluster_ip
    before = service(asker, "web", type=kind).spec
    assert before.cluster_ip and bool(before.ports[0].node_port) is (kind == "NodePort")
    name = f"target.{asker.namespace}.svc.cluster.local"
    made = change(asker, "web", type="ExternalName", externalName=name, clusterIP=None, clusterIPs=None)
    assert not made.spec.cluster_ip and not made.spec.ports[0].node_port
    question = f"dig +short web.{asker.namespace}.svc.cluster.local"
    eventually(lambda: asker.sh("asker", question).split() == [f"{name}.", target])


def hits(scene: Scene, host: str, port: int) -> set[str]:
    command = f"for i in $(seq 15); do curl -s --max-time 1 http://{host}:{port}; done"
    return set(scene.sh("asker", command).split())


@pytest.fixture
def three(asker: Scene) -> Scene:
    """Three servers of `web` besides the asker."""
    for name in ("one", "two", "three"):
        asker.create(server(name, {"app": "web"}))
    return asker


def sticky(scene: Scene, kind: str, *, switched: bool) -> None:
    made = service(scene, "web", type=kind, sessionAffinity="ClientIP")
    eventually(lambda: len(endpoints(scene, "web")) == 3)
    node_port = made.spec.ports[0].node_port
    host, port = (node_address(scene), node_port) if kind == "NodePort" else (made.spec.cluster_ip, 80)
    answers(scene, host, port)
    assert len(hits(scene, host, port)) == 1
    assert answers(scene, "web", 80)
    if switched:
        change(scene, "web", sessionAffinity="None", sessionAffinityConfig=None)
        eventually(lambda: len(hits(scene, host, port)) > 1)
        change(scene, "web", sessionAffinity="ClientIP")
        eventually(lambda: len(hits(scene, host, port)) == 1)


@conforms(
    "[sig-network] Services should have session affinity work for service with type clusterIP [LinuxOnly]",
)
def test_affinity_of_a_cluster_ip(three: Scene) -> None:
    sticky(three, "ClusterIP", switched=False)


@conforms(
    "[sig-network] Services should have session affinity work for NodePort service [LinuxOnly]",
)
def test_affinity_of_a_node_port(three: Scene) -> None:
    sticky(three, "NodePort", switched=False)


@conforms(
    "[sig-network] Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]",
)
def test_affinity_of_a_cluster_ip_switched(three: Scene) -> None:
    sticky(three, "ClusterIP", switched=True)


@conforms(
    "[sig-network] Services should be able to switch session affinity for NodePort service [LinuxOnly]",
)
def test_affinity_of_a_node_port_switched(three: Scene) -> None:
    sticky(three, "NodePort", switched=True)


@conforms("[sig-network] Service endpoints latency should not be very high")
def test_endpoints_come_quickly(scene: Scene) -> None:
    scene.ready(server("server", {"of": "latency"}))
    taken_s = []
    for number in range(100):
        name = f"latency-{number}"
        began = time.monotonic()
        service(scene, name, selector={"of": "latency"})
        eventually(lambda name=name: endpoints(scene, name), every_s=0.005)  # type: ignore[misc]
        taken_s.append(time.monotonic() - began)
    taken_s.sort()
    assert taken_s[49] <= 20 and taken_s[89] <= 50


@conforms("[sig-network] Services should complete a service status lifecycle")
def test_status_of_a_service(scene: Scene) -> None:
    core, namespace = scene.core, scene.namespace
    service(scene, "web", type="LoadBalancer")
    assert core.read_namespaced_service_status("web", namespace).metadata.name == "web"
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
    patched = core.patch_namespaced_service_status("web", namespace, ingress)
    assert patched.status.load_balancer.ingress[0].ip == "203.0.113.1"

    def replaced() -> Any:
        seen = core.read_namespaced_service_status("web", namespace)
        condition = {"type": "StatusUpdate", "status": "True", "reason": "Test", "message": "set"}
        stamp = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
        seen.status.conditions = [{**condition, **stamp}]
        try:
            return core.replace_namespaced_service_status("web", namespace, seen)
        except client.ApiException as error:
            assert error.status == 409
            return None

    answer = eventually(replaced)
    assert answer.status.conditions[0].type == "StatusUpdate"
    labelled = core.patch_namespaced_service("web", namespace, {"metadata": {"labels": {"patched": "yes"}}})
    assert labelled.metadata.labels == {"patched": "yes"}
    core.delete_namespaced_service("web", namespace)


@conforms("[sig-network] Services should delete a collection of services")
def test_a_collection_of_services_is_deleted(scene: Scene) -> None:
    services = Kind(scene.core, "service", scene.namespace)
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        service(scene, name)
        services.label(name, of=label)
    services.delete_all("of=x")
    eventually(lambda: [each.metadata.name for each in services.list()] == ["c"])


@conforms("[sig-network] Services should test the lifecycle of an Endpoint")
def test_life_of_an_endpoints_object(scene: Scene) -> None:
    kind = Kind(scene.core, "endpoints", scene.namespace)
    subsets = [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]}]
    kind.create({"metadata": {"name": "hand", "labels": {"of": "hand"}}, "subsets": subsets})
    assert [each.metadata.name for each in kind.list("of=hand")] == ["hand"]
    kind.relabel("hand", updated="yes")
    more = [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}]
    patched = kind.patch("hand", {"subsets": more})
    assert patched.subsets[0].addresses[0].ip == "10.0.0.25"
    assert patched.metadata.labels["updated"] == "yes"
    kind.delete_all("of=hand")
    kind.gone("hand")


# -- EndpointSlices


def slices(scene: Scene, name: str, namespace: str = "") -> list[client.V1EndpointSlice]:
    api = client.DiscoveryV1Api(scene.api)
    selector = f"kubernetes.io/service-name={name}"
    return list(
        api.list_namespaced_endpoint_slice(namespace or scene.namespace, label_selector=selector).items
    )


@conforms("[sig-network] EndpointSlice should have Endpoints and EndpointSlices pointing to API Server")
def test_the_api_has_endpoints(scene: Scene) -> None:
    discovered(scene, "discovery.k8s.io", "endpointslices")
    found = scene.core.read_namespaced_endpoints("kubernetes", "default")
    addresses = {each.ip for subset in found.subsets for each in subset.addresses}
    assert addresses
    listed = {
        ip for each in slices(scene, "kubernetes", "default") for e in each.endpoints for ip in e.addresses
    }
    assert addresses <= listed


@conforms(
    "[sig-network] EndpointSlice should create and delete Endpoints and EndpointSlices for a Service with a selector specified"
)
def test_slices_come_and_go_with_the_service(scene: Scene) -> None:
    discovered(scene, "discovery.k8s.io", "endpointslices")
    service(scene, "web")
    kind = Kind(scene.core, "endpoints", scene.namespace)
    eventually(lambda: not kind.is_gone("web") and slices(scene, "web"))
    scene.core.delete_namespaced_service("web", scene.namespace)
    eventually(lambda: kind.is_gone("web") and not slices(scene, "web"))


@conforms(
    "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service"
)
def test_slices_list_the_pods(scene: Scene) -> None:
    discovered(scene, "discovery.k8s.io", "endpointslices")
    ports = [{"name": "example", "containerPort": 3000}]
    for name, labels in (("one", {"app": "web"}), ("two", {"app": "web", "more": "yes"})):
        scene.create(server(name, labels, ports=ports))
    service(scene, "web", {"name": "example", "port": 80, "targetPort": 3000})
    service(scene, "named", {"name": "http", "port": 80, "targetPort": "example"}, selector={"app": "web"})
    for name in ("web", "named"):
        eventually(lambda name=name: endpoints(scene, name) == {("one", 3000), ("two", 3000)})  # type: ignore[misc]
        (found,) = slices(scene, name)
        assert {each.target_ref.name for each in found.endpoints} == {"one", "two"}
        assert found.ports[0].port == 3000


@conforms("[sig-network] EndpointSlice should support creating EndpointSlice API operations")
def test_life_of_an_endpoint_slice(scene: Scene) -> None:
    discovered(scene, "discovery.k8s.io", "endpointslices")
    life(
        Kind(client.DiscoveryV1Api(scene.api), "endpoint_slice", scene.namespace),
        addressType="IPv4",
        endpoints=[{"addresses": ["10.1.2.3"]}],
        ports=[],
    )


@conforms("[sig-network] Ingress API should support creating Ingress API operations")
def test_life_of_an_ingress(scene: Scene) -> None:
    discovered(scene, "networking.k8s.io", "ingresses")
    api = client.NetworkingV1Api(scene.api)
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    kind = Kind(api, "ingress", scene.namespace)
    spec = {"defaultBackend": backend}
    kind.create({"metadata": {"name": "status"}, "spec": spec})
    address = {"status": {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}}
    patched = api.patch_namespaced_ingress_status("status", scene.namespace, address)
    assert patched.status.load_balancer.ingress[0].ip == "169.1.1.1"
    patched.status.load_balancer.ingress[0].ip = "169.1.1.2"
    replaced = api.replace_namespaced_ingress_status("status", scene.namespace, patched)
    assert replaced.status.load_balancer.ingress[0].ip == "169.1.1.2"
    kind.delete("status")
    life(kind, spec=spec)


@conforms("[sig-network] IngressClass API should support creating IngressClass API operations")
def test_life_of_an_ingress_class(scene: Scene) -> None:
    discovered(scene, "networking.k8s.io", "ingressclasses")
    life(Kind(client.NetworkingV1Api(scene.api), "ingress_class"), spec={"controller": "example.com/c"})


@conforms(
    "[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete"
)
def test_hand_written_endpoints_are_mirrored(scene: Scene) -> None:
    body = {"metadata": {"name": "hand"}, "spec": {"ports": [{"name": "example", "port": 80}]}}
    scene.core.create_namespaced_service(scene.namespace, body)
    kind = Kind(scene.core, "endpoints", scene.namespace)
    ports = [{"name": "example", "port": 80}]

    def mirrored() -> set[str]:
        found = slices(scene, "hand")
        return {ip for each in found for endpoint in each.endpoints or () for ip in endpoint.addresses}

    kind.create(
        {"metadata": {"name": "hand"}, "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": ports}]}
    )
    eventually(lambda: mirrored() == {"10.1.2.3"})
    kind.patch("hand", {"subsets": [{"addresses": [{"ip": "10.2.3.4"}], "ports": ports}]})
    eventually(lambda: mirrored() == {"10.2.3.4"})
    kind.delete("hand")
    eventually(lambda: not slices(scene, "hand"))


# -- Pods and nodes


@pytest.fixture
def neighbours(scene: Scene) -> Iterator[list[str]]:
    """Addresses of two Pods that answer with their names over HTTP and UDP on port 9376."""
    command = f"({ECHO_UDP}) & {HOSTNAMES}"
    names = ("one", "two")
    for name in names:
        scene.create(server(name, {"app": "net"}, command))
    yield [str(scene.until(name, lambda seen: seen.status.pod_ip).status.pod_ip) for name in names]


@pytest.mark.parametrize(
    ("udp", "host"),
    [
        pytest.param(
            False,
            False,
            marks=conforms(
                "[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            False,
            marks=conforms(
                "[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: udp [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            True,
            marks=conforms(
                "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            True,
            marks=conforms(
                "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: udp [LinuxOnly] [NodeConformance]"
            ),
        ),
    ],
)
def test_pods_reach_each_other(scene: Scene, neighbours: list[str], udp: bool, host: bool) -> None:
    scene.ready(pod("asker", box("sleep 600", image="toolbox"), hostNetwork=host))
    assert [answers(scene, address, 9376, udp=udp) for address in neighbours] == ["one", "two"]


@conforms(
    "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly]"
)
def test_one_host_port_for_several_pods(scene: Scene) -> None:
    address = node_address(scene)
    ports = [
        ("one", {"hostIP": "127.0.0.1", "protocol": "TCP"}),
        ("two", {"hostIP": address, "protocol": "TCP"}),
        ("three", {"hostIP": address, "protocol": "UDP"}),
    ]
    command = f"({ECHO_UDP}) & {HOSTNAMES}"
    for name, port in ports:
        port = {"hostPort": 54323, "containerPort": 9376, **port}
        scene.ready(server(name, {}, command, ports=[port]))
    scene.ready(pod("asker", box("sleep 600", image="toolbox"), hostNetwork=True))
    assert answers(scene, "127.0.0.1", 54323) == "one"
    assert answers(scene, address, 54323) == "two"
    assert answers(scene, address, 54323, udp=True) == "three"
