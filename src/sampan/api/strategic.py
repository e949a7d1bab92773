"""Strategic merge patch: a merge patch that knows which lists are maps by a key, and takes directives.

| directive | where | effect |
|---|---|---|
| `$patch: replace` | map | the rest of the patch map takes the place of the whole map |
| `$patch: replace` | item of a keyed list | the other items of the patch take the place of the whole list |
| `$patch: delete` | map, item of a keyed list | empties the map; removes the items with that key |
| `$retainKeys: [...]` | map | keys not named are removed first |
| `$setElementOrder/F: [...]` | beside list F | the order of what is named |
| `$deleteFromPrimitiveList/F: [...]` | beside list F | removes these values from a list of scalars |

Source: the documents "strategic merge patch" and "preserve order in strategic merge patch" of API
machinery; the order of items that no directive names, and the words of refusals, are those seen from
upstream's library.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from sampan.api.objects import Obj
from sampan.api.schema import Definition, Field, Type

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
SET_ELEMENT_ORDER = "$setElementOrder/"
DELETE_FROM_PRIMITIVE_LIST = "$deleteFromPrimitiveList/"


class BadPatch(Exception):
    """A patch that cannot be meant; nothing of it is applied."""


def merge(target: Obj, patch: Obj, definition: Definition | None) -> Obj:
    """Consumes both. `definition` is None where there is no schema (values of maps, untyped fields)."""
    if PATCH in patch:
        return _directed(patch)
    _retain(target, patch)
    deletions, orders, changes = _split(patch)
    for name in deletions.keys() | orders.keys():
        if definition is not None and name not in definition.fields and name in orders:
            raise BadPatch(
                f'unable to find api field in struct {definition.short_name} for the json field "{name}"'
            )
    for name, values in deletions.items():
        if isinstance(values, list) and isinstance(target.get(name), list):
            target[name] = [item for item in target[name] if item not in values]
    for name, value in changes.items():
        if value is None:
            target.pop(name, None)
        else:
            field = definition.fields.get(name) if definition is not None else None
            target[name] = _merge_value(target.get(name), value, field, orders.pop(name, None))
    for name, order in orders.items():
        field = definition.fields.get(name) if definition is not None else None
        _check_list(order)
        if name in target and field is not None:
            _check_list(target[name])
            target[name] = _arrange(target[name], target[name], order, _identity(field))
    return target


def _directed(patch: Obj) -> Obj:
    directive = patch.pop(PATCH)
    if directive == "replace":
        return _clean(patch)
    if directive == "delete":
        return {}
    raise BadPatch(f"unknown patch type: {directive} in map: {_shown({PATCH: directive, **patch})}")


def _retain(target: Obj, patch: Obj) -> None:
    if RETAIN_KEYS not in patch:
        return
    retained = patch.pop(RETAIN_KEYS)
    if not isinstance(retained, list) or any(
        value is not None and key not in retained for key, value in patch.items() if not key.startswith("$")
    ):
        raise BadPatch("invalid patch format of retainKeys")
    for key in [key for key in target if key not in retained]:
        del target[key]


def _split(patch: Obj) -> tuple[Obj, Obj, Obj]:
    """(deletions from scalar lists, element orders, changes), each by field name."""
    deletions: Obj = {}
    orders: Obj = {}
    changes: Obj = {}
    for key, value in patch.items():
        if key.startswith(DELETE_FROM_PRIMITIVE_LIST):
            deletions[key.removeprefix(DELETE_FROM_PRIMITIVE_LIST)] = value
        elif key.startswith(SET_ELEMENT_ORDER):
            orders[key.removeprefix(SET_ELEMENT_ORDER)] = value
        else:
            changes[key] = value
    return deletions, orders, changes


def _merge_value(target: Any, patch: Any, field: Field | None, order: Any) -> Any:
    replaced = field is not None and "replace" in field.patch_strategies
    if isinstance(patch, dict) and not replaced:
        return merge(
            target if isinstance(target, dict) else {}, patch, _struct(field.type if field else None)
        )
    if isinstance(patch, list) and field is not None and "merge" in field.patch_strategies:
        return (
            _merge_list(target, patch, field, order) if isinstance(target, list) else _new_list(patch, field)
        )
    return _clean(patch)


def _struct(type_: Type | None) -> Definition | None:
    return type_.definition if type_ is not None and type_.code == "object" else None


def _merge_list(target: list[Any], patch: list[Any], field: Field, order: Any) -> list[Any]:
    kinds = {isinstance(item, dict) for item in (*target, *patch)}
    if len(kinds) > 1 or (field.patch_merge_key and kinds == {False}):
        raise BadPatch(f"list element types are not identical: {_shown([target, patch])}")
    if order is not None:
        _check_list(order)
    if not field.patch_merge_key:
        merged = list(dict.fromkeys([*target, *patch])) if _hashable(target, patch) else [*target, *patch]
        return _arrange(merged, target, _checked_order(patch, order, _itself), _itself)
    key = _by_key(field.patch_merge_key)
    directives = [item for item in patch if PATCH in item]
    items = [item for item in patch if PATCH not in item]
    if any(item[PATCH] == "replace" for item in directives):
        return _clean(items)
    merged = target
    for directive in directives:
        if directive[PATCH] != "delete":
            raise BadPatch(f"unknown patch type: {directive[PATCH]} in map: {_shown(directive)}")
        merged = [item for item in merged if key(item) != key(directive)]
    kept = list(merged)
    for item in items:
        wanted = key(item)
        index = next((at for at, existing in enumerate(merged) if key(existing) == wanted), None)
        if index is None:
            merged = [*merged, merge({}, item, _struct(field.type.item))]
        else:
            merged[index] = merge(merged[index], item, _struct(field.type.item))
    return _arrange(merged, kept, _checked_order(items, order, key), key)


def _new_list(patch: list[Any], field: Field) -> list[Any]:
    """A list that was not there comes as it stands, also with items whose merge keys are equal."""
    element = _struct(field.type.item)
    return [
        merge({}, item, element) if isinstance(item, dict) else item
        for item in patch
        if not (isinstance(item, dict) and PATCH in item)
    ]


def _hashable(*lists: list[Any]) -> bool:
    return all(isinstance(item, Hashable) for items in lists for item in items)


# --- order ---

Identity = Callable[[Any], Any]


def _itself(item: Any) -> Any:
    return item


def _by_key(merge_key: str) -> Identity:
    def identity(item: Any) -> Any:
        if not isinstance(item, dict) or merge_key not in item:
            raise BadPatch(f"map: {_shown(item)} does not contain declared merge key: {merge_key}")
        return item[merge_key]

    return identity


def _identity(field: Field) -> Identity:
    return _by_key(field.patch_merge_key) if field.patch_merge_key else _itself


def _checked_order(patch: list[Any], order: Any, identity: Identity) -> list[Any]:
    """The order to go by: the one given, which must name the patch's items in their own order, or the
    patch's.
    """
    if order is None:
        return patch
    named = [identity(item) for item in order]
    places = [named.index(identity(item)) if identity(item) in named else -1 for item in patch]
    if -1 in places or places != sorted(places):
        raise BadPatch(
            f"The order in patch list:\n{_shown(patch)}\n "
            f"doesn't match $setElementOrder list:\n{_shown(order)}\n"
        )
    return order


def _arrange(merged: list[Any], original: list[Any], order: list[Any], identity: Identity) -> list[Any]:
    """Items that `order` names come in its order, the others in their original one; between the two an item
    goes first if it did in the original, and a new one as early as it can."""
    wanted = [identity(item) for item in order]
    before = [identity(item) for item in original]
    named = sorted(
        (item for item in merged if identity(item) in wanted), key=lambda item: wanted.index(identity(item))
    )
    others = [item for item in merged if identity(item) not in wanted]
    result: list[Any] = []
    while named and others:
        place = before.index(identity(named[0])) if identity(named[0]) in before else -1
        other_place = before.index(identity(others[0])) if identity(others[0]) in before else len(before)
        result.append((named if place < other_place else others).pop(0))
    return result + named + others


def _check_list(value: Any) -> None:
    if not isinstance(value, list):
        kind = "map[string]interface {}" if isinstance(value, dict) else "string"
        raise BadPatch(f"expected a []interface {{}}, but received a {kind}")


# --- values ---


def _clean(value: Any) -> Any:
    """Without nulls: in what a patch brings in anew they say that something is not to be there."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def _shown(value: Any) -> str:
    """As Go prints it: `map[name:a]`, `[a b]`."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    return "<nil>" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
