"""Defaults of what is asked for: devices, certificates, tokens."""

from __future__ import annotations

from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.objects import Obj


def resource_claim(obj: Obj) -> None:
    _device_claim(section(obj, "spec"))


def resource_claim_template(obj: Obj) -> None:
    _device_claim(section(section(obj, "spec"), "spec"))


def _device_claim(spec: Obj) -> None:
    for request in entries(spec.get("devices") or {}, "requests"):
        exactly = [request["exactly"]] if request.get("exactly") is not None else []
        for wanted in (*exactly, *entries(request, "firstAvailable")):
            fill_blank(wanted, "allocationMode", "ExactCount")
            if wanted["allocationMode"] == "ExactCount":
                fill_blank(wanted, "count", 1)
            for toleration in entries(wanted, "tolerations"):
                fill_blank(toleration, "operator", "Equal")


def pod_certificate_request(obj: Obj) -> None:
    fill(section(obj, "spec"), "maxExpirationSeconds", 86400)


def token_request(obj: Obj) -> None:
    """The audience is the API server's own, which fills it in."""
    fill(section(obj, "spec"), "expirationSeconds", 3600)
