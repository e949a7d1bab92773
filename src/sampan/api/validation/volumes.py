"""Rules of a Pod's volumes and of what mounts them."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required, value_not_found
from sampan.api.objects import Obj
from sampan.api.validation import volumesources
from sampan.api.validation.check import Errors, dicts, one_of_if_set, unsupported
from sampan.api.validation.paths import local_path

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE_READ_ONLY = ("Disabled", "Enabled", "IfPossible")
ISCSI_TOO_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
    "if iscsi.initiatorName is specified."
)
_BLOCK_KINDS = ("persistentVolumeClaim", "ephemeral")


def volumes(path: str, spec: Obj) -> Errors:
    seen: set[str] = set()
    for index, volume in dicts(spec, "volumes"):
        at = f"{path}[{index}]"
        yield from _volume(at, volume)
        if volume.get("name") in seen:
            yield duplicate(f"{at}.name", volume["name"])
        seen.add(volume.get("name") or "")


def claim_names(path: str, spec: Obj, pod_name: str) -> Errors:
    """The claim of an ephemeral volume is named after its Pod."""
    for index, volume in dicts(spec, "volumes"):
        if volume.get("ephemeral") is not None and pod_name and volume.get("name"):
            claim = f"{pod_name}-{volume['name']}"
            for sentence in names.dns_subdomain(claim):
                yield invalid_value(
                    f"{path}[{index}].name", volume["name"], f'PVC name "{claim}": {sentence}'
                )


def by_name(spec: Obj) -> dict[str, Obj]:
    """Those that nothing is wrong with: as upstream, a mount of another one is a mount of none."""
    found: dict[str, Obj] = {}
    for _, volume in dicts(spec, "volumes"):
        if next(_volume("", volume), None) is None:
            found.setdefault(volume["name"], volume)
    return found


def _volume(path: str, volume: Obj) -> Errors:
    name = volume.get("name") or ""
    given = [key for key, value in volume.items() if key != "name" and value is not None]
    if not given:
        yield required(path, "must specify a volume type")
    for number, kind in enumerate(given):
        if number:
            yield forbidden_value(f"{path}.{kind}", "may not specify more than 1 volume type")
        else:
            yield from volumesources.source(f"{path}.{kind}", kind, volume[kind])
    if not name:
        yield required(f"{path}.name")
        return
    for sentence in names.dns_label(name):
        yield invalid_value(f"{path}.name", name, sentence)
    iscsi = volume.get("iscsi") or {}
    if iscsi.get("initiatorName") and len(f"{name}:{iscsi.get('targetPortal')}") > volumesources.MOST_TARGET:
        yield invalid_value(f"{path}.name", name, ISCSI_TOO_LONG)


# --- mounts -------------------------------------------------------------------------------------------------


def mounts(path: str, container: Obj, known: Mapping[str, Obj]) -> Errors:
    """`volumeMounts` and `volumeDevices` of a container; `known` are the Pod's volumes by name."""
    devices = {d.get("name"): d.get("devicePath") for _, d in dicts(container, "volumeDevices")}
    points: set[str] = set()
    for index, mount in dicts(container, "volumeMounts"):
        at, name, point = f"{path}.volumeMounts[{index}]", mount.get("name"), mount.get("mountPath") or ""
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
        yield from _mount_options(f"{path}.volumeMounts", at, mount, container)
    yield from _devices(f"{path}.volumeDevices", container, known)


def _mount_options(path: str, at: str, mount: Obj, container: Obj) -> Errors:
    # Upstream leaves the index out of most of these.
    sub, expression = mount.get("subPath"), mount.get("subPathExpr")
    if sub:
        yield from local_path(f"{path}.subPath", sub)
    if expression:
        if sub:
            sentence = "subPathExpr and subPath are mutually exclusive"
            yield invalid_value(f"{at}.subPathExpr", expression, sentence)
        yield from local_path(f"{path}.subPathExpr", expression)
    propagation = mount.get("mountPropagation")
    yield from one_of_if_set(f"{path}.mountPropagation", propagation, PROPAGATIONS)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if propagation == "Bidirectional" and not privileged:
        sentence = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden_value(f"{path}.mountPropagation", sentence)
    yield from _recursive_read_only(f"{path}.recursiveReadOnly", mount)


def _recursive_read_only(path: str, mount: Obj) -> Errors:
    asked = mount.get("recursiveReadOnly")
    if asked is None or asked == "Disabled":
        return
    if asked not in RECURSIVE_READ_ONLY:
        yield unsupported(path, asked, RECURSIVE_READ_ONLY)
        return
    if not mount.get("readOnly"):
        yield forbidden_value(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        sentence = "may only be specified when mountPropagation is None or not specified"
        yield forbidden_value(path, sentence)


def _devices(path: str, container: Obj, known: Mapping[str, Obj]) -> Errors:
    mounted = {m.get("name"): m.get("mountPath") for _, m in dicts(container, "volumeMounts")}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in dicts(container, "volumeDevices"):
        at, name, point = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        volume = known.get(name)
        if not name:
            yield required(f"{at}.name")
        if name in seen_names:
            yield invalid_value(f"{at}.name", name, "must be unique")
        if volume is None:
            yield value_not_found(f"{at}.name", name)
        elif all(volume.get(kind) is None for kind in _BLOCK_KINDS):
            sentence = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid_value(f"{at}.name", name, sentence)
        if not point:
            yield required(f"{at}.devicePath")
        if point in seen_paths:
            yield invalid_value(f"{at}.devicePath", point, "must be unique")
        if ".." in point.split("/"):
            yield invalid_value(f"{at}.devicePath", point, "can not contain backsteps ('..')")
        if name in mounted:
            yield invalid_value(f"{at}.name", name, "must not already exist in volumeMounts")
        if point and point in mounted.values():
            sentence = "must not already exist as a path in volumeMounts"
            yield invalid_value(f"{at}.devicePath", point, sentence)
        seen_names.add(name)
        seen_paths.add(point)
