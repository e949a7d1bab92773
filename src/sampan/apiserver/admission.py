"""Built-in admission: what the server adds to objects, or refuses, beyond their own kind's rules.

Each plugin is a function on (call, new, old); `old` is None on create. Plugins see the caches, not the store.
Source: reference/access-authn-authz/admission-controllers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.api import errors, names
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import NODES, PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS, Resource
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.watchcache import Cache, Hub

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_LIFETIME_S = 3607
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATION_S = 300
# A new namespace's default account is made by a controller: a Pod that comes first waits this long for it.
ACCOUNT_WAIT_S = 2.0

Mutator = Callable[[Call, Obj, "Obj | None"], Awaitable[None]]


class Admission:
    """Runs the plugins that concern a resource, in upstream's order."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._mutators: dict[Resource, tuple[Mutator, ...]] = {
            PODS: (self._service_account, _default_tolerations, self._priority),
            NODES: (_taint_new_node,),
        }

    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        for plugin in self._mutators.get(call.resource, ()):
            await plugin(call, new, old)

    def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        """Raises StatusError for what is forbidden although it is valid."""
        if call.resource.plural == "services" and not call.resource.group:
            _refuse_external_ips(call, new, old)

    async def _service_account(self, call: Call, pod: Obj, old: Obj | None) -> None:
        """ServiceAccount: every Pod has an account, and its token mounted unless it says otherwise."""
        if old is not None or "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
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
        cache = self._hub.cache(storage_prefix(SERVICE_ACCOUNTS))
        key = f"{storage_prefix(SERVICE_ACCOUNTS)}{namespace}/{name}"
        entry = cache.get(key)
        if entry is None and name == "default":
            entry = await cache.appears(key, ACCOUNT_WAIT_S)
        if entry is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise _refused(pod, why)
        return entry.obj

    async def _priority(self, call: Call, pod: Obj, old: Obj | None) -> None:
        """Priority: the class's number and preemption policy."""
        if old is not None:
            return
        spec = pod["spec"]
        cache = self._hub.cache(storage_prefix(PRIORITY_CLASSES))
        chosen = self._class_of(cache, pod)
        value = chosen.get("value", 0) if chosen else 0
        if "priority" in spec and spec["priority"] != value:
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise _refused(pod, why)
        spec["priority"] = value
        policy = (chosen or {}).get("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("preemptionPolicy", policy)

    def _class_of(self, cache: Cache, pod: Obj) -> Obj | None:
        name = pod["spec"].get("priorityClassName")
        if name:
            entry = cache.get(storage_prefix(PRIORITY_CLASSES) + name)
            if entry is None:
                why = f"no PriorityClass with name {name} was found"
                raise _refused(pod, why)
            return entry.obj
        defaults = [entry.obj for entry in cache.entries.values() if entry.obj.get("globalDefault")]
        if not defaults:
            return None
        lowest = min(defaults, key=lambda found: found.get("value", 0))
        pod["spec"]["priorityClassName"] = lowest["metadata"]["name"]
        return lowest


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


async def _default_tolerations(call: Call, pod: Obj, old: Obj | None) -> None:
    """DefaultTolerationSeconds: a Pod stays five minutes on a node that is lost."""
    if old is not None:
        return
    tolerations = pod["spec"].get("tolerations") or []
    missing = [key for key in (NOT_READY, UNREACHABLE) if not any(_tolerates(t, key) for t in tolerations)]
    if missing:
        pod["spec"]["tolerations"] = tolerations + [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
            for key in missing
        ]


def _tolerates(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


async def _taint_new_node(call: Call, node: Obj, old: Obj | None) -> None:
    """TaintNodesByCondition: nothing is placed on a node before it has said that it is ready."""
    if old is not None:
        return
    spec = node.setdefault("spec", {})
    taints = spec.get("taints") or []
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]


def _refuse_external_ips(call: Call, new: Obj, old: Obj | None) -> None:
    """DenyServiceExternalIPs: whoever may write Services could otherwise take any address's traffic."""
    allowed = set((old or {}).get("spec", {}).get("externalIPs") or ())
    asked = set(new.get("spec", {}).get("externalIPs") or ())
    if asked - allowed:
        why = "Use of external IPs is denied by admission control"
        raise errors.forbidden(call.resource, new["metadata"].get("name", ""), why)


def _refused(pod: Obj, why: str) -> StatusError:
    """Names the Pod as its author did: by the prefix, where the rest of the name was made up."""
    fields = pod["metadata"]
    return errors.forbidden(PODS, fields.get("generateName") or fields.get("name", ""), why)
