"""The environment of a container, from its spec and the objects it refers to. Pure.

Order, later wins: the image's variables, Services, `envFrom`, `env`; `$(VAR)` sees what stands before it.
Sources: tasks/inject-data-application/*, concepts/services-networking/service "Environment variables".
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sampan.api import quantity
from sampan.api.objects import Obj, annotations_of, labels_of, name_of, namespace_of, uid_of
from sampan.api.resources import CONFIG_MAPS, SECRETS, Resource
from sampan.kubelet.command import expand
from sampan.kubelet.envfile import EnvFileFault, value_of

Lookup = Callable[[Resource, str], Obj | None]
"""(resource, name) -> the object of the Pod's namespace, or None if there is none."""

Files = Mapping[tuple[str, str], str | None]
"""(volume, path) -> the text of each file that an `env` speaks of, or None where there is none."""

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """The container cannot be configured as its spec asks; shown as CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an environment may speak of beside the spec."""

    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    node_name: str = ""
    allocatable: Mapping[str, str] | None = None


def environment(
    pod: Obj,
    container: Obj,
    *,
    lookup: Lookup,
    services: Iterable[Obj] = (),
    surroundings: Surroundings,
    image_env: Iterable[str] = (),
    files: Files = MappingProxyType({}),
) -> dict[str, str]:
    """All variables; raises ConfigError for what is missing and not optional."""
    result: dict[str, str] = {}
    for entry in image_env:
        name, _, value = entry.partition("=")
        result[name] = value
    known = service_variables(services, namespace_of(pod), pod["spec"].get("enableServiceLinks", True))
    result.update(known)
    for source in container.get("envFrom") or ():
        found = _from(source, namespace_of(pod), lookup)
        known.update(found)
        result.update(found)
    for entry in container.get("env") or ():
        name = entry["name"]
        value_from = entry.get("valueFrom")
        if value_from:
            found_value = _value_from(pod, container, value_from, lookup, surroundings, files)
            if found_value is None:
                continue
            value = found_value
        else:
            value = expand(entry.get("value") or "", known)
        known[name] = result[name] = value
    return result


