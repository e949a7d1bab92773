from __future__ import annotations

import pytest

from sampan.kubelet.network import families
from sampan.kubelet.network.contract import NetworkFault


@pytest.mark.parametrize(
    ("text", "found"), [("ipv4", (4,)), ("ipv6", (6,)), ("ipv4,ipv6", (4, 6)), ("ipv6,ipv4", (6, 4))]
)
def test_families_by_name(text: str, found: tuple[int, ...]) -> None:
    assert families.parse(text) == found


@pytest.mark.parametrize("text", ["", "ipv5", "ipv4,ipv4", "IPv4", "ipv4, ipv6"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is none of"):
        families.parse(text)


@pytest.mark.parametrize(
    ("asked", "with_ipv6", "without"),
    [
        ((), (4, 6), (4,)),
        ((4, 6), (4, 6), (4,)),
        ((6, 4), (6, 4), (4,)),
        ((4,), (4,), (4,)),
        ((6,), (6,), None),
    ],
)
def test_what_the_kernel_does_not_have_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[int, ...],
    with_ipv6: tuple[int, ...],
    without: tuple[int, ...] | None,
) -> None:
    monkeypatch.setattr(families, "kernel_has_ipv6", lambda: True)
    assert families.usable(asked) == with_ipv6
    monkeypatch.setattr(families, "kernel_has_ipv6", lambda: False)
    if without is None:
        with pytest.raises(NetworkFault, match="the kernel has no IPv6"):
            families.usable(asked)
    else:
        assert families.usable(asked) == without


def test_who_asks_for_what_there_is_not_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(families, "kernel_has_ipv6", lambda: False)
    families.usable(())
    assert not caplog.records
    families.usable((4, 6))
    assert "IPv4 addresses alone" in caplog.text
