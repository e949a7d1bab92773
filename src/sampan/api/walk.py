"""One walk over an object along its schema: unknown fields and nulls go, types are checked, scalars made
canonical.

This runs on every write, so it is written for speed: no copies, one call per struct, list or map, and paths
as linked pairs that become text only when something has to be said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sampan.api import scalars, unstructured
from sampan.api.schema import Definition, Type

# (path of the parent, step); a step is a field name, a list index or a 1-tuple with a map key.
Path: TypeAlias = "tuple[Path, str | int | tuple[str]] | None"


class Mismatch(Exception):
    """A value that its field cannot hold; the text is upstream's, `of_values` the same without JSON."""

    def __init__(self, text: str, of_values: str = "") -> None:
        super().__init__(text)
        self.of_values = of_values or text


def prune(obj: Any, definition: Definition) -> list[str]:
    """Changes `obj` in place; answers `unknown field "spec.x"` for each field dropped. Raises Mismatch."""
    unknown: list[str] = []
    _struct(obj, definition, None, unknown)
    return unknown


def _struct(obj: dict[str, Any], definition: Definition, path: Path, unknown: list[str]) -> None:
    fields = definition.fields
    dropped = []
    for name, value in obj.items():
        field = fields.get(name)
        if field is None:
            if not definition.open:
                dropped.append(name)
                unknown.append(f'unknown field "{render((path, name))}"')
        elif value is None:
            dropped.append(name)
        else:
            type_ = field.type
            if (plain := _PLAIN.get(type_.code)) is not None:
                if value.__class__ is not plain:
                    raise _mismatch(value, type_.code, type_.go_name, definition, (path, name))
            elif (read := _READERS.get(type_.code)) is not None:
                obj[name] = _scalar(read, value, type_.code, definition, (path, name))
            else:
                _nested(value, type_, definition, (path, name), unknown)
    for name in dropped:
        del obj[name]


def _nested(value: Any, type_: Type, owner: Definition, path: Path, unknown: list[str]) -> None:
    """A struct, list, map or schema; `owner` is the struct whose field at `path` it is."""
    match type_.code:
        case "object":
            if value.__class__ is not dict:
                raise _mismatch(value, type_.code, type_.go_name, owner, path)
            _struct(value, type_.definition, path, unknown)
        case "list":
            if value.__class__ is not list:
                raise _mismatch(value, type_.code, type_.go_name, owner, path)
            _list(value, type_.item, owner, path, unknown)
        case "map":
            if value.__class__ is not dict:
                raise _mismatch(value, type_.code, type_.go_name, owner, path)
            _map(value, type_.item, owner, path, unknown)
        case "schema-or":
            schemas = value if isinstance(value, list) else [value]
            for schema in schemas:
                if isinstance(schema, dict):
                    _struct(schema, type_.definition, path, unknown)


def _list(items: list[Any], type_: Type, owner: Definition, path: Path, unknown: list[str]) -> None:
    plain, read = _PLAIN.get(type_.code), _READERS.get(type_.code)
    for index, value in enumerate(items):
        if value is None:
            items[index] = _zero(type_)
        elif plain is not None:
            if value.__class__ is not plain:
                raise _mismatch(value, type_.code, type_.go_name, owner, path)
        elif read is not None:
            items[index] = _scalar(read, value, type_.code, owner, path)
        else:
            _nested(value, type_, owner, (path, index), unknown)


def _map(values: dict[str, Any], type_: Type, owner: Definition, path: Path, unknown: list[str]) -> None:
    plain, read = _PLAIN.get(type_.code), _READERS.get(type_.code)
    for key, value in values.items():
        if value is None:
            values[key] = _zero(type_)
        elif plain is not None:
            if value.__class__ is not plain:
                raise _mismatch(value, type_.code, type_.go_name, owner, path)
        elif read is not None:
            values[key] = _scalar(read, value, type_.code, owner, path)
        else:
            _nested(value, type_, owner, (path, (key,)), unknown)


def _scalar(read: Callable[[Any], Any], value: Any, code: str, owner: Definition, path: Path) -> Any:
    try:
        return read(value)
    except scalars.WrongType as error:
        raise _mismatch(value, code, error.wanted, owner, path) from None
    except ValueError as error:
        raise Mismatch(str(error)) from None


_PLAIN: dict[str, type] = {"string": str, "bool": bool}
_READERS: dict[str, Callable[[Any], Any]] = {
    "int32": scalars.read_int32,
    "int64": scalars.read_int64,
    "double": scalars.read_double,
    "bytes": scalars.read_bytes,
    "time": scalars.read_time,
    "micro-time": scalars.read_micro_time,
    "quantity": scalars.read_quantity,
    "int-or-string": scalars.read_int_or_string,
}


def _zero(type_: Type) -> Any:
    """What a null item of a list or map stands for."""
    match type_.code:
        case "object" | "map":
            return {}
        case "list":
            return []
        case "string" | "bytes":
            return ""
        case "bool":
            return False
        case "quantity":
            return "0"
        case "int32" | "int64" | "double" | "int-or-string":
            return 0
        case _:
            return None


def _mismatch(value: Any, code: str, wanted: str, owner: Definition, path: Path) -> Mismatch:
    found = json_type(value)
    if found == "number" and wanted in _NUMBERS:
        # A number that is none of the wanted size is shown, as Go does.
        found = f"number {value}"
    return Mismatch(
        f"json: cannot unmarshal {found} into Go struct field "
        f"{owner.short_name}.{_field_path(path)} of type {wanted}",
        unstructured.unfit(value, code, wanted),
    )


_NUMBERS = ("int32", "int64", "float64")


def json_type(value: Any) -> str:
    """`string`, `number`, `bool`, `array`, `object`, `null`: how decoding errors name a value."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"


def render(path: Path) -> str:
    """`spec.containers[0].name`"""
    steps: list[str] = []
    while path is not None:
        path, step = path
        if isinstance(step, int):
            steps.append(f"[{step}]")
        else:
            steps.append(f".{step if isinstance(step, str) else step[0]}")
    return "".join(reversed(steps)).removeprefix(".")


def _field_path(path: Path) -> str:
    """`spec.containers.name`: without indices and map keys."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        if isinstance(step, str):
            steps.append(step)
    return ".".join(reversed(steps))
