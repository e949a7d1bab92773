"""Services of a cluster of both families, as an unmodified kubectl and the Python client see them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable

import pytest
from kubernetes import client, config

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

SETTINGS = {"service_cidrs": ("10.96.0.0/16", "fd00:96::/112"), "external_ips": ("192.0.2.0/24",)}
Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]

BOTH = """
apiVersion: v1
kind: Service
metadata: {name: both}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  externalIPs: [192.0.2.7]
  ports:
  - {name: web, port: 80}
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
  - {name: sig, port: 9, protocol: SCTP}
"""


def spec_of(kubectl: Kubectl, name: str) -> dict:
    return json.loads(kubectl("get", "svc", name, "-o", "json").stdout)["spec"]


def test_a_service_of_both_families_is_applied_shown_and_described(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=BOTH)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=BOTH).stdout
    spec = spec_of(kubectl, "both")
    assert spec["ipFamilies"] == ["IPv4", "IPv6"] and len(spec["clusterIPs"]) == 2
    ports = {port["name"]: port["nodePort"] for port in spec["ports"]}
    assert ports["dns"] == ports["dns-tcp"] != ports["web"]
    heads, row = kubectl("get", "svc", "both", "-o", "wide").stdout.splitlines()
    assert " ".join(heads.split()) == "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR"
    assert row.split()[:4] == ["both", "NodePort", spec["clusterIP"], "192.0.2.7"]
    said = kubectl("describe", "svc", "both").stdout
    assert "IP Families:              IPv4,IPv6" in said
    assert f"IPs:                      {','.join(spec['clusterIPs'])}" in said
    assert "sig  9/SCTP" in said


def test_addresses_and_their_ranges_are_shown(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=BOTH)
    heads, row = kubectl("get", "servicecidrs").stdout.splitlines()
    assert heads.split() == ["NAME", "CIDRS", "AGE"]
    assert row.split()[:2] == ["kubernetes", "10.96.0.0/16,fd00:96::/112"]
    for address in spec_of(kubectl, "both")["clusterIPs"]:
        _, row = kubectl("get", "ip", address).stdout.splitlines()
        assert row.split()[:2] == [address, "services/default/both"]


NEIGHBOURS = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand, labels: {kubernetes.io/service-name: both}}
addressType: IPv6
ports: [{name: web, port: 80}]
endpoints: [{addresses: ["2001:db8::7"], conditions: {ready: true}, zone: a, hints: {forZones: [{name: a}]}}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: by-hand}
subsets: [{addresses: [{ip: 192.0.2.9}], ports: [{name: web, port: 80}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: rules}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, endPort: 90}]}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: front}
spec: {controller: example.com/front, parameters: {kind: P, name: p, scope: Cluster}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: site}
spec:
  ingressClassName: front
  tls: [{hosts: [a.example.com], secretName: cert}]
  rules: [{host: a.example.com, http: {paths: [
    {path: /, pathType: Prefix, backend: {service: {name: both, port: {name: web}}}}]}}]
"""
DESCRIBED = {
    "endpointslice/by-hand": ("Addresses:  2001:db8::7", "Zone:      a"),
    "endpoints/by-hand": ("Addresses:          192.0.2.9",),
    "networkpolicy/rules": ("CIDR: 10.0.0.0/8", "Except: 10.1.0.0/16", "Policy Types: Ingress, Egress"),
    "ingressclass/front": ("Controller:   example.com/front", "Kind:  P"),
    "ingress/site": ("cert terminates a.example.com", "both:web"),
}
SHOWN = {
    "endpointslice/by-hand": "by-hand IPv6 80 2001:db8::7",
    "endpoints/by-hand": "by-hand 192.0.2.9:80",
    "networkpolicy/rules": "rules app=web",
    "ingressclass/front": "front example.com/front P/p",
    "ingress/site": "site front a.example.com 80, 443",
}


def test_their_neighbours_are_shown_and_described(kubectl: Kubectl) -> None:
    told = kubectl("apply", "-f", "-", stdin=NEIGHBOURS).stderr
    assert "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in told
    for name, row in SHOWN.items():
        _, shown = kubectl("get", name, "-o", "wide").stdout.splitlines()
        assert " ".join(shown.split()).startswith(row)
    for name, parts in DESCRIBED.items():
        said = kubectl("describe", *name.split("/")).stdout
        for part in parts:
            assert part in said


