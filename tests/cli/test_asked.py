from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest

from sampan.cli import asked, options
from sampan.cli.asked import Asked
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError


def read(*words: str) -> Asked:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return asked.read(parser.parse_args(words))


def test_who_says_nothing_asks_for_nothing() -> None:
    assert read() == Asked()


def test_what_the_words_mean() -> None:
    assert read("--registry-mirror", "a=http://b", "--overlay", "--ip-families", "ipv6") == Asked(
        mirrors={"a": "http://b"}, overlay=True, ip_families="ipv6"
    )
    assert read("--service-node-port-range", "8000-9000", "--external-ips", "192.0.2.0/24") == Asked(
        node_ports=(8000, 9000), external_ips=["192.0.2.0/24"]
    )
    assert read("--node-monitor-grace-period", "2.5").node_grace_s == 2.5


@pytest.mark.parametrize("word", ["0", "-1", "nan"])
def test_no_node_is_lost_at_once(word: str) -> None:
    with pytest.raises(UserError, match="--node-monitor-grace-period must be more than 0 seconds"):
        read(f"--node-monitor-grace-period={word}")


@pytest.mark.parametrize(
    ("words", "mirrors"),
    [
        ([], {}),
        (["docker.io=http://127.0.0.1:5000/"], {"docker.io": "http://127.0.0.1:5000"}),
        (["a=https://x?a=b", "a=http://y", "b=http://z"], {"a": "http://y", "b": "http://z"}),
    ],
)
def test_mirrors_are_given_by_host_and_the_last_one_counts(words: list[str], mirrors: dict[str, str]) -> None:
    assert asked._mirrors(words) == mirrors


@pytest.mark.parametrize(
    "word", ["", "docker.io", "=http://x", "docker.io=", "docker.io=ftp://x", "docker.io=x"]
)
def test_a_mirror_that_is_none_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(UserError) as caught:
        asked._mirrors([word])
    assert caught.value.what == f"--registry-mirror {word!r} is not HOST=URL"
    assert caught.value.do == "For instance: --registry-mirror docker.io=http://127.0.0.1:5000"


def test_mirrors_of_an_earlier_up_are_kept_and_the_nodes_name_with_them(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    cluster.keep(Choices(1, "node", {"a": "http://a", "b": "http://b"}))
    chosen = asked.choose(cluster, Asked({"b": "http://new"}), 2)
    assert chosen == Choices(2, "node", {"a": "http://a", "b": "http://new"})
    assert cluster.choices() == chosen


def test_unsafe_sysctls_are_allowed_until_another_up_says_otherwise(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    for said, allowed in ((["kernel.msg*"], ["kernel.msg*"]), (None, ["kernel.msg*"]), ([], [])):
        asked.choose(cluster, Asked(unsafe_sysctls=said), 1)
        kept = cluster.choices()
        assert kept is not None and kept.unsafe_sysctls == allowed


def test_families_are_kept_and_the_primary_one_stays(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    for said, kept in (("ipv6,ipv4", "ipv6,ipv4"), (None, "ipv6,ipv4"), ("ipv6", "ipv6")):
        assert asked.choose(cluster, Asked(ip_families=said), 1).ip_families == kept
    with pytest.raises(UserError, match="the primary family of 'one' is IPv6"):
        asked.choose(cluster, Asked(ip_families="ipv4,ipv6"), 1)
    with pytest.raises(UserError, match="is none of ipv4, ipv6"):
        asked.choose(cluster, Asked(ip_families="ipv5"), 1)
    cluster.keep(Choices(1, "node"))  # of an `up` that was not asked, or did not ask yet
    with pytest.raises(UserError, match="is IPv4"):
        asked.choose(cluster, Asked(ip_families="ipv6"), 1)


POD_SECURITY = """
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline}
"""


def test_pod_security_is_read_from_a_file_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "standards.yaml"
    file.write_text(POD_SECURITY)
    cluster = Cluster("one", tmp_path)
    for said in (asked.document(file, asked.POD_SECURITY), None):
        chosen = asked.choose(cluster, Asked(pod_security=said), 1)
        assert chosen.pod_security["defaults"] == {"enforce": "baseline"}
        assert cluster.choices() == chosen
    file.write_text("")
    assert asked.document(file, asked.POD_SECURITY) == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (POD_SECURITY.replace("baseline", "strict"), "defaults.enforce"),
        ("[1]", "it is no object"),
        ("a: [", ""),
        (None, "No such file"),
    ],
)
def test_pod_security_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None, what: str) -> None:
    file = tmp_path / "standards.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as caught:
        asked.document(file, asked.POD_SECURITY)
    assert what in caught.value.what


def test_what_the_node_is_told_is_read_from_a_file_and_kept(tmp_path: Path) -> None:
    cluster, file = Cluster("one", tmp_path), tmp_path / "kubelet.yaml"
    file.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 9\n")
    for said in (asked.document(file, asked.KUBELET), None):
        assert asked.choose(cluster, Asked(kubelet=said), 1).kubelet["maxPods"] == 9
    file.write_text("maxPodz: 9\n")
    with pytest.raises(UserError, match=r"--kubelet-config .*: maxPodz: this node knows no such field"):
        asked.document(file, asked.KUBELET)


def test_ranges_are_kept_from_one_up_to_the_next(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    assert asked.choose(cluster, Asked(), 1).node_ports == [30000, 32767]
    asked.choose(cluster, Asked(node_ports=(8000, 9000), external_ips=["192.0.2.0/24"]), 1)
    kept = asked.choose(cluster, Asked(), 1)
    assert tuple(kept.node_ports) == (8000, 9000) and kept.external_ips == ["192.0.2.0/24"]
    assert asked.choose(cluster, Asked(external_ips=[]), 1).external_ips == []


def test_the_domain_is_chosen_once(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    with pytest.raises(UserError, match="is no domain"):
        asked.choose(cluster, Asked(domain="a..b"), 1)
    for said in ("k8s.test", None, "k8s.test"):
        assert asked.choose(cluster, Asked(domain=said), 1).domain == "k8s.test"
    with pytest.raises(UserError, match=r"the domain of 'one' is k8s\.test"):
        asked.choose(cluster, Asked(domain="cluster.local"), 1)


def test_a_cluster_that_runs_is_not_asked_for_something_else_in_vain(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    first = read("--service-node-port-range", "8000-9000", "--registry-mirror", "a=http://b")
    running = asked.choose(cluster, first, 6443)
    again = cluster.choices()
    assert again is not None
    assert asked.put_off(cluster, again, first) == asked.put_off(cluster, running, Asked()) == []
    assert asked.put_off(cluster, again, read("--ip-families", "ipv4,ipv6")) == [], "as it is by default"
    other = read("--overlay", "--registry-mirror", "a=http://c", "--ip-families", "ipv4")
    assert asked.put_off(cluster, again, other) == ["--registry-mirror", "--ip-families", "--overlay"]
    assert cluster.choices() == again


def test_every_wish_has_an_option() -> None:
    assert asked.OPTIONS.keys() == {field.name for field in dataclasses.fields(Asked)}
