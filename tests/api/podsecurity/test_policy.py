from __future__ import annotations

import pytest

from sampan.api.podsecurity.policy import LevelVersion, Policy, of_namespace

PREFIX = "pod-security.kubernetes.io/"


def labels(**asked: str) -> dict[str, str]:
    return {PREFIX + mode.replace("_", "-"): value for mode, value in asked.items()}


def test_a_namespace_that_says_nothing_gets_the_default() -> None:
    assert of_namespace({}) == (Policy(), [])
    strict = Policy(warn=LevelVersion("restricted"))
    assert of_namespace({"a": "b"}, strict) == (strict, [])


def test_each_mode_has_its_level_and_version() -> None:
    found, broken = of_namespace(
        labels(enforce="baseline", enforce_version="v1.24", warn="restricted", audit_version="latest")
    )
    assert not broken
    assert found == Policy(LevelVersion("baseline", 24), LevelVersion(), LevelVersion("restricted"))
    assert [str(mode) for mode in (found.enforce, found.warn)] == ["baseline:v1.24", "restricted:latest"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            labels(enforce="strict"),
            'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": '
            "must be one of privileged, baseline, restricted",
        ),
        (
            labels(warn_version="1.24"),
            'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.24": '
            'must be "latest" or "v1.x"',
        ),
        (
            labels(audit_version="v2.0"),
            'metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "v2.0": '
            'must be "latest" or "v1.x"',
        ),
    ],
)
def test_wrong_labels_are_told(asked, message) -> None:
    assert [error.text for error in of_namespace(asked)[1]] == [message]


def test_an_unknown_level_is_the_strictest_only_where_it_is_enforced() -> None:
    found, _ = of_namespace(labels(enforce="x", warn="x", audit="x"))
    assert found == Policy(LevelVersion("restricted"), LevelVersion(), LevelVersion())


@pytest.mark.parametrize(("minor", "reached"), [(None, True), (25, True), (26, True), (24, False)])
def test_what_a_version_reaches(minor, reached) -> None:
    assert LevelVersion("baseline", minor).reaches(25) is reached
