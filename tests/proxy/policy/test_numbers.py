"""Numbers that last."""

from __future__ import annotations

import pytest

from sampan.proxy.policy import numbers
from sampan.proxy.policy.numbers import Numbers


def test_a_name_has_the_same_number_in_every_process() -> None:
    assert Numbers().of("ingress\nanyone at tcp 80-80") == 0xFD4D9943
    assert Numbers().of("a") == Numbers().of("a") != Numbers().of("b")


def test_names_whose_hashes_meet_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_candidates", lambda name: iter((20, 21, 22)))
    found = Numbers()
    assert [found.of("a"), found.of("b"), found.of("a")] == [20, 21, 20]
    found.forget("a")
    assert [found.of("c"), found.of("b")] == [20, 21]
