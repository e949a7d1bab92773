"""Every field of every kind, given what nobody would give it: refused in words, or served; never a crash."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api import decode, defaults, schema, tables, validation
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import Resource, all_resources, resource
from sampan.api.schema import Definition, Type

DEEPEST = 12
PODS = resource("", "v1", "pods")
TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
SCHEMA_PROPS = "JSONSchemaProps"

Path = tuple[str, ...]
"""Field names; `[]` is the first item of a list, `{}` a key of a map."""

EXTREMES: dict[str, tuple[Any, ...]] = {
    "string": ("", " ", "-", "a", "A_b", "x" * 300, "../..", "/", "0", "ä", "a/b/c", "\n", "{{", "$(X)"),
    "bool": (True, False),
    "int32": (-(2**31), -1, 0, 1, 65536, 2**31 - 1),
    "int64": (-(2**63), -1, 0, 1, 2**63 - 1),
    "double": (-1.5, 0.0, 1e308),
    "bytes": ("", "eA=="),
    "time": ("2026-01-01T00:00:00Z",),
    "micro-time": ("2026-01-01T00:00:00.000001Z",),
    "quantity": ("-1", "0", "1", "1e9999", "1n", "9999999999999999999999", "1.5Gi", "0.0001"),
    "int-or-string": (-1, 0, 70000, "", "http", "150%", "-1%", "%"),
    "any": ({}, [], "x", 1, None),
    "schema-or": ({},),
}
MISFITS: dict[str, Any] = {
    "string": 1,
    "bool": "yes",
    "int32": "1",
    "int64": 1.5,
    "double": "x",
    "bytes": 1,
    "time": 1,
    "micro-time": 1,
    "quantity": {"a": 1},
    "int-or-string": True,
    "object": "x",
    "list": {"a": 1},
    "map": [1],
}


def paths(
    definition: Definition, before: Path = (), seen: tuple[str, ...] = ()
) -> Iterator[tuple[Path, Type]]:
    """Every field below a struct, structs and lists included, each recursion once."""
    if definition.name in seen or len(before) > DEEPEST:
        return
    for name, field in definition.fields.items():
        yield from _typed((*before, name), field.type, (*seen, definition.name))


def _typed(path: Path, kind: Type, seen: tuple[str, ...]) -> Iterator[tuple[Path, Type]]:
    yield path, kind
    if kind.code == "object":
        yield from paths(kind.definition, path, seen)
    elif kind.code == "list":
        yield from _typed((*path, "[]"), kind.item, seen)
    elif kind.code == "map":
        yield from _typed((*path, "{}"), kind.item, seen)


def put(obj: Any, path: Path, value: Any) -> Any:
    """`obj` with the value there; what is missing on the way is made."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if first == "[]":
        listed = list(obj) if isinstance(obj, list) and obj else [None]
        return [put(listed[0], rest, value), *listed[1:]]
    mapped = dict(obj) if isinstance(obj, dict) else {}
    key = "key" if first == "{}" else first
    mapped[key] = put(mapped.get(key), rest, value)
    return mapped


POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
        "initContainers": [{"name": "i", "image": "i"}],
        "volumes": [{"name": "v"}],
    },
}


def served_kinds() -> list[Resource]:
    found = {(each.api_version, each.kind): each for each in all_resources()}
    return [each for (version, kind), each in found.items() if schema.find(version, kind)]


def kind_definition(of: Resource) -> Definition:
    found = schema.find(of.api_version, of.kind)
    assert found is not None
    return found


def base(of: Resource) -> Obj:
    if of is PODS:
        return copy.deepcopy(POD)
    metadata = {"name": "x", **({"namespace": "default"} if of.namespaced else {})}
    return {"apiVersion": of.api_version, "kind": of.kind, "metadata": metadata}


def examined(of: Resource) -> Iterator[tuple[Path, Type]]:
    """Templates of Pods are examined as Pods; schemas of custom resources are not walked here."""
    apart = () if of is PODS else (TEMPLATE,)
    for path, kind in paths(kind_definition(of), seen=apart):
        if path[0] not in ("apiVersion", "kind") and SCHEMA_PROPS not in kind.reference:
            yield path, kind


@pytest.mark.parametrize("of", served_kinds(), ids=lambda of: f"{of.group}/{of.version}/{of.kind}")
def test_extreme_values_are_judged(of: Resource) -> None:
    for path, kind in examined(of):
        for value in EXTREMES.get(kind.code, ({}, []) if kind.code == "object" else ([],)):
            if kind.code in ("object", "map"):
                value = {}
            obj = put(base(of), path, value)
            try:
                judge(of, obj)
            except StatusError:
                continue
            except Exception as error:
                raise AssertionError(f"{'.'.join(path)} = {value!r}: {error!r}") from error


def judge(of: Resource, obj: Obj) -> None:
    """What a create does to an object before it is stored, and how it is shown."""
    decoded, _ = decode.decode(orjson.dumps(obj), "application/json", of)
    defaults.apply(of, decoded)
    plain = base(of)
    defaults.apply(of, plain)
    validation.update(of, decoded, plain)
    if not validation.create(of, decoded):
        validation.update(of, decoded, copy.deepcopy(decoded))
        validation.update_status(of, decoded, plain)
        tables.table(of, [decoded], {}, "Object", time.time())


@pytest.mark.parametrize("of", served_kinds(), ids=lambda of: f"{of.group}/{of.version}/{of.kind}")
def test_values_of_the_wrong_type_are_refused_by_name(of: Resource) -> None:
    for path, kind in examined(of):
        if kind.code not in MISFITS:
            continue
        obj = put(base(of), path, MISFITS[kind.code])
        with pytest.raises(StatusError) as caught:
            decode.decode(orjson.dumps(obj), "application/json", of)
            raise AssertionError(f"{'.'.join(path)} takes {MISFITS[kind.code]!r}")
        assert caught.value.code == 400
        named = next(name for name in reversed(path) if name not in ("[]", "{}"))
        assert named in caught.value.message or kind.code in ("quantity", "time", "micro-time"), path


POD_FIELDS = [
    (path, kind.code) for path, kind in examined(PODS) if kind.code in EXTREMES and path[0] != "status"
]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_strange_values_together_are_judged(data: st.DataObject) -> None:
    obj = base(PODS)
    for path, code in data.draw(st.lists(st.sampled_from(POD_FIELDS), min_size=2, max_size=8)):
        obj = put(obj, path, data.draw(st.sampled_from(EXTREMES[code])))
    try:
        judge(PODS, obj)
    except StatusError:
        pass