def service_variables(services: Iterable[Obj], namespace: str, links: bool = True) -> dict[str, str]:
    """`WEB_SERVICE_HOST`, `WEB_PORT_80_TCP_ADDR` and so on; `kubernetes` always, others of the namespace."""
    result: dict[str, str] = {}
    for service in sorted(services, key=name_of):
        master = namespace_of(service) == "default" and name_of(service) == "kubernetes"
        if not (master or (links and namespace_of(service) == namespace)):
            continue
        host = service["spec"].get("clusterIP") or ""
        ports = service["spec"].get("ports") or ()
        if host in ("", "None") or not ports:
            continue
        prefix = name_of(service).upper().replace("-", "_")
        result[f"{prefix}_SERVICE_HOST"] = host
        result[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                suffix = port["name"].upper().replace("-", "_")
                result[f"{prefix}_SERVICE_PORT_{suffix}"] = str(port["port"])
        for number, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            address = f"[{host}]" if ":" in host else host
            url = f"{protocol.lower()}://{address}:{port['port']}"
            stem = f"{prefix}_PORT_{port['port']}_{protocol}"
            if number == 0:
                result[f"{prefix}_PORT"] = url
            result[stem] = url
            result[f"{stem}_PROTO"] = protocol.lower()
            result[f"{stem}_PORT"] = str(port["port"])
            result[f"{stem}_ADDR"] = host
    return result


def field_value(pod: Obj, path: str, surroundings: Surroundings | None = None) -> str:
    """A `fieldRef`; labels and annotations as a whole are `key="escaped value"` lines in key order."""
    if match := _SUBSCRIPT.fullmatch(path):
        table = labels_of(pod) if match[1] == "labels" else annotations_of(pod)
        return table.get(match[2], "")
    around = surroundings or Surroundings()
    spec = pod["spec"]
    values: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: name_of(pod),
        "metadata.namespace": lambda: namespace_of(pod),
        "metadata.uid": lambda: uid_of(pod),
        "metadata.labels": lambda: _lines(labels_of(pod)),
        "metadata.annotations": lambda: _lines(annotations_of(pod)),
        "spec.nodeName": lambda: around.node_name or spec.get("nodeName", ""),
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName", ""),
        "status.hostIP": lambda: around.host_ips[0] if around.host_ips else "",
        "status.hostIPs": lambda: ",".join(around.host_ips),
        "status.podIP": lambda: around.pod_ips[0] if around.pod_ips else "",
        "status.podIPs": lambda: ",".join(around.pod_ips),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values[path]()


def resource_value(
    pod: Obj, container: Obj, which: str, divisor: str, allocatable: Mapping[str, str] | None
) -> str:
    """A `resourceFieldRef`, rounded up to the divisor.

    A limit that is not set is the Pod's own as a whole (KEP-2837), or else the node's allocatable.
    """
    kind, _, name = which.partition(".")
    text = _amount(container, kind, name)
    if text is None and kind == "limits":
        text = _amount(pod["spec"], kind, name) or (allocatable or {}).get(name)
    if text is None:
        return "0"
    unit = quantity.parse(divisor)
    return str(math.ceil(quantity.parse(text) / (unit or 1)))


def _amount(holder: Obj, kind: str, name: str) -> str | None:
    return ((holder.get("resources") or {}).get(kind) or {}).get(name)


def _lines(table: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(table[key])}" for key in sorted(table))


def _quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def _from(source: Obj, namespace: str, lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
        if (ref := source.get(field)) is None:
            continue
        obj = lookup(resource, ref["name"])
        if obj is None:
            if ref.get("optional"):
                return {}
            raise ConfigError(f'{resource.singular} "{ref["name"]}" not found')
        return {prefix + key: _decoded(resource, value) for key, value in (obj.get("data") or {}).items()}
    return {}


def _value_from(
    pod: Obj, container: Obj, source: Obj, lookup: Lookup, surroundings: Surroundings, files: Files
) -> str | None:
    if (ref := source.get("fieldRef")) is not None:
        return field_value(pod, ref["fieldPath"], surroundings)
    if (ref := source.get("resourceFieldRef")) is not None:
        named = ref.get("containerName")
        holder = container if not named else _container(pod, named)
        divisor = ref.get("divisor") or "1"
        return resource_value(pod, holder, ref["resource"], str(divisor), surroundings.allocatable)
    kinds = (("configMapKeyRef", CONFIG_MAPS, "ConfigMap"), ("secretKeyRef", SECRETS, "Secret"))
    for field, resource, kind in kinds:
        if (ref := source.get(field)) is None:
            continue
        obj = lookup(resource, ref["name"])
        if obj is None:
            if ref.get("optional"):
                return None
            raise ConfigError(f'{resource.singular} "{ref["name"]}" not found')
        data = obj.get("data") or {}
        if ref["key"] not in data:
            if ref.get("optional"):
                return None
            where = f"{namespace_of(pod)}/{ref['name']}"
            raise ConfigError(f"couldn't find key {ref['key']} in {kind} {where}")
        return _decoded(resource, data[ref["key"]])
    if (ref := source.get("fileKeyRef")) is not None:
        return _of_file(ref, files)
    raise ConfigError("a valueFrom of an environment variable names no source")


def file_references(container: Obj) -> Iterator[tuple[str, str]]:
    """(volume, path) of each file that the container's `env` speaks of."""
    for entry in container.get("env") or ():
        if ref := (entry.get("valueFrom") or {}).get("fileKeyRef"):
            yield ref["volumeName"], ref["path"]


def _of_file(ref: Obj, files: Files) -> str | None:
    """A value that is empty is none, as upstream has it."""
    path, key = ref["path"], ref["key"]
    text = files.get((ref["volumeName"], path))
    try:
        value = value_of(text, key) if text is not None else None
    except EnvFileFault as fault:
        raise ConfigError(f"couldn't parse env file {path}: {fault}") from fault
    if value or ref.get("optional"):
        return value or None
    if text is None:
        raise ConfigError(f'file "{path}" not found in volume "{ref["volumeName"]}"')
    raise ConfigError(f'environment variable key "{key}" not found in file "{path}"')


def _container(pod: Obj, name: str) -> Obj:
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        if container["name"] == name:
            return container
    raise ConfigError(f"container {name} not found")


def _decoded(resource: Resource, value: str) -> str:
    if resource is SECRETS:
        return base64.b64decode(value).decode(errors="surrogateescape")
    return value
