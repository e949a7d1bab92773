"""Rules of environment variables and of the downward API, which volumes use as well."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sampan.api import names, quantity
from sampan.api.errors import invalid_value, required, value_not_found
from sampan.api.objects import Obj
from sampan.api.validation.check import Errors, dicts, form, needed_form, unsupported
from sampan.api.validation.paths import needed_local_path

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_KNOWN_FIELDS = frozenset((*ENV_FIELDS, *VOLUME_FIELDS))
_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]").fullmatch

_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
# what a divisor may be, by the last part of the resource's name: (values, name in the message)
_DIVISORS = {
    "cpu": (("1m", "1"), "1m and 1", "cpu"),
    "memory": (_BYTES, ", ".join(_BYTES), "memory"),
    "ephemeral-storage": (_BYTES, ", ".join(_BYTES), "local ephemeral storage"),
    "hugepages": (_BYTES, ", ".join(_BYTES), "hugepages"),
}

_ONE_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
_TOO_MANY = "may not have more than one field specified at a time"


def variables(path: str, container: Obj, volumes: Mapping[str, Obj]) -> Errors:
    """`volumes` are the Pod's, by name."""
    for index, variable in dicts(container, "env"):
        at = f"{path}.env[{index}]"
        yield from needed_form(f"{at}.name", variable.get("name"), names.env_name)
        if variable.get("valueFrom") is not None:
            yield from _value_from(f"{at}.valueFrom", variable)
            yield from _file_volume(f"{at}.valueFrom.fileKeyRef.volumeName", variable["valueFrom"], volumes)
    for index, source in dicts(container, "envFrom"):
        yield from _env_from(f"{path}.envFrom", index, source)


def _value_from(path: str, variable: Obj) -> Errors:
    source, given = variable["valueFrom"], 0
    if source.get("fieldRef") is not None:
        given += 1
        yield from field_reference(f"{path}.fieldRef", source["fieldRef"], ENV_FIELDS)
    if source.get("resourceFieldRef") is not None:
        given += 1
        yield from resource_reference(f"{path}.resourceFieldRef", source["resourceFieldRef"])
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if source.get(kind) is not None:
            given += 1
            yield from form(f"{path}.{kind}.name", source[kind].get("name") or "", names.dns_subdomain)
            yield from needed_form(f"{path}.{kind}.key", source[kind].get("key"), names.config_key)
    if source.get("fileKeyRef") is not None:
        given += 1
        yield from _file_key(f"{path}.fileKeyRef", source["fileKeyRef"])
    if given == 0:
        yield invalid_value(path, "", _ONE_SOURCE)
    elif variable.get("value"):
        yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif given > 1:
        yield invalid_value(path, "", _TOO_MANY)


def _file_key(path: str, reference: Obj) -> Errors:
    yield from needed_form(f"{path}.key", reference.get("key"), names.env_name)
    yield from needed_form(f"{path}.volumeName", reference.get("volumeName"), names.dns_label)
    yield from needed_local_path(f"{path}.path", reference.get("path"))


def _file_volume(path: str, source: Obj, volumes: Mapping[str, Obj]) -> Errors:
    name = (source.get("fileKeyRef") or {}).get("volumeName")
    if not name:
        return
    if name not in volumes:
        yield value_not_found(path, name)
    elif volumes[name].get("emptyDir") is None:
        yield invalid_value(path, name, "referenced volume must be of type emptyDir")


def _env_from(path: str, index: int, source: Obj) -> Errors:
    at = f"{path}[{index}]"
    if source.get("prefix"):
        yield from form(f"{at}.prefix", source["prefix"], names.env_name)
    given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
    for kind in given:
        yield from needed_form(f"{at}.{kind}.name", source[kind].get("name"), names.dns_subdomain)
    if not given:
        yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        yield invalid_value(path, "", _TOO_MANY)


def field_reference(path: str, reference: Obj, supported: tuple[str, ...]) -> Errors:
    """`fieldRef`: one of the Pod's own fields, or one label or annotation by `['key']`."""
    if not reference.get("apiVersion"):
        yield required(f"{path}.apiVersion")
        return
    field = reference.get("fieldPath")
    if not field:
        yield required(f"{path}.fieldPath")
        return
    if subscripted := _SUBSCRIPT(field):
        name, key = subscripted.groups()
        if name not in ("metadata.annotations", "metadata.labels"):
            yield invalid_value(path, name, "does not support subscript")
        else:
            checked = key.lower() if name == "metadata.annotations" else key
            yield from form(path, checked, names.qualified_name)
    elif field not in _KNOWN_FIELDS:
        sentence = f"error converting fieldPath: field label not supported: {field}"
        yield invalid_value(f"{path}.fieldPath", field, sentence)
    elif field not in supported:
        yield unsupported(f"{path}.fieldPath", field, supported)


def resource_reference(path: str, reference: Obj, *, of_volume: bool = False) -> Errors:
    """`resourceFieldRef`: a request or limit of a container, which in volumes has to be named."""
    resource = reference.get("resource") or ""
    if of_volume and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in RESOURCE_FIELDS and not resource.startswith(_HUGE_PAGES):
        yield unsupported(f"{path}.resource", resource, RESOURCE_FIELDS)
    yield from _divisor(f"{path}.divisor", resource, reference.get("divisor"))


def _divisor(path: str, resource: str, divisor: str | None) -> Errors:
    if divisor is None:
        return
    try:
        text = quantity.canonical(divisor)
    except ValueError as error:
        yield invalid_value(path, divisor, str(error))
        return
    kind = "hugepages" if resource.startswith(_HUGE_PAGES) else resource.rpartition(".")[2]
    if text == "0" or kind not in _DIVISORS:
        return
    values, listed, name = _DIVISORS[kind]
    if text not in values:
        yield invalid_value(
            path, resource, f"only divisor's values {listed} are supported with the {name} resource"
        )
