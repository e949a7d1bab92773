"""ServiceAccount: every Pod has an account, and its token mounted unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api import names
from sampan.api.objects import Obj
from sampan.api.podspec import all_containers
from sampan.api.resources import SERVICE_ACCOUNTS
from sampan.apiserver.admission.plugin import Plugin, denied, refused
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_LIFETIME_S = 3607
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
"""On an account (deprecated): its Pods use no Secrets but those that it lists."""
_MIRROR = "kubernetes.io/config.mirror"
_TOKEN_VOLUME = "kube-api-access-"
# A new namespace's default account is made by a controller: a Pod that comes first waits this long for it.
ACCOUNT_WAIT_S = 2.0


class ServiceAccount(Plugin):
    async def mutate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        if _is_mirror(pod):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = name
        spec.setdefault("serviceAccount", name)
        account = await self._account(call, pod, name)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(item) for item in account["imagePullSecrets"]]
        # The Pod has the last word, then the account; who says nothing gets a token.
        said = (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken"))
        if next((word for word in said if word is not None), True):
            _mount_token(spec)

    async def validate(self, call: Call, pod: Obj, old: Obj | None) -> None:
        if _is_mirror(pod):
            _check_mirror(call, pod)
            return
        name = pod["spec"].get("serviceAccountName", "")
        account = await self._account(call, pod, name)
        annotations = account["metadata"].get("annotations") or {}
        if annotations.get(ENFORCE, "").lower() in ("true", "t", "1"):
            for sentence in _beyond(pod["spec"], account):
                raise denied(call, pod, sentence)

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


def _is_mirror(pod: Obj) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def _check_mirror(call: Call, pod: Obj) -> None:
    """What stands for a Pod that the node has from a file is given nothing of the API's."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise denied(call, pod, "a mirror pod may not reference service accounts")
    if any(_secrets(spec)):
        raise denied(call, pod, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                raise denied(call, pod, "a mirror pod may not use ServiceAccountToken volume projections")


def _secrets(spec: Obj) -> Iterator[tuple[str, str]]:
    """(name, what is said when the account does not list it) of the Secrets in volumes and environments."""
    for volume in spec.get("volumes") or ():
        if name := (volume.get("secret") or {}).get("secretName"):
            yield name, f'volume with secret.secretName="{name}" is not allowed because '
    for listed, _, container in all_containers(spec):
        who = f"{'init ' if listed == 'initContainers' else ''}container {container['name']}"
        for variable in container.get("env") or ():
            ref = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
            if name := ref.get("name"):
                how = f'envVar {variable["name"]} referencing secret.secretName="{name}"'
                yield name, f"{who} with {how} is not allowed because "
        for source in container.get("envFrom") or ():
            if name := (source.get("secretRef") or {}).get("name"):
                how = f'envFrom referencing secret.secretName="{name}"'
                yield name, f"{who} with {how} is not allowed because "


def _beyond(spec: Obj, account: Obj) -> Iterator[str]:
    """A sentence for each use of a Secret that the account does not list."""
    name_of_account = account["metadata"]["name"]
    listed = {entry.get("name") for entry in account.get("secrets") or ()}
    for name, sentence in _secrets(spec):
        if name not in listed:
            yield f"{sentence}service account {name_of_account} does not reference that secret"
    listed = {entry.get("name") for entry in account.get("imagePullSecrets") or ()}
    for index, entry in enumerate(spec.get("imagePullSecrets") or ()):
        if (name := entry.get("name")) not in listed:
            yield (
                f'imagePullSecrets[{index}].name="{name}" is not allowed because '
                f"service account {name_of_account} does not reference that imagePullSecret"
            )


def _mount_token(spec: Obj) -> None:
    everywhere = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    without = [
        container
        for container in everywhere
        if all(mount.get("mountPath") != TOKEN_MOUNT for mount in container.get("volumeMounts") or ())
    ]
    if not without:
        return
    volumes = spec.get("volumes") or []
    # A Pod that was copied from another one brings the volume along.
    brought = [v["name"] for v in volumes if v["name"].startswith(_TOKEN_VOLUME) and v.get("projected")]
    volume = brought[0] if brought else f"{_TOKEN_VOLUME}{names.random_suffix(5)}"
    for container in without:
        mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_MOUNT}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    if brought:
        return
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
    spec["volumes"] = [*volumes, {"name": volume, "projected": projected}]
