"""AppArmor profiles by annotation, as Pods named them before there were fields: moved to the fields.

Source: tutorials/security/apparmor; KEP-24.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api.errors import FieldError, invalid_value
from sampan.api.objects import Obj, annotations_of
from sampan.api.podspec import all_containers

PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_LOCALHOST = "localhost/"


def profile(value: str) -> Obj | None:
    """The field's form of an annotation; None for one that says nothing."""
    if value == "runtime/default":
        return {"type": "RuntimeDefault"}
    if value == "unconfined":
        return {"type": "Unconfined"}
    if value.startswith(_LOCALHOST) and value != _LOCALHOST:
        return {"type": "Localhost", "localhostProfile": value.removeprefix(_LOCALHOST)}
    return None


def move(pod: Obj) -> None:
    """Fills in the fields of containers that have only the annotation."""
    for _, _, container in all_containers(pod["spec"]):
        found = profile(annotations_of(pod).get(PREFIX + container.get("name", ""), ""))
        context = container.get("securityContext") or {}
        if found is not None and context.get("appArmorProfile") is None:
            container["securityContext"] = {**context, "appArmorProfile": found}


def wrong(pod: Obj) -> Iterator[FieldError]:
    """Annotations of no container, or that name no profile, or another than the field."""
    containers = {c.get("name"): c for _, _, c in all_containers(pod.get("spec") or {})}
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    for key, value in annotations.items():
        if not key.startswith(PREFIX):
            continue
        at, name = f"metadata.annotations[{key}]", key.removeprefix(PREFIX)
        if name not in containers:
            yield invalid_value(at, name, "container not found")
        elif value and profile(value) is None:
            yield invalid_value(at, value, f'invalid AppArmor profile name: "{value}"')
