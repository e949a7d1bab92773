"""What of the API's objects a Pod needs: of which kinds (a node without an API has none of them), and which
Secrets and ConfigMaps by name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sampan.api.objects import Obj
from sampan.api.podspec import all_containers
from sampan.api.resources import CONFIG_MAPS, SECRETS, Resource


def api_references(spec: Obj) -> Iterator[str]:
    """`secrets`, `configmaps` and so on, each as often as it is referred to."""
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


def named(spec: Obj) -> Iterator[tuple[Resource, str]]:
    """(resource, name) of every ConfigMap and Secret, as often as it is referred to."""
    for volume in spec.get("volumes") or ():
        yield from of_volume(volume)
    for _, _, container in all_containers(spec):
        for source in container.get("envFrom") or ():
            yield from _of_ref(source.get("configMapRef"), source.get("secretRef"))
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            yield from _of_ref(source.get("configMapKeyRef"), source.get("secretKeyRef"))
    for ref in spec.get("imagePullSecrets") or ():
        yield from _of_ref(None, ref)


def of_volume(volume: Obj) -> Iterator[tuple[Resource, str]]:
    """(resource, name) of what one volume shows."""
    yield from _of_ref(volume.get("configMap"), None)
    if secret := volume.get("secret"):
        yield SECRETS, secret["secretName"]
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _of_ref(source.get("configMap"), source.get("secret"))


def _of_ref(config_map: Obj | None, secret: Obj | None) -> Iterator[tuple[Resource, str]]:
    if config_map and config_map.get("name"):
        yield CONFIG_MAPS, config_map["name"]
    if secret and secret.get("name"):
        yield SECRETS, secret["name"]
