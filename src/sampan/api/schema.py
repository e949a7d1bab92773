"""The types of all built-in kinds: fields, their types, and how lists and maps merge.

The facts are data (`data/schema.jsonl`, one definition a line, made by `scripts/build-data`). The file is
kept as bytes; a definition becomes objects when somebody first asks for it, so a process pays for the kinds
that it uses.

Other kinds (custom resources) come from elsewhere: whatever offers `find` is a `SchemaSource`, and everything
that needs types takes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import orjson

from sampan.api.resources import DATA

Fields: TypeAlias = "Mapping[str, Field]"


class SchemaSource(Protocol):
    """Where definitions are looked up by the apiVersion and kind that an object carries."""

    def find(self, api_version: str, kind: str) -> Definition | None: ...


class Type:
    """What a field, a list item or a map value is.

    `code` is one of
    - `string`, `bool`, `int32`, `int64`, `double`: the JSON scalars;
    - `bytes` (base64 text), `time`, `micro-time`, `quantity`, `int-or-string`: scalars with a form of their
      own;
    - `object`: a struct, described by `definition`;
    - `list`, `map`: of `element`s;
    - `any`: left as it stands;
    - `schema-or`: a JSONSchemaProps (`definition`), a list of them, or a bare boolean or string.
    """

    __slots__ = ("_definition", "_go_name", "code", "element", "reference")

    def __init__(
        self,
        code: str,
        element: Type | None = None,
        reference: str = "",
        definition: Definition | None = None,
        go_name: str = "",
    ) -> None:
        self.code = code
        self.element = element
        self.reference = reference
        self._definition = definition
        self._go_name = go_name

    @property
    def item(self) -> Type:
        """Of `list` and `map`: what they hold."""
        return self.element or _ANY

    @property
    def definition(self) -> Definition:
        """Of `object` and `schema-or`: the struct. Looked up at first use, since definitions can be
        recursive.
        """
        if self._definition is None:
            self._definition = definition(self.reference)
        return self._definition

    @property
    def go_name(self) -> str:
        """The Go type that decoding errors name, pointers left out: `int32`, `v1.Container`, `[]string`."""
        match self.code:
            case "object":
                return self.definition.go_name
            case "list":
                return f"[]{self.item.go_name}"
            case "map":
                return f"map[string]{self.item.go_name}"
            case code:
                return self._go_name or _GO_NAMES.get(code, "interface {}")


_ANY = Type("any")
_GO_NAMES = {
    "string": "string",
    "bool": "bool",
    "int32": "int32",
    "int64": "int64",
    "double": "float64",
    "bytes": "[]uint8",
    "time": "v1.Time",
    "micro-time": "v1.MicroTime",
    "quantity": "resource.Quantity",
    "int-or-string": "intstr.IntOrString",
}


class Field:
    """One field of a struct and the marks that say how it merges.

    `list_type`: `atomic`, `set`, `map` or "" (atomic); `list_map_keys` are the keys of a `map` list.
    `map_type`: `atomic`, `granular` or "" (granular).
    `patch_strategies`, `patch_merge_key`: strategic merge patch; strategies are `merge`, `replace`,
    `retainKeys`. `default`: only where it is not the zero value; what is missing in a list key counts as it.
    """

    __slots__ = (
        "default",
        "list_map_keys",
        "list_type",
        "map_type",
        "name",
        "patch_merge_key",
        "patch_strategies",
        "required",
        "type",
    )

    def __init__(self, name: str, type_: Type, marks: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.name = name
        self.type = type_
        self.list_type: str = marks.get("list", "")
        self.list_map_keys: tuple[str, ...] = tuple(marks.get("keys", ()))
        self.map_type: str = marks.get("map", "")
        self.patch_strategies: tuple[str, ...] = tuple(filter(None, marks.get("strategy", "").split(",")))
        self.patch_merge_key: str = marks.get("key", "")
        self.required: bool = bool(marks.get("required"))
        self.default: Any = marks.get("default")


class Definition:
    """A struct: its fields by JSON name.

    `open` structs keep fields that they do not know (custom resources that say so); all others drop them.
    """

    def __init__(
        self,
        name: str,
        fields: Fields,
        kinds: tuple[tuple[str, str, str], ...] = (),
        map_type: str = "",
        is_open: bool = False,
    ) -> None:
        self.name = name
        self.fields = fields
        self.kinds = kinds
        self.map_type = map_type
        self.open = is_open

    @cached_property
    def go_name(self) -> str:
        """`v1.Container`: package and type, as decoding errors write it."""
        return ".".join(self.name.rsplit(".", 2)[-2:])

    @cached_property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(name for name, field in self.fields.items() if field.required)


class BuiltIn:
    """The definitions of Kubernetes itself."""

    def __init__(self) -> None:
        data = DATA.joinpath("schema.jsonl").read_bytes()
        self._lines: dict[str, bytes] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._definitions: dict[str, Definition] = {}
        self._types: dict[str, Type] = {code: Type(code) for code in (*_GO_NAMES, "any")}
        self._types["schema-or"] = Type("schema-or", reference=_JSON_SCHEMA_PROPS)
        for line in data.splitlines():
            name = line[2 : line.index(b'"', 2)].decode()
            self._lines[name] = line
            start = len(name) + 4
            if line[start + 1] != _CLOSING_BRACKET:
                kinds = orjson.loads(line[start : line.index(b"]]", start) + 2])
                for group, version, kind in kinds:
                    self._names[f"{group}/{version}" if group else version, kind] = name

    def find(self, api_version: str, kind: str) -> Definition | None:
        name = self._names.get((api_version, kind))
        return self.definition(name) if name else None

    def knows_version(self, api_version: str) -> bool:
        """Whether any kind of this group and version is described."""
        return any(known == api_version for known, _ in self._names)

    def definition(self, name: str) -> Definition:
        """By the full name of the OpenAPI document; raises KeyError."""
        found = self._definitions.get(name)
        if found is None:
            found = self._definitions[name] = self._read(self._lines[name])
        return found

    def _read(self, line: bytes) -> Definition:
        name, kinds, fields, marks = orjson.loads(line)
        return Definition(
            name,
            {key: self._field(key, text) for key, text in fields.items()},
            tuple(tuple(kind) for kind in kinds),
            marks.get("map", ""),
        )

    def _field(self, name: str, text: Any) -> Field:
        if isinstance(text, dict) and "type" in text:
            return Field(name, self._type(text["type"]), text)
        return Field(name, self._type(text))

    def _type(self, text: Any) -> Type:
        if isinstance(text, list):
            return Type("list", self._type(text[0]))
        if isinstance(text, dict):
            return Type("map", self._type(text[""]))
        shared = self._types.get(text)
        if shared is None:
            if text.startswith("#"):
                shared = Type("object", reference=text[1:])
            else:
                code, _, go_name = text.partition(":")
                shared = Type(code, go_name=go_name)
            self._types[text] = shared
        return shared


_CLOSING_BRACKET = ord("]")
_JSON_SCHEMA_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@cache
def built_in() -> BuiltIn:
    return BuiltIn()


def find(api_version: str, kind: str) -> Definition | None:
    """The built-in definition of a kind, or None."""
    return built_in().find(api_version, kind)


def definition(name: str) -> Definition:
    """A built-in definition by its full name (`io.k8s.api.core.v1.Container`); raises KeyError."""
    return built_in().definition(name)


@cache
def unknown_kind() -> Definition:
    """What can be said of an object of any kind: it has metadata, the rest is left as it stands."""
    metadata = Type("object", definition=definition(_OBJECT_META))
    text = Type("string")
    fields = {
        "apiVersion": Field("apiVersion", text),
        "kind": Field("kind", text),
        "metadata": Field("metadata", metadata),
    }
    return Definition("unknown", fields, is_open=True)
