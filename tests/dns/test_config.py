"""What Corefiles mean, and what is refused in them."""

import pytest

from sampan.dns.config import Forward, Hosts, Keeping, Kubernetes, default_corefile, read
from sampan.dns.corefile import CorefileError
from sampan.dns.rewrite import Rewrite
from sampan.dns.upstream import Upstream
from sampan.dns.wire import A

DOMAIN = "cluster.local"
KUBERNETES = "kubernetes cluster.local in-addr.arpa ip6.arpa"


def block(*lines: str, zones: str = ".:53") -> str:
    return "\n".join((f"{zones} {{", *lines, "}\n"))


def test_the_default_is_what_kubeadm_writes() -> None:
    config = read(default_corefile(DOMAIN), DOMAIN)
    (only,) = config.blocks
    assert only.zones == ("",) and only.finds_loops and not only.logs
    assert only.kubernetes == Kubernetes("insecure", 5)
    assert only.forwards == (Forward("", files=("/etc/resolv.conf",), policy="sequential"),)
    assert only.keeping == Keeping(30, 30)


def test_stub_domains_have_blocks_of_their_own() -> None:
    text = block(KUBERNETES) + block("forward . 10.150.0.1", "cache 30", zones="consul.local:53")
    config = read(text, DOMAIN)
    inner = config.block("db.consul.local")
    assert inner is config.block("consul.local") and inner is not None
    assert inner.forwards == (Forward("", (Upstream("10.150.0.1"),)),)
    assert config.block("xconsul.local") is config.block("example.com") is config.blocks[0]
    only = read(block(KUBERNETES, zones="cluster.local"), DOMAIN)
    assert only.block("example.com") is None


@pytest.mark.parametrize(
    ("targets", "upstreams"),
    [
        ("10.0.0.1 10.0.0.2:5353", (Upstream("10.0.0.1"), Upstream("10.0.0.2", 5353))),
        ("a::1 [a::2]:5353 dns://a::3", (Upstream("a::1"), Upstream("a::2", 5353), Upstream("a::3"))),
        ("tls://9.9.9.9 {\n tls_servername a.example\n}", (Upstream("9.9.9.9", 853, True, "a.example"),)),
    ],
)  # fmt: skip
def test_where_questions_go(targets: str, upstreams: tuple[Upstream, ...]) -> None:
    config = read(block(KUBERNETES, f"forward . {targets}"), DOMAIN)
    assert config.blocks[0].forwards[0].upstreams == upstreams


def test_all_that_is_understood() -> None:
    (only,) = read(
        block(
            f"{KUBERNETES} {{",
            "  pods verified",
            "  ttl 30",
            "  endpoint_pod_names",
            "  fallthrough in-addr.arpa",
            "}",
            "log",
            "hosts /etc/other {",
            "  10.0.0.1 a.example b.example",
            "  ttl 60",
            "  fallthrough",
            "}",
            "rewrite name Foo.example.com. web.shop.svc.cluster.local",
            "rewrite stop name suffix .corp .shop.svc.cluster.local",
            "forward corp 10.0.0.1 {",
            "  except a.corp b.corp",
            "  force_tcp",
            "  max_concurrent 7",
            "  health_check 5s",
            "}",
            "cache 60 {",
            "  success 100 50",
            "  denial 10",
            "  serve_stale 1h",
            "  prefetch 3 1m 10%",
            "}",
        ),
        DOMAIN,
    ).blocks
    assert only.kubernetes == Kubernetes("verified", 30, True) and only.logs
    assert only.hosts == Hosts("/etc/other", ("10.0.0.1 a.example b.example",), 60, True)
    assert only.rewrites == (
        Rewrite("exact", "foo.example.com", "web.shop.svc.cluster.local"),
        Rewrite("suffix", ".corp", ".shop.svc.cluster.local"),
    )
    (forward,) = only.forwards
    assert forward.excepted == ("a.corp", "b.corp") and forward.by_tcp and forward.most == 7
    assert only.keeping == Keeping(50, 60, 100, 10, 3600, 3)


