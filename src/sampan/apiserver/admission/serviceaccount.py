"""ServiceAccount: every Pod has an account, and its token mounted unless it says otherwise."""

from __future__ import annotations

from sampan.api import names
from sampan.api.objects import Obj
from sampan.api.resources import SERVICE_ACCOUNTS
from sampan.apiserver.admission.plugin import Plugin, refused
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_LIFETIME_S = 3607
# A new namespace's default account is made by a controller: a Pod that comes first waits this long for it.
ACCOUNT_WAIT_S = 2.0


class ServiceAccount(Plugin):
    async def mutate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        if "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = name
        spec.setdefault("serviceAccount", name)
        account = await self._account(call, pod, name)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(item) for item in account["imagePullSecrets"]]
        wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if wanted:
            _mount_token(spec)

    async def _account(self, call: Call, pod: Obj, name: str) -> Obj:
        namespace = call.request.namespace
        cache = self.hub.cache(storage_prefix(SERVICE_ACCOUNTS))
        key = f"{storage_prefix(SERVICE_ACCOUNTS)}{namespace}/{name}"
        entry = cache.get(key)
        if entry is None and name == "default":
            entry = await cache.appears(key, ACCOUNT_WAIT_S)
        if entry is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise refused(call, pod, why)
        return entry.obj


def _mount_token(spec: Obj) -> None:
    everywhere = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    without = [
        container
        for container in everywhere
        if all(mount.get("mountPath") != TOKEN_MOUNT for mount in container.get("volumeMounts") or ())
    ]
    if not without:
        return
    volume = f"kube-api-access-{names.random_suffix(5)}"
    for container in without:
        mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_MOUNT}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    root = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    projected = {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_S, "path": "token"}},
            {"configMap": root},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 420,
    }
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": volume, "projected": projected}]
