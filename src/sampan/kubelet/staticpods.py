"""From a manifest file to a static Pod: one that its node runs from a file, whatever the API thinks. Pure.

Source: tasks/configure-pod-container/static-pod. The uid is made of the content, so a node that starts anew
knows its containers again; another content is another Pod.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from sampan.api import decode, defaults, validation
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.podspec import all_containers
from sampan.api.resources import PODS
from sampan.api.validation.pod import MIRROR
from sampan.kubelet.qos import CONFIG_SOURCE

CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SEEN = "kubernetes.io/config.seen"
SOURCE = "file"
UNREADABLE, INVALID = "FailedToReadManifest", "InvalidManifest"


class ManifestFault(Exception):
    """`reason` and text of the Event."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def read(data: bytes, file: str, node: str, seen: str) -> Obj:
    """The Pod as it is run. `seen`: when the file was found. Raises ManifestFault."""
    content_type = "application/json" if data.lstrip()[:1] == b"{" else "application/yaml"
    try:
        given, _ = decode.decode(data, content_type, PODS)
    except StatusError as error:
        raise ManifestFault(UNREADABLE, error.message) from error
    pod = _completed(given, _digest(given, file, node), node, seen)
    if listed := next(_references(pod["spec"]), ""):
        raise ManifestFault(INVALID, f"static pods may not reference {listed}")
    if faults := validation.create(PODS, pod):
        raise ManifestFault(INVALID, f"invalid pod: {', '.join(fault.text for fault in faults)}")
    return pod


def mirror_of(pod: Obj, node: Obj) -> Obj:
    """What is written to the API in its stead; it goes with the Node."""
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
    annotations = {**pod["metadata"]["annotations"], MIRROR: pod["metadata"]["uid"]}
    owner = {"apiVersion": "v1", "kind": "Node", "controller": True}
    owner |= {key: node["metadata"][key] for key in ("name", "uid")}
    metadata |= {"annotations": annotations, "ownerReferences": [owner]}
    if labels := pod["metadata"].get("labels"):
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}


def mirrored(pod: Obj) -> str:
    """The uid of the static Pod that this one stands for; "" if it is a Pod of its own."""
    return str((pod["metadata"].get("annotations") or {}).get(MIRROR, ""))


def behind(pod: Obj) -> Obj:
    """The Pod of the API under the uid that its node runs it by."""
    uid = mirrored(pod)
    return {**pod, "metadata": {**pod["metadata"], "uid": uid}} if uid else pod


def _digest(given: Obj, file: str, node: str) -> str:
    said = json.dumps([node, file, given], sort_keys=True, default=str)
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _completed(given: Obj, uid: str, node: str, seen: str) -> Obj:
    metadata, spec = given["metadata"], given.get("spec") or {}
    kept = {key: metadata[key] for key in ("labels",) if metadata.get(key)}
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != MIRROR}
    annotations |= {CONFIG_SOURCE: SOURCE, CONFIG_HASH: uid, CONFIG_SEEN: seen}
    # It is there because its node needs it: no taint drives it away.
    spec["tolerations"] = [*(spec.get("tolerations") or ()), {"operator": "Exists", "effect": "NoExecute"}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **kept,
            "name": f"{metadata['name']}-{node.lower()}" if metadata.get("name") else "",
            "namespace": metadata.get("namespace") or "default",
            "uid": uid,
            "annotations": annotations,
        },
        "spec": {**spec, "nodeName": node},
    }
    defaults.apply(PODS, pod)
    return pod


def _references(spec: Obj) -> Iterator[str]:
    """Kinds of the API's objects that it would need, of which a node without an API has none."""
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        yield "serviceaccounts"
    if spec.get("imagePullSecrets"):
        yield "secrets"
    if spec.get("resourceClaims"):
        yield "resourceclaims"
    for _, _, container in all_containers(spec):
        sources = [variable.get("valueFrom") or {} for variable in container.get("env") or ()]
        for source in (*sources, *(container.get("envFrom") or ())):
            yield from _listed(source, _OF_ENV)
    for volume in spec.get("volumes") or ():
        yield from _listed(volume, _OF_VOLUMES)
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _listed(source, _OF_VOLUMES)
        for source in volume.values():
            if isinstance(source, dict) and (source.get("secretRef") or source.get("nodePublishSecretRef")):
                yield "secrets"


def _listed(source: dict[str, Any], kinds: dict[str, str]) -> Iterator[str]:
    return (kind for field, kind in kinds.items() if source.get(field))


_OF_ENV = {
    "secretKeyRef": "secrets",
    "secretRef": "secrets",
    "configMapKeyRef": "configmaps",
    "configMapRef": "configmaps",
}
_OF_VOLUMES = {
    "secret": "secrets",
    "configMap": "configmaps",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims",
    "serviceAccountToken": "serviceaccounts",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}
