from __future__ import annotations

from typing import Any

import pytest

from sampan.api.podsecurity.configuration import API_VERSION, KIND, PodSecurityConfig, parse
from sampan.api.podsecurity.policy import LevelVersion, Policy


def document(**more: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, **more}


def test_a_whole_one() -> None:
    found = parse(
        document(
            defaults={"enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted"},
            exemptions={"usernames": ["ann"], "namespaces": ["kube-system"], "runtimeClasses": []},
        )
    )
    policy = Policy(LevelVersion("baseline", 30), warn=LevelVersion("restricted"))
    assert found == PodSecurityConfig(policy, frozenset({"ann"}), frozenset({"kube-system"}))
    assert parse(document(defaults=None)) == PodSecurityConfig()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "Pod"}, f"it is no {KIND} of {API_VERSION}"),
        (document(default={}), "unknown field default; known are apiVersion, kind, defaults, exemptions"),
        (document(defaults={"enforced": "x"}), "unknown field defaults.enforced; known are enforce, "),
        (document(defaults=[]), None),
        (document(defaults=["x"]), "defaults must be an object"),
        (
            document(defaults={"warn": "strict"}),
            'defaults.warn: Invalid value: "strict": must be one of privileged, baseline, restricted',
        ),
        (
            document(defaults={"audit-version": 1.3}),
            'defaults.audit-version: Invalid value: "1.3": must be "latest" or "v1.x"',
        ),
        (document(exemptions={"namespaces": "x"}), "exemptions.namespaces must be a list of names"),
    ],
)
def test_what_is_wrong_is_said(wrong, message) -> None:
    if message is None:
        assert parse(wrong) == PodSecurityConfig()
        return
    with pytest.raises(ValueError) as caught:
        parse(wrong)
    assert str(caught.value).startswith(message)
