"""Conditions in a status: a list of {type, status, reason, message, lastTransitionTime}, one entry a type.

Pure: every function answers a new list.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.objects import Obj


def find(conditions: Sequence[Obj], kind: str) -> Obj | None:
    return next((condition for condition in conditions if condition["type"] == kind), None)


def without(conditions: Sequence[Obj], kind: str) -> list[Obj]:
    return [condition for condition in conditions if condition["type"] != kind]


def with_condition(conditions: Sequence[Obj], new: Obj) -> list[Obj]:
    """`new` in place of the entry of its type; the time of the last transition moves with `status` only."""
    result: list[Obj] = []
    replaced = False
    for old in conditions:
        if old["type"] != new["type"]:
            result.append(old)
            continue
        replaced = True
        if old["status"] == new["status"] and "lastTransitionTime" in old:
            new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
        result.append(new)
    if not replaced:
        result.append(new)
    return result
