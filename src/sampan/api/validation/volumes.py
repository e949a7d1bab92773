"""Rules of a Pod's volumes and of what mounts them."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required, value_not_found
from sampan.api.objects import Obj
from sampan.api.quantity import quantity
from sampan.api.validation import env
from sampan.api.validation.check import Errors, dicts, needed, needed_form, one_of_if_set

HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"
MIN_TOKEN_S, MAX_TOKEN_S = 600, 2**32
PROJECTIONS = (
    "secret",
    "configMap",
    "downwardAPI",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
)


def volumes(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, volume in dicts(spec, "volumes"):
        at, name = f"{path}[{index}]", volume.get("name")
        yield from _source(at, volume)
        if not name:
            yield required(f"{at}.name")
        elif complaints := names.dns_label(name):
            for sentence in complaints:
                yield invalid_value(f"{at}.name", name, sentence)
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)


def by_name(spec: Obj) -> dict[str, Obj]:
    return {volume.get("name") or "": volume for _, volume in dicts(spec, "volumes")}


def _source(path: str, volume: Obj) -> Errors:
    given = [key for key, value in volume.items() if key != "name" and value is not None]
    if not given:
        yield required(path, "must specify a volume type")
        return
    first, *others = given
    check = _SOURCES.get(first)
    if check is not None:
        yield from check(f"{path}.{first}", volume[first])
    for key in others:
        yield forbidden_value(f"{path}.{key}", "may not specify more than 1 volume type")


# --- sources ------------------------------------------------------------------------------------------------


def _host_path(path: str, source: Obj) -> Errors:
    yield from _needed_path(f"{path}.path", source.get("path"))
    yield from one_of_if_set(f"{path}.type", source.get("type"), HOST_PATH_TYPES)


def _empty_dir(path: str, source: Obj) -> Errors:
    limit = source.get("sizeLimit")
    if limit is None:
        return
    try:
        negative = quantity(limit).nano < 0
    except ValueError as error:
        yield invalid_value(f"{path}.sizeLimit", limit, str(error))
        return
    if negative:
        yield forbidden_value(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _secret(path: str, source: Obj) -> Errors:
    yield from needed(f"{path}.secretName", source.get("secretName"))
    yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
    yield from _items(f"{path}.items", source)


def _config_map(path: str, source: Obj) -> Errors:
    yield from needed(f"{path}.name", source.get("name"))
    yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
    yield from _items(f"{path}.items", source)


def _downward_api(path: str, source: Obj) -> Errors:
    yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
    for _, item in dicts(source, "items"):
        yield from _downward_item(path, item)


def _downward_item(path: str, item: Obj) -> Errors:
    # Upstream names no index here.
    if not item.get("path"):
        yield required(f"{path}.path")
    else:
        yield from local_path(f"{path}.path", item["path"], reserved=True)
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from env.field_reference(f"{path}.fieldRef", field, env.VOLUME_FIELDS)
        if resource is not None:
            sentence = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid_value(path, "resource", sentence)
    elif resource is not None:
        yield from env.resource_reference(f"{path}.resourceFieldRef", resource, of_volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from _mode(f"{path}.mode", item.get("mode"))


def _projected(path: str, source: Obj) -> Errors:
    yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
    paths: set[str] = set()
    for index, projection in dicts(source, "sources"):
        at = f"{path}.sources[{index}]"
        given = [kind for kind in PROJECTIONS if projection.get(kind) is not None]
        if not given:
            yield forbidden_value(at, "may not specify an empty projection")
            continue
        first, *others = given
        yield from _projection(f"{at}.{first}", first, projection[first], paths)
        for kind in others:
            yield forbidden_value(f"{at}.{kind}", "may not specify more than 1 volume type per source")


def _projection(path: str, kind: str, source: Obj, paths: set[str]) -> Errors:
    if kind in ("secret", "configMap"):
        yield from needed(f"{path}.name", source.get("name"))
        yield from _items(f"{path}.items", source)
    elif kind == "downwardAPI":
        for _, item in dicts(source, "items"):
            yield from _downward_item(path, item)
    elif kind == "serviceAccountToken":
        yield from _token(path, source)
    files = [source] if kind == "serviceAccountToken" else [item for _, item in dicts(source, "items")]
    for file in files:
        name = file.get("path")
        if name and name in paths:
            yield invalid_value(path, file.get("path"), "conflicting duplicate paths")
        paths.add(name or "")


def _token(path: str, source: Obj) -> Errors:
    seconds = source.get("expirationSeconds") or 0
    if seconds < MIN_TOKEN_S:
        sentence = "may not specify a duration less than 10 minutes"
        yield invalid_value(f"{path}.expirationSeconds", seconds, sentence)
    elif seconds > MAX_TOKEN_S:
        sentence = "may not specify a duration larger than 2^32 seconds"
        yield invalid_value(f"{path}.expirationSeconds", seconds, sentence)
    if not source.get("path"):
        yield required(f"{path}.path")
    else:
        yield from local_path(f"{path}.path", source["path"], reserved=True)


def _claim(path: str, source: Obj) -> Errors:
    return needed(f"{path}.claimName", source.get("claimName"))


def _nfs(path: str, source: Obj) -> Errors:
    yield from needed(f"{path}.server", source.get("server"))
    if not source.get("path"):
        yield required(f"{path}.path")
    elif not source["path"].startswith("/"):
        yield invalid_value(f"{path}.path", source["path"], "must be an absolute path")


def _csi(path: str, source: Obj) -> Errors:
    return needed_form(f"{path}.driver", source.get("driver"), names.dns_subdomain)


def _image(path: str, source: Obj) -> Errors:
    yield from needed(f"{path}.reference", source.get("reference"))
    yield from one_of_if_set(
        f"{path}.pullPolicy", source.get("pullPolicy"), ("Always", "IfNotPresent", "Never")
    )


def _ephemeral(path: str, source: Obj) -> Errors:
    return needed(f"{path}.volumeClaimTemplate", source.get("volumeClaimTemplate") is not None)


_SOURCES = {
    "hostPath": _host_path,
    "emptyDir": _empty_dir,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward_api,
    "projected": _projected,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
    "csi": _csi,
    "image": _image,
    "ephemeral": _ephemeral,
}


# --- files --------------------------------------------------------------------------------------------------


def _items(path: str, source: Obj) -> Errors:
    for index, item in dicts(source, "items"):
        at = f"{path}[{index}]"
        yield from needed(f"{at}.key", item.get("key"))
        if not item.get("path"):
            yield required(f"{at}.path")
        else:
            yield from local_path(f"{at}.path", item["path"], reserved=True)
        yield from _mode(f"{at}.mode", item.get("mode"))


def _mode(path: str, mode: int | None) -> Errors:
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid_value(path, mode, MODE_RULE)


def _needed_path(path: str, text: str | None) -> Errors:
    if not text:
        yield required(path)
    elif ".." in text.split("/"):
        yield invalid_value(path, text, "must not contain '..'")


def local_path(path: str, text: str, *, reserved: bool = False) -> Errors:
    """A path that stays below its root; `reserved`: names that start with `..` are the volume's own."""
    if text.startswith("/"):
        yield invalid_value(path, text, "must be a relative path")
    if ".." in text.split("/"):
        yield invalid_value(path, text, "must not contain '..'")
    if reserved and text.startswith("..") and not text.startswith("../"):
        yield invalid_value(path, text, "must not start with '..'")


