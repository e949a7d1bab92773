"""What is counted, under CoreDNS's names."""

from sampan.api import prometheus
from sampan.dns.config import Forward, Keeping
from sampan.dns.forward import Forwarder
from sampan.dns.metrics import Metrics
from sampan.dns.upstream import Upstream

SERVER = 'server="dns://:53",zone=".",view=""'


def test_the_page() -> None:
    metrics = Metrics()
    metrics.count("udp", 0, 1, 0, "kubernetes", (40, 60), times=3)
    metrics.count("udp", 1, 28, 3, "kubernetes", (40, 600))
    for kind in (999, 998):
        metrics.count("tcp", 0, kind, 0, "forward", (40, 60))
    metrics.took(0.0003, 2)
    forwarder = Forwarder(Forward("", (Upstream("10.0.0.1"),)), Keeping())
    forwarder.asked[Upstream("10.0.0.1")] += 2
    text = prometheus.text(metrics.families([forwarder], "1.0")).decode()
    for line in (
        f'coredns_dns_requests_total{{{SERVER},proto="udp",family="1",type="A"}} 3',
        f'coredns_dns_requests_total{{{SERVER},proto="udp",family="2",type="AAAA"}} 1',
        f'coredns_dns_requests_total{{{SERVER},proto="tcp",family="1",type="other"}} 2',
        f'coredns_dns_responses_total{{{SERVER},rcode="NXDOMAIN",plugin="kubernetes"}} 1',
        f'coredns_dns_request_duration_seconds_bucket{{{SERVER},le="0.0005"}} 2',
        f"coredns_dns_request_duration_seconds_count{{{SERVER}}} 2",
        f'coredns_dns_response_size_bytes_bucket{{{SERVER},proto="udp",le="100"}} 3',
        'coredns_cache_misses_total{server="dns://:53",zones=".",view=""} 0',
        'coredns_forward_requests_total{to="10.0.0.1:53"} 2',
        "coredns_forward_max_concurrent_rejects_total 0",
        "coredns_reload_failed_total 0",
    ):
        assert line in text.splitlines(), line
