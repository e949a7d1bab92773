"""What `kubectl describe namespace` shows of a namespace that is being emptied, in upstream's words."""

from __future__ import annotations

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.controllers.namespace.progress import conditions, remains

NOW = 1767323045.0
EMPTY = {
    "NamespaceDeletionDiscoveryFailure": (
        "False",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("False", "ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "False",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


def obj(*finalizers: str) -> Obj:
    return {"metadata": {"finalizers": list(finalizers)}}


def said(listed: list[Obj]) -> dict[str, tuple[str, str, str]]:
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in listed}


def test_an_empty_namespace_says_that_everything_went_well() -> None:
    what = remains({"pods.": []}, [])
    assert what.is_empty
    listed = conditions([], what, NOW)
    assert said(listed) == EMPTY
    assert {each["lastTransitionTime"] for each in listed} == {format_time(NOW)}


def test_what_remains_is_counted_by_resource_and_by_finalizer() -> None:
    what = remains({"pods.": [obj("b/x"), obj("a/x", "b/x")], "deployments.apps": [obj()]}, [])
    assert not what.is_empty
    assert said(conditions([], what, NOW)) == EMPTY | {
        "NamespaceContentRemaining": (
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: deployments.apps has 1 resource instances, "
            "pods. has 2 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: a/x in 1 resource instances, "
            "b/x in 2 resource instances",
        ),
    }


def test_a_failure_is_said_and_the_namespace_not_empty() -> None:
    what = remains({}, ["pods: no", "secrets: neither"])
    assert not what.is_empty
    assert said(conditions([], what, NOW)) == EMPTY | {
        "NamespaceDeletionContentFailure": (
            "True",
            "ContentDeletionFailed",
            "Failed to delete all resource types, 2 remaining: pods: no, secrets: neither",
        )
    }


def test_conditions_of_others_stay_and_times_move_with_the_status() -> None:
    other = {"type": "Custom", "status": "True"}
    first = conditions([other], remains({"pods.": [obj()]}, []), NOW)
    later = conditions(first, remains({}, []), NOW + 60)
    assert later[0] == other and len(later) == len(first) == 6
    moved = {each["type"] for each in later if each.get("lastTransitionTime") == format_time(NOW + 60)}
    assert moved == {"NamespaceContentRemaining"}
