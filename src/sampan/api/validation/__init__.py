"""What makes an object wrong, in upstream's words: field, reason, sentence.

Decoding has seen to the types; these are the rules about values. All functions expect objects with their
defaults filled in, change nothing, and return every broken rule in field order. What depends on other objects
(a node port in use, a missing namespace) is the API server's to check.
"""

from __future__ import annotations

from sampan.api.errors import FieldError
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.api.validation import meta
from sampan.api.validation.rules import RULES, Rules

_NONE = Rules()


def _rules(resource: Resource) -> Rules:
    return RULES.get((resource.group, resource.kind), _NONE)


def create(resource: Resource, obj: Obj) -> list[FieldError]:
    """The broken rules of a new object, whose name has been generated."""
    return [*meta.create(resource, obj), *_rules(resource).create(obj)]


def update(resource: Resource, new: Obj, old: Obj) -> list[FieldError]:
    """The broken rules of a change of everything but status."""
    return [*meta.update(resource, new, old), *_rules(resource).update(new, old)]


def update_status(resource: Resource, new: Obj, old: Obj) -> list[FieldError]:
    """The broken rules of a change through the status subresource."""
    return [*meta.update(resource, new, old), *_rules(resource).update_status(new, old)]


def update_part(resource: Resource, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
    """The broken rules of a change through another subresource; one without rules of its own has none."""
    rules = _rules(resource).parts.get(subresource)
    return [] if rules is None else [*meta.update(resource, new, old), *rules(new, old)]