def test_what_cannot_be_is_said_in_the_words_users_know(kubectl: Kubectl) -> None:
    taken = spec_of(kubectl, "kubernetes")["clusterIP"]
    told = kubectl("create", "svc", "clusterip", "x", "--tcp=80", f"--clusterip={taken}", code=1).stderr
    assert "provided IP is already allocated" in told
    kubectl("apply", "-f", "-", stdin=BOTH)
    port = spec_of(kubectl, "both")["ports"][0]["nodePort"]
    told = kubectl("create", "svc", "nodeport", "x", "--tcp=80", f"--node-port={port}", code=1).stderr
    assert "provided port is already allocated" in told
    patch = '{"spec":{"externalIPs":["198.51.100.1"]}}'
    told = kubectl("patch", "svc", "both", "-p", patch, code=1).stderr
    assert "Use of external IP 198.51.100.1 is denied" in told
    kubectl("create", "svc", "clusterip", "one", "--tcp=80")
    told = kubectl("patch", "svc", "one", "-p", '{"spec":{"clusterIP":"10.96.0.99"}}', code=1).stderr
    assert "may not change once set" in told
    assert kubectl("get", "svc", "x", code=1).stderr.startswith("Error from server (NotFound)")


def test_status_is_changed_by_its_own_subresource_only(kubectl: Kubectl) -> None:
    """CVE-2020-8554: who may patch Services must not thereby route an address to himself."""
    kubectl("create", "svc", "loadbalancer", "lb", "--tcp=80")
    patch = '{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}}}'
    kubectl("patch", "svc", "lb", "-p", patch)
    ingress = "jsonpath={.status.loadBalancer.ingress}"
    assert kubectl("get", "svc", "lb", "-o", ingress).stdout == ""
    kubectl("patch", "svc", "lb", "--subresource=status", "-p", patch)
    assert "203.0.113.9" in kubectl("get", "svc", "lb", "-o", ingress).stdout


def test_the_python_client_moves_a_service_through_its_families(cluster) -> None:
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    body = {"metadata": {"name": "py"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
    made = core.create_namespaced_service("default", body)
    assert made.spec.ip_families == ["IPv4"] and made.spec.ip_family_policy == "SingleStack"
    made.spec.ip_family_policy = "RequireDualStack"
    two = core.replace_namespaced_service("py", "default", made)
    assert two.spec.ip_families == ["IPv4", "IPv6"] and two.spec.cluster_i_ps[0] == made.spec.cluster_ip
    two.spec.type, two.spec.external_name = "ExternalName", "db.example.com"
    name = core.replace_namespaced_service("py", "default", two)
    assert name.spec.cluster_ip is None and name.spec.ip_families is None
    name.spec.type, name.spec.external_name, name.spec.ip_families = "NodePort", None, ["IPv6"]
    back = core.replace_namespaced_service("py", "default", name)
    assert back.spec.cluster_ip.startswith("fd00:96::") and back.spec.ports[0].node_port
    core.delete_namespaced_service("py", "default")


def test_the_python_client_widens_and_narrows_the_ranges(cluster) -> None:
    api = config.new_client_from_config(str(cluster.kubeconfig))
    core, networking = client.CoreV1Api(api), client.NetworkingV1Api(api)
    networking.create_service_cidr({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.222.0.0/24"]}})
    spec = {"clusterIP": "10.222.0.9", "ports": [{"port": 80}], "selector": {"a": "b"}}
    core.create_namespaced_service("default", {"metadata": {"name": "wide"}, "spec": spec})
    parent = networking.read_ip_address("10.222.0.9").spec.parent_ref
    assert (parent.resource, parent.namespace, parent.name) == ("services", "default", "wide")
    networking.delete_service_cidr("more")
    core.delete_namespaced_service("wide", "default")
    for _ in range(1000):
        if [each.metadata.name for each in networking.list_service_cidr().items] == ["kubernetes"]:
            break
        time.sleep(0.02)
    else:
        pytest.fail("the ServiceCIDR did not go with its last address")
    with pytest.raises(client.ApiException) as caught:
        networking.read_ip_address("10.222.0.9")
    assert caught.value.status == 404
