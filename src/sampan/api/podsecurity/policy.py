"""What a namespace asks of its Pods: a level and a version for each of the modes enforce, audit and warn.

Labels: `pod-security.kubernetes.io/MODE` and `pod-security.kubernetes.io/MODE-version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sampan.api.errors import FieldError, invalid_value

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
"""By strictness."""

_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_LATEST = 1 << 31


@dataclass(frozen=True, slots=True)
class LevelVersion:
    """`minor` of version v1.MINOR; None is the latest there is."""

    level: str = "privileged"
    minor: int | None = None

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor is None else f'v1.{self.minor}'}"

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)

    def reaches(self, minor: int) -> bool:
        """Whether what came with v1.`minor` holds in this version."""
        return (_LATEST if self.minor is None else self.minor) >= minor


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()


def of_namespace(labels: Mapping[str, str], default: Policy = Policy()) -> tuple[Policy, list[FieldError]]:
    """The policy, and what is wrong with the labels.

    A level nobody knows is `restricted` where it is enforced, and asks nothing in the other modes; a version
    nobody knows is the latest.
    """
    found, broken = default, []
    for mode, unknown in (("enforce", "restricted"), ("audit", "privileged"), ("warn", "privileged")):
        asked: LevelVersion = getattr(found, mode)
        level = labels.get(PREFIX + mode)
        if level is not None:
            if level not in LEVELS:
                broken.append(_invalid(mode, level, f"must be one of {', '.join(LEVELS)}"))
            asked = replace(asked, level=level if level in LEVELS else unknown)
        version = labels.get(f"{PREFIX}{mode}-version")
        if version is not None:
            match = _VERSION.fullmatch(version)
            if match is None and version != "latest":
                broken.append(_invalid(f"{mode}-version", version, 'must be "latest" or "v1.x"'))
            asked = replace(asked, minor=int(match[1]) if match else None)
        found = replace(found, **{mode: asked})
    return found, broken


def _invalid(label: str, value: str, sentence: str) -> FieldError:
    return invalid_value(f"metadata.labels[{PREFIX}{label}]", value, sentence)
