from __future__ import annotations

import pytest

from sampan.cli import ranges
from sampan.cli.errors import UserError


@pytest.mark.parametrize(
    ("text", "found"),
    [("30000-32767", (30000, 32767)), ("8000-8000", (8000, 8000)), ("30000+99", (30000, 30099))],
)
def test_ranges_of_node_ports(text: str, found: tuple[int, int]) -> None:
    assert ranges.node_ports(text) == found


@pytest.mark.parametrize("text", ["", "30000", "a-b", "3-2", "0-10", "60000-70000", "1--2", "65000+1000"])
def test_what_is_no_range_of_node_ports_is_told(text: str) -> None:
    with pytest.raises(UserError) as caught:
        ranges.node_ports(text)
    assert repr(text) in str(caught.value)


def test_networks() -> None:
    assert ranges.networks("--external-ips", "192.0.2.0/24,2001:db8::/64") == [
        "192.0.2.0/24",
        "2001:db8::/64",
    ]
    assert ranges.networks("--external-ips", "") == []
    for text in ("192.0.2.1/24", "home"):
        with pytest.raises(UserError):
            ranges.networks("--external-ips", text)
