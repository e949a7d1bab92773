"""The files of a volume that shows API objects: what lies at which path, with which mode. Pure.

Sources: concepts/storage/volumes, concepts/storage/projected-volumes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sampan.api.objects import Obj
from sampan.api.podspec import all_containers
from sampan.kubelet.env import ConfigError, field_value, resource_value

DEFAULT_MODE = 0o644
TOKEN_MODE = 0o600


class PayloadError(Exception):
    """What the volume asks for is not there."""


@dataclass(frozen=True, slots=True)
class File:
    """`uid`: whose it is, if not root's."""

    data: bytes
    mode: int = DEFAULT_MODE
    uid: int | None = None


Payload = dict[str, File]
"""Relative path -> file."""

Lookup = Callable[[str, str], Obj | None]
"""(`configmap` or `secret`, name) -> the object, None if there is none."""


@dataclass(frozen=True, slots=True)
class Context:
    """`tokens`: (audience, lifetime in s) -> token, for serviceAccountToken sources."""

    pod: Obj
    lookup: Lookup
    tokens: Mapping[tuple[str, int], str]
    allocatable: Mapping[str, str]


def payload(volume: Obj, context: Context) -> Payload:
    """Of a configMap, secret, downwardAPI or projected volume; raises PayloadError."""
    if (source := volume.get("configMap")) is not None:
        return _keys("configmap", source["name"], source, _mode(source), context)
    if (source := volume.get("secret")) is not None:
        return _keys("secret", source["secretName"], source, _mode(source), context)
    if (source := volume.get("downwardAPI")) is not None:
        return _downward(source, _mode(source), context)
    return _projected(volume["projected"], context)


def token_requests(volume: Obj) -> list[tuple[str, int]]:
    """The (audience, lifetime in s) of every token that the volume shows."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    return [
        _token_key(source["serviceAccountToken"]) for source in sources if "serviceAccountToken" in source
    ]


def checked_path(path: str) -> str:
    """The path itself if it stays inside its directory."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise PayloadError(f'invalid path "{path}": must be relative and must not contain ".."')
    return path


def _projected(projected: Obj, context: Context) -> Payload:
    mode = _mode(projected)
    files: Payload = {}
    for source in projected.get("sources") or ():
        if (part := source.get("configMap")) is not None:
            files |= _keys("configmap", part["name"], part, mode, context)
        elif (part := source.get("secret")) is not None:
            files |= _keys("secret", part["name"], part, mode, context)
        elif (part := source.get("downwardAPI")) is not None:
            files |= _downward(part, mode, context)
        elif (part := source.get("serviceAccountToken")) is not None:
            files[checked_path(part["path"])] = _token(part, mode, context)
        else:
            raise PayloadError(f"projected source {', '.join(source)} is not served by this node")
    return files


def _token(source: Obj, mode: int, context: Context) -> File:
    """Where the Pod says who it runs as, nobody else may read its token."""
    text = context.tokens[_token_key(source)].encode()
    user, security = fs_user(context.pod), context.pod["spec"].get("securityContext") or {}
    if user is not None or security.get("fsGroup") is not None:
        mode = TOKEN_MODE
    return File(text, mode, user)


def fs_user(pod: Obj) -> int | None:
    """The one user that all containers run as, if the spec names one."""
    own = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = {
        (container.get("securityContext") or {}).get("runAsUser", own)
        for _, _, container in all_containers(pod["spec"])
    }
    user: int | None = users.pop() if len(users) == 1 else None
    return user


def _keys(kind: str, name: str, source: Obj, mode: int, context: Context) -> Payload:
    """All keys of an object, or those that `items` names."""
    optional = bool(source.get("optional"))
    obj = context.lookup(kind, name)
    if obj is None:
        if optional:
            return {}
        raise PayloadError(f'{kind} "{name}" not found')
    content = _content(kind, obj)
    items = source.get("items")
    if items is None:
        return {key: File(data, mode) for key, data in content.items()}
    files: Payload = {}
    for item in items:
        if item["key"] in content:
            files[checked_path(item["path"])] = File(content[item["key"]], _mode(item, "mode", mode))
        elif not optional:
            noun = (
                "configmap references non-existent config"
                if kind == "configmap"
                else "references non-existent secret"
            )
            raise PayloadError(f"{noun} key: {item['key']}")
    return files


def _content(kind: str, obj: Obj) -> dict[str, bytes]:
    data: Mapping[str, str] = obj.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary: Mapping[str, str] = obj.get("binaryData") or {}
    return {key: value.encode() for key, value in data.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }


def _downward(source: Obj, mode: int, context: Context) -> Payload:
    files: Payload = {}
    for item in source.get("items") or ():
        if (field := item.get("fieldRef")) is not None:
            text = _field(context.pod, field["fieldPath"])
        else:
            ref = item["resourceFieldRef"]
            text = resource_value(
                context.pod,
                _container(context.pod, ref["containerName"]),
                ref["resource"],
                str(ref.get("divisor") or "1"),
                context.allocatable,
            )
        files[checked_path(item["path"])] = File(text.encode(), _mode(item, "mode", mode))
    return files


def _field(pod: Obj, path: str) -> str:
    try:
        return field_value(pod, path)
    except ConfigError as error:
        raise PayloadError(str(error)) from error


def _container(pod: Obj, name: str) -> Obj:
    for _, _, container in all_containers(pod["spec"]):
        if container["name"] == name:
            return container
    raise PayloadError(f"container {name} not found")


def _mode(source: Obj, field: str = "defaultMode", default: int = DEFAULT_MODE) -> int:
    mode = source.get(field)
    return default if mode is None else int(mode)


def _token_key(source: Obj) -> tuple[str, int]:
    return source.get("audience") or "", int(source.get("expirationSeconds") or 3600)
