from __future__ import annotations

from sampan.client.expectations import Expectations


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_nothing_expected_is_satisfied() -> None:
    assert Expectations().satisfied("rs")


def test_creations_are_counted() -> None:
    expectations = Expectations()
    expectations.expect_creations("rs", 2)
    expectations.creation_observed("rs")
    assert not expectations.satisfied("rs")
    assert expectations.satisfied("other")
    expectations.creation_observed("rs")
    assert expectations.satisfied("rs")
    expectations.creation_observed("rs")
    expectations.expect_creations("rs", 1)
    assert not expectations.satisfied("rs"), "one observed too many must not count for the next"


def test_deletions_are_known_by_name() -> None:
    expectations = Expectations()
    expectations.expect_deletions("rs", ["a", "b"])
    expectations.deletion_observed("rs", "a")
    expectations.deletion_observed("rs", "a")
    expectations.deletion_observed("rs", "unknown")
    assert not expectations.satisfied("rs")
    expectations.deletion_observed("rs", "b")
    assert expectations.satisfied("rs")


def test_what_never_comes_is_waited_for_five_minutes() -> None:
    clock = Clock()
    expectations = Expectations(clock=clock)
    expectations.expect_creations("rs", 1)
    clock.now_s = 299
    assert not expectations.satisfied("rs")
    clock.now_s = 301
    assert expectations.satisfied("rs")


def test_a_forgotten_owner_expects_nothing() -> None:
    expectations = Expectations()
    expectations.expect_creations("rs", 1)
    expectations.forget("rs")
    assert expectations.satisfied("rs")
