"""Rules of each kind of volume: what `VolumeSource` and `PersistentVolumeSource` say alike."""

from __future__ import annotations

import re
from collections.abc import Callable

from sampan.api import names
from sampan.api.errors import forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.quantity import quantity
from sampan.api.validation import claims, labels, paths, volumefiles
from sampan.api.validation.check import Errors, between, dicts, form, needed, one_of_if_set, unsupported
from sampan.api.validation.csi import driver_name

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
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MOST_TARGET = 64

Rule = Callable[[str, Obj], Errors]

# kind -> fields that must be there, of kinds of which no more is asked.
_NEEDED: dict[str, tuple[str, ...]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "gcePersistentDisk": ("pdName",),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "storageos": ("volumeName",),
    "vsphereVolume": ("volumePath",),
}
_PARTITIONED = ("awsElasticBlockStore", "gcePersistentDisk")
_RESERVED = (".kubernetes.io", ".k8s.io")
_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}$"),
}
AZURE_CACHING = ("None", "ReadOnly", "ReadWrite")
AZURE_KINDS = ("Dedicated", "Managed", "Shared")
_AZURE_DISK = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
)
_AZURE_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def source(path: str, kind: str, value: Obj) -> Errors:
    """`path` is the source's own: `spec.volumes[0].hostPath`."""
    for field in _NEEDED.get(kind, ()):
        yield from needed(f"{path}.{field}", value.get(field))
    if kind in _PARTITIONED:
        yield from between(f"{path}.partition", value.get("partition"), 0, 255)
    if rule := _RULES.get(kind):
        yield from rule(path, value)


def _host_path(path: str, value: Obj) -> Errors:
    if not value.get("path"):
        yield required(f"{path}.path")
        return
    yield from paths.no_backsteps(f"{path}.path", value["path"])
    yield from one_of_if_set(f"{path}.type", value.get("type"), HOST_PATH_TYPES)


