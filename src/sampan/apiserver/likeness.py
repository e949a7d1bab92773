"""What two objects have in common, kept in memory once. Pure.

Objects of a kind differ in names, addresses and times and are alike in the rest, and two versions of one
object are alike in nearly everything: half of what a decoded Service takes is as its neighbour has it. What
equals the model's part at the same place is that part from then on. Places are never mixed, so within one
object nothing is there twice, and a deep copy can be changed in one place alone.
"""

from __future__ import annotations

from typing import Any


def take_over(new: dict[str, Any], model: dict[str, Any]) -> bool:
    """Puts the model's parts where `new` has equal ones; whether all of it is equal."""
    alike = len(new) == len(model)
    for key, value in new.items():
        other = model.get(key)
        if value is other:
            continue
        if _equal(value, other):
            new[key] = other
        else:
            alike = False
    return alike


def _take_over_items(new: list[Any], model: list[Any]) -> bool:
    alike = len(new) == len(model)
    for place, (value, other) in enumerate(zip(new, model, strict=False)):
        if value is other:
            continue
        if _equal(value, other):
            new[place] = other
        else:
            alike = False
    return alike


def _equal(value: Any, other: Any) -> bool:
    """1, 1.0 and True are not the same. Parts of what is not equal may be taken over all the same."""
    kind = type(value)
    if kind is not type(other):
        return False
    if kind is dict:
        return take_over(value, other)
    if kind is list:
        return _take_over_items(value, other)
    return bool(value == other)
