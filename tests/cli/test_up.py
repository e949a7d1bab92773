import socket
from pathlib import Path

import pytest

from sampan.cli import up
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError
from sampan.cli.terminal import Progress


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_two_clusters_that_come_up_in_one_moment_have_different_ports(tmp_path: Path) -> None:
    with (
        up._listener(Cluster("one", tmp_path / "one"), Progress()) as one,
        up._listener(Cluster("two", tmp_path / "two"), Progress()) as two,
    ):
        assert port_of(one) != port_of(two)


def test_port_is_the_same_from_one_up_to_the_next(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    with up._listener(cluster, Progress()) as first:
        chosen = up._choose(cluster, up.Asked(), port_of(first))
    with up._listener(cluster, Progress()) as second:
        assert port_of(second) == chosen.api_port


def test_port_that_another_program_took_meanwhile_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster("one", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = port_of(other)
        cluster.keep(Choices(api_port=taken, node_name="one"))
        with up._listener(cluster, Progress()) as listener:
            assert port_of(listener) != taken
    assert f"another program listens on port {taken}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "mirrors"),
    [
        ([], {}),
        (["docker.io=http://127.0.0.1:5000/"], {"docker.io": "http://127.0.0.1:5000"}),
        (["a=https://x?a=b", "a=http://y", "b=http://z"], {"a": "http://y", "b": "http://z"}),
    ],
)
def test_mirrors_are_given_by_host_and_the_last_one_counts(words: list[str], mirrors: dict[str, str]) -> None:
    assert up._mirrors(words) == mirrors


@pytest.mark.parametrize(
    "word", ["", "docker.io", "=http://x", "docker.io=", "docker.io=ftp://x", "docker.io=x"]
)
def test_a_mirror_that_is_none_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(UserError) as caught:
        up._mirrors([word])
    assert caught.value.what == f"--registry-mirror {word!r} is not HOST=URL"
    assert caught.value.do == "For instance: --registry-mirror docker.io=http://127.0.0.1:5000"


def test_mirrors_of_an_earlier_up_are_kept_and_the_nodes_name_with_them(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    cluster.keep(Choices(1, "node", {"a": "http://a", "b": "http://b"}))
    chosen = up._choose(cluster, up.Asked({"b": "http://new"}), 2)
    assert chosen == Choices(2, "node", {"a": "http://a", "b": "http://new"})
    assert cluster.choices() == chosen


def test_unsafe_sysctls_are_allowed_until_another_up_says_otherwise(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    for said, allowed in ((["kernel.msg*"], ["kernel.msg*"]), (None, ["kernel.msg*"]), ([], [])):
        up._choose(cluster, up.Asked(unsafe_sysctls=said), 1)
        kept = cluster.choices()
        assert kept is not None and kept.unsafe_sysctls == allowed


def test_families_are_kept_and_the_primary_one_stays(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    for asked, kept in (("ipv6,ipv4", "ipv6,ipv4"), (None, "ipv6,ipv4"), ("ipv6", "ipv6")):
        assert up._choose(cluster, up.Asked(ip_families=asked), 1).ip_families == kept
    with pytest.raises(UserError, match="the primary family of 'one' is IPv6"):
        up._choose(cluster, up.Asked(ip_families="ipv4,ipv6"), 1)
    with pytest.raises(UserError, match="is none of ipv4, ipv6"):
        up._choose(cluster, up.Asked(ip_families="ipv5"), 1)
    cluster.keep(Choices(1, "node"))  # of an `up` that was not asked, or did not ask yet
    with pytest.raises(UserError, match="is IPv4"):
        up._choose(cluster, up.Asked(ip_families="ipv6"), 1)


POD_SECURITY = """
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline}
"""


def test_pod_security_is_read_from_a_file_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "standards.yaml"
    file.write_text(POD_SECURITY)
    cluster = Cluster("one", tmp_path)
    for asked in (up._document(file, up.POD_SECURITY), None):
        chosen = up._choose(cluster, up.Asked(pod_security=asked), 1)
        assert chosen.pod_security["defaults"] == {"enforce": "baseline"}
        assert cluster.choices() == chosen
    file.write_text("")
    assert up._document(file, up.POD_SECURITY) == {}


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
        up._document(file, up.POD_SECURITY)
    assert what in caught.value.what


def test_what_the_node_is_told_is_read_from_a_file_and_kept(tmp_path: Path) -> None:
    cluster, file = Cluster("one", tmp_path), tmp_path / "kubelet.yaml"
    file.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 9\n")
    for asked in (up._document(file, up.KUBELET), None):
        assert up._choose(cluster, up.Asked(kubelet=asked), 1).kubelet["maxPods"] == 9
    file.write_text("maxPodz: 9\n")
    with pytest.raises(UserError, match=r"--kubelet-config .*: maxPodz: this node knows no such field"):
        up._document(file, up.KUBELET)


def test_ranges_are_kept_from_one_up_to_the_next(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    assert up._choose(cluster, up.Asked(), 1).node_ports == [30000, 32767]
    up._choose(cluster, up.Asked(node_ports=(8000, 9000), external_ips=["192.0.2.0/24"]), 1)
    kept = up._choose(cluster, up.Asked(), 1)
    assert tuple(kept.node_ports) == (8000, 9000) and kept.external_ips == ["192.0.2.0/24"]
    assert up._choose(cluster, up.Asked(external_ips=[]), 1).external_ips == []


def test_the_domain_is_chosen_once(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    with pytest.raises(UserError, match="is no domain"):
        up._choose(cluster, up.Asked(domain="a..b"), 1)
    for asked in ("k8s.test", None, "k8s.test"):
        assert up._choose(cluster, up.Asked(domain=asked), 1).domain == "k8s.test"
    with pytest.raises(UserError, match=r"the domain of 'one' is k8s\.test"):
        up._choose(cluster, up.Asked(domain="cluster.local"), 1)
