"""Pods for the tests of Pod Security, and what they are told."""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj
from sampan.api.podsecurity.checks import told, violations
from sampan.api.podsecurity.policy import LevelVersion

BASE = LevelVersion("baseline")
SAFE: Obj = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(*contexts: Obj | None, **spec: Any) -> Obj:
    """One container, named a, b, c..., for each context."""
    named = [
        {"name": name, **({} if context is None else {"securityContext": context})}
        for name, context in zip("abcdef", contexts or (None,), strict=False)
    ]
    return {"containers": named, **spec}


def shared(**context: Any) -> Obj:
    return {"securityContext": context}


def broken(asked: LevelVersion, spec: Obj, **annotations: str) -> str:
    return told(violations(asked, {"annotations": annotations}, spec))
