"""NodeRestriction: a kubelet writes about its own node and Pods, and gives its node no labels of trust.

Source: reference/access-authn-authz/admission-controllers, "NodeRestriction".
"""

from __future__ import annotations

from collections.abc import Set

from sampan.api.objects import Obj, annotations_of, labels_of
from sampan.api.podreferences import api_references
from sampan.api.request import UserInfo
from sampan.api.resources import CERTIFICATE_REQUESTS, LEASES, NODES, PODS
from sampan.apiserver.admission.certificatesubject import common_name
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied
from sampan.apiserver.registry.hooks import Call

GROUP, PREFIX = "system:nodes", "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
MIRROR = "kubernetes.io/config.mirror"
KUBELET_SIGNERS = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")
_OWN_LABELS = frozenset(
    [
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ]
)
_OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_DOMAINS = ("kubernetes.io", "k8s.io")


class NodeRestriction(Plugin):
    operations = frozenset({CREATE, UPDATE})
    subresources = frozenset({"", "status"})

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        node = node_of(call.user)
        if node is None:
            return
        rules = {NODES: _node, PODS: _pod, LEASES: _lease, CERTIFICATE_REQUESTS: _certificate}
        if why := rules[call.resource](node, call, new, old):
            raise denied(call, new, why)


def node_of(user: UserInfo) -> str | None:
    """The node whose kubelet this is; "" for one that does not say."""
    if GROUP not in user.groups:
        return None
    return user.name.removeprefix(PREFIX) if user.name.startswith(PREFIX) else ""


def _node(node: str, call: Call, new: Obj, old: Obj | None) -> str:
    name = new["metadata"].get("name", "")
    if name != node:
        return f'node "{node}" is not allowed to modify node "{name}"'
    if old is not None and (new.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
        return f'node "{node}" is not allowed to modify taints'
    before, after = labels_of(old) if old else {}, labels_of(new)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if forbidden := sorted(_trusted(changed)):
        doing = "set the following" if old is None else "modify"
        return f'node "{node}" is not allowed to {doing} labels: {", ".join(forbidden)}'
    return ""


def _trusted(labels: Set[str]) -> Set[str]:
    """Those that others rely on: of Kubernetes' own domains, and not made for kubelets."""
    return {
        label
        for label in labels - _OWN_LABELS
        if _within(label, _DOMAINS) and not _within(label, _OWN_DOMAINS)
    }


def _within(label: str, domains: tuple[str, ...]) -> bool:
    domain = label.partition("/")[0] if "/" in label else ""
    return any(domain == known or domain.endswith(f".{known}") for known in domains)


def _pod(node: str, call: Call, new: Obj, old: Obj | None) -> str:
    if call.request.subresource == "status":
        if new["spec"].get("nodeName") != node:
            return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
        if old is not None and labels_of(new) != labels_of(old):
            return f'node "{node}" cannot update labels through pod status'
        return ""
    if old is not None:
        return ""  # what a node may not do at all is for authorization
    if MIRROR not in annotations_of(new):
        return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if new["spec"].get("nodeName") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    return _owners(node, new) or _needs(node, new)


def _owners(node: str, mirror: Obj) -> str:
    owners = mirror["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    for owner in owners:
        if (owner["apiVersion"], owner["kind"], owner["name"]) != ("v1", "Node", node):
            return f'node "{node}" can only create pods with an owner reference set to itself'
        if not owner.get("controller"):
            return f'node "{node}" can only create pods with a controller owner reference set to itself'
        if owner.get("blockOwnerDeletion"):
            return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    return ""


def _needs(node: str, mirror: Obj) -> str:
    """A mirror that needed an object would open that object to the node."""
    listed = next(api_references(mirror["spec"]), "")
    return f'node "{node}" can not create pods that reference {listed}' if listed else ""


def _lease(node: str, call: Call, new: Obj, old: Obj | None) -> str:
    if call.request.namespace != LEASE_NAMESPACE:
        return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
    if new["metadata"].get("name") != node:
        return "can only access node lease with the same name as the requesting node"
    return ""


def _certificate(node: str, call: Call, new: Obj, old: Obj | None) -> str:
    """Of the signers for kubelets it may ask a certificate for itself."""
    spec = new["spec"]
    if old is None and spec.get("signerName") in KUBELET_SIGNERS:
        wanted = PREFIX + node
        if common_name(spec["request"]) != wanted:
            return f"can only create a node CSR with CN={wanted}"
    return ""
