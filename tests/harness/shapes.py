"""Hypothesis strategies for objects of the right types and any values, made from the schema."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sampan.api import defaults, schema
from sampan.api.resources import Resource, all_resources

# Texts that mean something somewhere, so that rules are reached and not only passed by.
_WORDS = """
a web A_b -x a.b a/b a/b/c .. ../x /x 0 1 50% -1 zz v1 10.0.0.1 ::1 fe80::1 10.0.0.0/8 1Gi 1e3 http @daily
Always Never OnFailure None ClusterIP NodePort LoadBalancer ExternalName TCP RollingUpdate Recreate ClientIP
Local IPv4 IPv6 FQDN Exists In Gt Equal Localhost Indexed Container requests.cpu metadata.name
metadata.labels['a'] spec.nodeName
"""
WORDS = (*_WORDS.split(), "", "x" * 300, "* * * * *", "\u00e9\n")
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(WORDS),
    "bool": st.booleans(),
    "int32": st.sampled_from((-1, 0, 1, 80, 420, 65536, 2**31 - 1)),
    "int64": st.sampled_from((-1, 0, 1, 30, 2**40)),
    "double": st.sampled_from((0.0, 1.5)),
    "bytes": st.sampled_from(("", "e30=", "YQ==", "!!")),
    "time": st.sampled_from(("2025-01-01T00:00:00Z",)),
    "micro-time": st.sampled_from(("2025-01-01T00:00:00.000001Z",)),
    "quantity": st.sampled_from(("0", "1", "-1", "100m", "1Gi", "1.5", "bad", "", 5, 0.1)),
    "int-or-string": st.sampled_from((0, 1, -1, 80, 70000, "25%", "101%", "http", "bad_name", "")),
}
MAX_DEPTH = 12


def values(type_: schema.Type, depth: int = 0) -> st.SearchStrategy[Any]:
    if type_.code == "object":
        return structs(type_.definition, depth)
    if type_.code == "list":
        return st.deferred(lambda: st.lists(values(type_.item, depth + 1), max_size=2))
    if type_.code == "map":
        keys = st.sampled_from((*WORDS[:8], "cpu", "memory", "storage", "example.com/gpu", "hugepages-2Mi"))
        return st.deferred(lambda: st.dictionaries(keys, values(type_.item, depth + 1), max_size=2))
    return SCALARS.get(type_.code, st.just({}))


def structs(definition: schema.Definition, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    if depth > MAX_DEPTH:
        return st.just({})

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        fields = list(definition.fields.values())
        if not fields:
            return {}
        chosen = draw(st.lists(st.sampled_from(fields), unique_by=lambda field: field.name, max_size=4))
        return {field.name: draw(values(field.type, depth + 1)) for field in chosen}

    return build()


def objects(resource: Resource) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of a resource as decoding lets them through."""
    found = schema.find(resource.api_version, resource.kind)
    assert found is not None, f"no schema of {resource.qualified}"
    return structs(found).map(lambda obj: {**obj, "metadata": obj.get("metadata") or {}})


def served() -> list[Resource]:
    return [resource for resource in all_resources() if resource.served]


def defaulted() -> list[Resource]:
    """The served resources whose kind has defaults of its own."""
    return [resource for resource in served() if _has_defaults(resource)]


def _has_defaults(resource: Resource) -> bool:
    obj: dict[str, Any] = {"metadata": {}}
    defaults.apply(resource, obj)
    return len(obj) > 1
