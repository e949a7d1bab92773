"""The objects an informer has seen, by key and by index. Holds one reference to each object and no copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan.api.objects import Obj

IndexFn: TypeAlias = Callable[[Obj], Iterable[str]]
"""Which values an object is found under. Must answer the same for the same object every time."""

Objs: TypeAlias = list[Obj]
Keys: TypeAlias = list[str]


@dataclass(slots=True)
class _Index:
    values_of: IndexFn
    keys: dict[str, str | dict[str, None]] = field(default_factory=dict)
    """Value -> the key found under it, or several in order of arrival. Most values have one."""

    def add(self, key: str, obj: Obj) -> None:
        for value in self.values_of(obj):
            found = self.keys.setdefault(value, key)
            if isinstance(found, dict):
                found[key] = None
            elif found != key:
                self.keys[value] = {found: None, key: None}

    def remove(self, key: str, obj: Obj) -> None:
        for value in self.values_of(obj):
            found = self.keys.get(value)
            if isinstance(found, dict):
                found.pop(key, None)
                if not found:
                    del self.keys[value]
            elif found == key:
                del self.keys[value]

    def under(self, value: str) -> Iterable[str]:
        found = self.keys.get(value, ())
        return (found,) if isinstance(found, str) else found


class Cache:
    def __init__(self) -> None:
        self._objects: dict[str, Obj] = {}
        self._indices: dict[str, _Index] = {}

    def get(self, key: str) -> Obj | None:
        return self._objects.get(key)

    def list(self) -> Objs:
        return list(self._objects.values())

    def keys(self) -> Keys:
        return list(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def add_index(self, name: str, values_of: IndexFn) -> None:
        """Adds an index, also over what is there; under a known name the first one stays."""
        if name in self._indices:
            return
        index = self._indices[name] = _Index(values_of)
        for key, obj in self._objects.items():
            index.add(key, obj)

    def by_index(self, name: str, value: str) -> Objs:
        """The objects found under `value`; raises KeyError for an index nobody added."""
        return [self._objects[key] for key in self._indices[name].under(value)]

    def put(self, key: str, obj: Obj) -> None:
        old = self._objects.get(key)
        for index in self._indices.values():
            if old is not None:
                index.remove(key, old)
            index.add(key, obj)
        self._objects[key] = obj

    def remove(self, key: str) -> None:
        old = self._objects.pop(key)
        for index in self._indices.values():
            index.remove(key, old)
