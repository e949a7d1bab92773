"""Golden /etc/hosts files."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.hosts import HostnameTooLong, hostname, hosts_file, uts_hostname


def pod(name: str = "web", **spec: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec}


def test_managed_file() -> None:
    text = hosts_file(
        pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]), ["10.0.0.5"], "cluster.local"
    )
    assert text == (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
        "10.0.0.5\tweb\n"
        "\n# Entries added by HostAliases.\n"
        "1.2.3.4\ta\tb\n"
    )


def test_subdomain_gives_a_full_name() -> None:
    text = hosts_file(pod(hostname="a", subdomain="db"), ["10.0.0.5"], "cluster.local")
    assert text.endswith("10.0.0.5\ta.db.ns.svc.cluster.local\ta\n")


def test_host_network_keeps_the_nodes_file() -> None:
    text = hosts_file(pod(hostNetwork=True), ["10.0.0.5"], "cluster.local", "127.0.0.1 me\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"


def test_long_names_are_cut_to_a_label() -> None:
    assert hostname(pod("x" * 62 + "-yy")) == "x" * 62
    assert uts_hostname(pod(hostname="a", subdomain="s", setHostnameAsFQDN=True), "c", "n") == "a.s.ns.svc.c"


def test_host_network_has_the_nodes_name() -> None:
    assert uts_hostname(pod(hostNetwork=True, hostname="a"), "c", "node-1") == "node-1"


def test_a_full_name_that_the_kernel_cannot_hold_is_refused() -> None:
    named = pod(hostname="h" * 39, subdomain="sub", setHostnameAsFQDN=True)
    assert len(uts_hostname(named, "cluster.local", "node")) == 64
    named["spec"]["hostname"] += "h"
    with pytest.raises(HostnameTooLong, match=r"is too long \(64 characters is the max, 65 .* requested\)"):
        uts_hostname(named, "cluster.local", "node")
    named["spec"]["setHostnameAsFQDN"] = False
    assert uts_hostname(named, "cluster.local", "node") == "h" * 40