def _empty_dir(path: str, value: Obj) -> Errors:
    limit = value.get("sizeLimit")
    if limit is None:
        return
    try:
        negative = quantity(limit).nano < 0
    except ValueError as error:
        yield invalid_value(f"{path}.sizeLimit", limit, str(error))
        return
    if negative:
        yield forbidden_value(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _secret(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.secretName", value.get("secretName"))
    yield from volumefiles.mode(f"{path}.defaultMode", value.get("defaultMode"))
    yield from volumefiles.items(f"{path}.items", value)


def _config_map(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.name", value.get("name"))
    yield from volumefiles.mode(f"{path}.defaultMode", value.get("defaultMode"))
    yield from volumefiles.items(f"{path}.items", value)


def _downward_api(path: str, value: Obj) -> Errors:
    yield from volumefiles.mode(f"{path}.defaultMode", value.get("defaultMode"))
    for _, item in dicts(value, "items"):
        yield from volumefiles.downward_item(path, item)


def _nfs(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.server", value.get("server"))
    export = value.get("path") or ""
    yield from needed(f"{path}.path", export)
    if not export.startswith("/"):
        yield invalid_value(f"{path}.path", export, "must be an absolute path")


def _csi(path: str, value: Obj) -> Errors:
    yield from driver_name(f"{path}.driver", value.get("driver"))
    if (reference := value.get("nodePublishSecretRef")) is not None:
        if not reference.get("name"):
            yield required(f"{path}.nodePublishSecretRef.name")
        else:
            yield from form(f"{path}.name", reference["name"], names.dns_subdomain)


def _image(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.reference", value.get("reference"))
    yield from one_of_if_set(f"{path}.pullPolicy", value.get("pullPolicy"), PULL_POLICIES)


def _ephemeral(path: str, value: Obj) -> Errors:
    template, at = value.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        yield required(at)
        return
    metadata = template.get("metadata") or {}
    yield from labels.annotation_map(f"{at}.metadata.annotations", metadata.get("annotations"))
    yield from labels.label_map(f"{at}.metadata.labels", metadata.get("labels"))
    for field in metadata:
        if field not in ("annotations", "labels") and metadata[field]:
            yield forbidden_value(f"{at}.metadata.{field}", "cannot be set")
    yield from claims.claim_spec(f"{at}.spec", template.get("spec") or {})


def _git_repo(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.repository", value.get("repository"))
    yield from paths.local_path(f"{path}.directory", value.get("directory") or "")


def _iscsi(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.targetPortal", value.get("targetPortal"))
    if not value.get("iqn"):
        yield required(f"{path}.iqn")
    else:
        yield from _iscsi_name(f"{path}.iqn", value["iqn"])
    yield from between(f"{path}.lun", value.get("lun"), 0, 255)
    if (value.get("chapAuthDiscovery") or value.get("chapAuthSession")) and value.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if value.get("initiatorName") is not None:
        yield from _iscsi_name(f"{path}.initiatorname", value["initiatorName"])


def _iscsi_name(path: str, text: str) -> Errors:
    pattern = _ISCSI_NAMES.get(text[:3])
    if pattern is None:
        yield invalid_value(path, text, "must be valid format starting with iqn, eui, or naa")
    elif not pattern.match(text):
        yield invalid_value(path, text, "must be valid format")


def _fc(path: str, value: Obj) -> Errors:
    at, targets, wwids = f"{path}.targetWWNs", value.get("targetWWNs"), value.get("wwids")
    if not targets and not wwids:
        yield required(at, "must specify either targetWWNs or wwids, but not both")
    if targets and wwids:
        yield invalid_value(at, targets, "targetWWNs and wwids can not be specified simultaneously")
    if targets and value.get("lun") is None:
        yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif targets:
        yield from between(f"{path}.lun", value["lun"], 0, 255)


def _flex(path: str, value: Obj) -> Errors:
    yield from needed(f"{path}.driver", value.get("driver"))
    for key in value.get("options") or ():
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED):
            sentence = "kubernetes.io and k8s.io namespaces are reserved"
            yield invalid_value(f"{path}.options[{key}]", key, sentence)


def _flocker(path: str, value: Obj) -> Errors:
    name, uuid = value.get("datasetName") or "", value.get("datasetUUID")
    if not name and not uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        sentence = "datasetName and datasetUUID can not be specified simultaneously"
        yield invalid_value(path, "resource", sentence)
    if "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _azure_disk(path: str, value: Obj) -> Errors:
    uri, kind = value.get("diskURI") or "", value.get("kind")
    yield from needed(f"{path}.diskName", value.get("diskName"))
    yield from needed(f"{path}.diskURI", uri)
    yield from one_of_if_set(f"{path}.cachingMode", value.get("cachingMode"), AZURE_CACHING)
    yield from one_of_if_set(f"{path}.kind", kind, AZURE_KINDS)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield unsupported(f"{path}.diskURI", uri, (_AZURE_DISK,))
    elif kind and kind != "Managed" and not uri.startswith("https://"):
        yield unsupported(f"{path}.diskURI", uri, (_AZURE_BLOB,))


def _secret_reference(path: str, value: Obj) -> Errors:
    if (reference := value.get("secretRef")) is not None:
        yield from needed(f"{path}.secretRef.name", reference.get("name"))


_RULES: dict[str, Rule] = {
    "azureDisk": _azure_disk,
    "cinder": _secret_reference,
    "configMap": _config_map,
    "csi": _csi,
    "downwardAPI": _downward_api,
    "emptyDir": _empty_dir,
    "ephemeral": _ephemeral,
    "fc": _fc,
    "flexVolume": _flex,
    "flocker": _flocker,
    "gitRepo": _git_repo,
    "hostPath": _host_path,
    "image": _image,
    "iscsi": _iscsi,
    "nfs": _nfs,
    "projected": volumefiles.projected,
    "secret": _secret,
    "storageos": _secret_reference,
}