COMMON = """
import /etc/coredns/custom/*.server
.:53 {
    log . {
        class error denial
    }
    errors {
        stacktrace
    }
    health :8080 {
        lameduck 5s
    }
    ready :8181
    autopath @kubernetes
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    hosts /etc/coredns/NodeHosts {
        192.0.2.8 inline.example
        ttl 60
        reload 15s
        fallthrough
    }
    rewrite stop {
        name regex (.*)\\.shop\\.example\\.$ {1}.shop.svc.cluster.local
        answer name (.*)\\.shop\\.svc\\.cluster\\.local {1}.shop.example
    }
    template IN A dev.example {
        match ^(?P<n>[0-9]+)[.]dev[.]example[.]$
        answer "{{ .Name }} 60 IN A 10.0.0.{{ .Group.n }}"
        fallthrough
    }
    prometheus 0.0.0.0:9153
    import custom/*.override
    forward . /etc/resolv.conf {
        max_concurrent 1000
        prefer_udp
    }
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loop
    reload 10s
    loadbalance round_robin
}
corp.example:53 {
    errors
    cache 30
    forward . 10.150.0.1
}
"""


def test_what_people_have_is_understood() -> None:
    """Of kubeadm, k3s and clouds, with all that their manuals show."""
    config = read(COMMON, DOMAIN, {"NodeHosts": "192.0.2.9 node.example\n"})
    first, second = config.blocks
    assert first.logs and first.finds_loops and first.kubernetes == Kubernetes("insecure", 30)
    assert first.hosts == Hosts("", ("192.0.2.8 inline.example", "192.0.2.9 node.example"), 60, True)
    assert first.rewrites[0].apply("web.shop.example") == "web.shop.svc.cluster.local"
    made = first.templates[0].answer("7.dev.example", A)
    assert made is not None and [record.data for record in made.answers] == [bytes((10, 0, 0, 7))]
    assert second.zones == ("corp.example",)


def test_a_hosts_file_elsewhere_is_the_nodes() -> None:
    (only,) = read(block(KUBERNETES, "hosts /etc/hosts {", "fallthrough", "}"), DOMAIN, {"hosts": "x"}).blocks
    assert only.hosts == Hosts("/etc/hosts", falls_through=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (block("errors"), "line 1: no block has 'kubernetes cluster.local'"),
        ("", "line 1: no block has 'kubernetes cluster.local'"),
        (block("kubernetes other.local"), "line 2: the cluster's domain is cluster.local, not 'other.local'"),
        (
            block(f"{KUBERNETES} {{", "endpoint https://a", "}"),
            "line 2: kubernetes: 'endpoint https://a' is not",
        ),
        (block(KUBERNETES, "geoip /db"), "line 3: the plugin 'geoip' is not one of sampan's"),
        (block(KUBERNETES, "forward ."), "line 3: forward needs a zone and where to ask"),
        (
            block(KUBERNETES, "forward . dns.example"),
            "line 3: 'dns.example' is neither an address nor a file",
        ),
        (block(KUBERNETES, "forward . https://a"), "line 3: 'https://a': ask by dns:// or tls://"),
        (block(KUBERNETES, "cache soon {", "prefetch x", "}"), "line 3: cache: 'x' is no number"),
        (block(KUBERNETES, "prometheus :9999"), "line 3: metrics are served on port 9153 alone"),
        (block(KUBERNETES, "rewrite class CH IN"), "line 3: rewrite knows"),
        (block(KUBERNETES, zones=".:54"), "line 1: '.:54': names are served on port 53 alone"),
        (block(KUBERNETES, zones="tls://."), "line 1: 'tls://.': only plain DNS is served"),
        (block(KUBERNETES, zones="10.0.0.0/8"), "line 1: '10.0.0.0/8': write a reverse zone by its name"),
        (block(KUBERNETES) * 2, "line 4: the zone '.' has a block already"),
    ],
)
def test_what_is_not_meant_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(CorefileError) as refusal:
        read(text, DOMAIN)
    assert str(refusal.value).startswith(why)
