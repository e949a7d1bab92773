"""Defaults of group rbac.authorization.k8s.io."""

from __future__ import annotations

from sampan.api.defaults.fill import entries, fill_blank, section
from sampan.api.objects import Obj

RBAC_GROUP = "rbac.authorization.k8s.io"


def role_binding(obj: Obj) -> None:
    fill_blank(section(obj, "roleRef"), "apiGroup", RBAC_GROUP)
    for subject in entries(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill_blank(subject, "apiGroup", RBAC_GROUP)
