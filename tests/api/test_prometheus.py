from __future__ import annotations

from sampan.api.prometheus import Family, Histogram, Sample, text


def test_families_as_text() -> None:
    up = Family("up", "gauge", "Whether it is.", [Sample(1, {"node": 'a"b\\'}), Sample(0.5, at_ms=12)])
    assert text([up, Family("none", "counter", "Nothing.", [])]) == (
        b'# HELP up Whether it is.\n# TYPE up gauge\nup{node="a\\"b\\\\"} 1\nup 0.5 12\n'
    )
    assert text([]) == b""


def test_a_histogram_counts_what_lies_at_or_below_each_bound() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(value)
    assert text([Family("t", "histogram", "T.", histogram.samples({"verb": "GET"}))]).decode().splitlines()[
        2:
    ] == [
        't_bucket{verb="GET",le="0.1"} 2',
        't_bucket{verb="GET",le="1"} 3',
        't_bucket{verb="GET",le="+Inf"} 4',
        't_sum{verb="GET"} 3.65',
        't_count{verb="GET"} 4',
    ]
