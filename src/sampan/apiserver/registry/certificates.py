"""CertificateSigningRequests: who asks is written down by the server, and what was asked never changes.

`approval` changes conditions alone, `status` is the signer's. Source: reference/access-authn-authz/
certificate-signing-requests, and the fields' own documentation.
"""

from __future__ import annotations

from sampan.api import clock
from sampan.api.objects import Obj
from sampan.apiserver.registry.hooks import Call, Hooks

APPROVAL = "approval"


class CertificateRequestHooks(Hooks):
    parts = frozenset([APPROVAL])

    def prepare_create(self, call: Call, obj: Obj) -> None:
        user, spec = call.user, obj.setdefault("spec", {})
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        new["spec"] = old["spec"]

    def prepare_status(self, call: Call, new: Obj, old: Obj) -> None:
        stamp(new["status"], old.get("status") or {})

    def prepare_part(self, call: Call, part: str, new: Obj, old: Obj) -> Obj:
        """What decides is the list of conditions; labels and annotations may come along."""
        conditions = (new.get("status") or {}).get("conditions") or []
        status = {**(old.get("status") or {}), "conditions": conditions}
        stamp(status, old.get("status") or {})
        return {**old, "metadata": new["metadata"], "status": status}


def stamp(status: Obj, before: Obj) -> None:
    """Times that the client has left out."""
    now = clock.now()
    kept = {(each.get("type"), each.get("status")): each for each in before.get("conditions") or ()}
    for condition in status.get("conditions") or ():
        old = kept.get((condition.get("type"), condition.get("status")))
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = (old or {}).get("lastUpdateTime") or now
        if not condition.get("lastTransitionTime"):
            condition["lastTransitionTime"] = (old or {}).get("lastTransitionTime") or now
