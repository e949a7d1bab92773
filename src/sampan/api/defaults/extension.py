"""Defaults of what extends the API: groups apiextensions.k8s.io and apiregistration.k8s.io."""

from __future__ import annotations

from sampan.api.defaults.admission import client_service
from sampan.api.defaults.fill import entries, fill_blank, section
from sampan.api.objects import Obj


def custom_resource_definition(obj: Obj) -> None:
    spec = section(obj, "spec")
    kinds = section(spec, "names")
    if kinds.get("kind"):
        fill_blank(kinds, "singular", kinds["kind"].lower())
        fill_blank(kinds, "listKind", kinds["kind"] + "List")
    conversion = section(spec, "conversion")
    fill_blank(conversion, "strategy", "None")
    client_service((conversion.get("webhook") or {}).get("clientConfig"))
    status = section(obj, "status")
    if not status.get("storedVersions"):
        stored = [version.get("name", "") for version in entries(spec, "versions") if version.get("storage")]
        status["storedVersions"] = stored


def api_service(obj: Obj) -> None:
    client_service(section(obj, "spec"))
