"""What the emptying of a namespace has come to, as conditions of the namespace. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.conditions import with_condition

FINALIZER = "kubernetes"
"""In `spec.finalizers`; a namespace goes when it is off."""


@dataclass(frozen=True, slots=True)
class Remains:
    """`counts` are the objects left by resource, `finalizers` how many objects each of them holds back."""

    counts: Mapping[str, int] = field(default_factory=dict)
    finalizers: Mapping[str, int] = field(default_factory=dict)
    failures: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        return not self.counts and not self.failures


def remains(left: Mapping[str, Sequence[Obj]], failures: Sequence[str]) -> Remains:
    """From the objects left, by `plural.group`, which for the core group ends in the dot."""
    finalizers = Counter(
        finalizer
        for objects in left.values()
        for obj in objects
        for finalizer in obj["metadata"].get("finalizers") or ()
    )
    return Remains({name: len(objects) for name, objects in left.items() if objects}, finalizers, failures)


def conditions(present: Sequence[Obj], what: Remains, now_s: float) -> list[Obj]:
    now = format_time(now_s)
    result = list(present)
    for kind, (holds, reason, message) in _verdicts(what).items():
        condition = {
            "type": kind,
            "status": "True" if holds else "False",
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        result = with_condition(result, condition)
    return result


def _verdicts(what: Remains) -> dict[str, tuple[bool, str, str]]:
    failed = bool(what.failures)
    verdicts = {
        "NamespaceDeletionDiscoveryFailure": (
            False,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        "NamespaceDeletionGroupVersionParsingFailure": (
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": (
            failed,
            "ContentDeletionFailed" if failed else "ContentDeleted",
            f"Failed to delete all resource types, {len(what.failures)} remaining: {', '.join(what.failures)}"
            if failed
            else "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": (False, "ContentRemoved", "All content successfully removed"),
        "NamespaceFinalizersRemaining": (
            False,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    }
    if what.counts:
        listed = ", ".join(
            f"{name} has {count} resource instances" for name, count in sorted(what.counts.items())
        )
        verdicts["NamespaceContentRemaining"] = (
            True,
            "SomeResourcesRemain",
            f"Some resources are remaining: {listed}",
        )
    if what.finalizers:
        listed = ", ".join(
            f"{name} in {count} resource instances" for name, count in sorted(what.finalizers.items())
        )
        verdicts["NamespaceFinalizersRemaining"] = (
            True,
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {listed}",
        )
    return verdicts
