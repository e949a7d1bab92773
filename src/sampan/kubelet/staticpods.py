"""From a manifest file to a static Pod: one that its node runs from a file, whatever the API thinks. Pure.

Source: tasks/configure-pod-container/static-pod. The uid is made of the content, so a node that starts anew
knows its containers again; another content is another Pod.
"""

from __future__ import annotations

import hashlib
import json

from sampan.api import decode, defaults, validation
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.podreferences import api_references
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
    try:
        given, _ = decode.decode(data, "application/yaml", PODS)  # JSON is YAML, too
    except StatusError as error:
        raise ManifestFault(UNREADABLE, error.message) from error
    pod = _completed(given, _digest(given, file, node), node, seen)
    if listed := next(api_references(pod["spec"]), ""):
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
    pod.pop("status", None)  # what is known of it is for its node to say
    return pod