# --- mounts -------------------------------------------------------------------------------------------------


def mounts(path: str, container: Obj, known: dict[str, Obj]) -> Errors:
    """`volumeMounts` and `volumeDevices` of a container; `known` are the Pod's volumes by name."""
    devices = {d.get("name"): d.get("devicePath") for _, d in dicts(container, "volumeDevices")}
    points = set()
    for index, mount in dicts(container, "volumeMounts"):
        at, name, point = f"{path}.volumeMounts[{index}]", mount.get("name"), mount.get("mountPath")
        if not name:
            yield required(f"{at}.name")
        if (name or "") not in known:
            yield value_not_found(f"{at}.name", name or "")
        if not point:
            yield required(f"{at}.mountPath")
        if point in points:
            yield invalid_value(f"{at}.mountPath", point, "must be unique")
        points.add(point)
        if name in devices:
            yield invalid_value(f"{at}.name", name, "must not already exist in volumeDevices")
        if point and point in devices.values():
            sentence = "must not already exist as a path in volumeDevices"
            yield invalid_value(f"{at}.mountPath", point, sentence)
        yield from _mount_options(f"{path}.volumeMounts", at, mount, container, known.get(name or "") or {})
    yield from _devices(f"{path}.volumeDevices", container, known)


def _mount_options(path: str, at: str, mount: Obj, container: Obj, volume: Obj) -> Errors:
    # Upstream leaves the index out of most of these.
    sub, expression = mount.get("subPath"), mount.get("subPathExpr")
    if volume.get("image") is not None:
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                yield invalid_value(f"{at}.{field}", mount[field], "not allowed in image volume sources")
    if sub:
        yield from local_path(f"{path}.subPath", sub)
    if expression:
        if sub:
            sentence = "subPathExpr and subPath are mutually exclusive"
            yield invalid_value(f"{at}.subPathExpr", expression, sentence)
        yield from local_path(f"{path}.subPathExpr", expression)
    propagation = mount.get("mountPropagation")
    choices = ("None", "HostToContainer", "Bidirectional")
    yield from one_of_if_set(f"{path}.mountPropagation", propagation, choices)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if propagation == "Bidirectional" and not privileged:
        sentence = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden_value(f"{path}.mountPropagation", sentence)
    if mount.get("recursiveReadOnly") not in (None, "Disabled") and not mount.get("readOnly"):
        yield forbidden_value(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")


def _devices(path: str, container: Obj, known: dict[str, Obj]) -> Errors:
    seen_names, seen_paths = set(), set()
    for index, device in dicts(container, "volumeDevices"):
        at, name, point = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        volume = known.get(name)
        if not name:
            yield required(f"{at}.name")
        if name in seen_names:
            yield invalid_value(f"{at}.name", name, "must be unique")
        if volume is None:
            yield value_not_found(f"{at}.name", name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            sentence = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid_value(f"{at}.name", name, sentence)
        if not point:
            yield required(f"{at}.devicePath")
        if point in seen_paths:
            yield invalid_value(f"{at}.devicePath", point, "must be unique")
        if ".." in point.split("/"):
            yield invalid_value(f"{at}.devicePath", point, "can not contain backsteps ('..')")
        seen_names.add(name)
        seen_paths.add(point)
