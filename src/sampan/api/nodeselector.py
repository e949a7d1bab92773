"""Node selector terms: which nodes a Pod's affinity, or a volume's, names. Pure.

Source: concepts/scheduling-eviction/assign-pod-node. Terms are alternatives, the requirements of one term all
have to hold; a term without any matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sampan.api.objects import Obj, labels_of, name_of

_INTEGER = re.compile(r"[+-]?[0-9]+")
"""As upstream reads one; Python's own would take `1_0` as well, which a label may hold."""


def selects(selector: Obj, node: Obj) -> bool:
    """Whether any of `selector.nodeSelectorTerms` matches the node."""
    return any(term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ())


def term_matches(term: Obj, node: Obj) -> bool:
    if is_empty(term):
        return False
    labels = labels_of(node)
    fields = {"metadata.name": name_of(node)}
    return all(
        requirement_holds(requirement, labels) for requirement in term.get("matchExpressions") or ()
    ) and all(requirement_holds(requirement, fields) for requirement in term.get("matchFields") or ())


def requirement_holds(requirement: Obj, labels: Mapping[str, str]) -> bool:
    found = labels.get(requirement["key"])
    values = requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return found is not None and found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt" as operator:
            number, limit = _integer(found), _integer(values[0] if values else None)
            if number is None or limit is None:
                return False
            return number > limit if operator == "Gt" else number < limit
        case _:
            return False


def is_empty(term: Obj) -> bool:
    return not term.get("matchExpressions") and not term.get("matchFields")


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and _INTEGER.fullmatch(text) else None
