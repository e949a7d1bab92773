"""What nodes may do, and machines that want to become nodes.

A node reads what its proxy and its DNS server need of the whole cluster; Secrets, ConfigMaps and tokens only
of its own Pods; it writes about itself and its Pods alone. What it may write within an object is for the
admission plugin NodeRestriction. Lookups go to the watch cache: nothing is kept here.
Source: reference/access-authn-authz/node and .../rbac ("system:node", "system:node-bootstrapper").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sampan.api.objects import Obj
from sampan.api.podreferences import named
from sampan.api.request import UserInfo
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from sampan.apiserver.authz import Attributes

USER_PREFIX = "system:node:"
SETTINGS = frozenset([("kube-system", "sampan-config"), ("kube-system", "coredns")])
"""ConfigMaps for every node: what cluster it belongs to, and what its DNS server is told."""

_READ = frozenset(["get", "list", "watch"])
_WRITE = frozenset(["update", "patch"])
_ALL = frozenset(["create", "update", "patch", "delete"])

Lookup = Callable[[Resource, str, str], "Obj | None"]
PodsOf = Callable[[str, str], Iterable[Obj]]

Table = Mapping[tuple[str, str], frozenset[str]]

NODE: Table = {
    ("", "services"): _READ,
    ("", "endpoints"): _READ,
    ("", "namespaces"): _READ,
    ("", "nodes"): _READ | {"create"},
    ("", "pods"): _READ | {"create"},
    ("", "persistentvolumes"): _READ | _ALL,  # the node is the provisioner of its own directories
    ("", "persistentvolumeclaims"): _READ | _WRITE,
    ("", "events"): frozenset(["create", "update", "patch"]),
    ("events.k8s.io", "events"): frozenset(["create", "update", "patch"]),
    ("discovery.k8s.io", "endpointslices"): _READ,
    ("networking.k8s.io", "networkpolicies"): _READ,
    ("networking.k8s.io", "servicecidrs"): _READ,
    ("node.k8s.io", "runtimeclasses"): _READ,
    ("storage.k8s.io", "storageclasses"): _READ,
    ("storage.k8s.io", "csidrivers"): _READ,
    ("coordination.k8s.io", "leases"): frozenset(["get", "create", "update", "patch", "delete"]),
    ("certificates.k8s.io", "certificatesigningrequests"): _READ | {"create"},
    ("authentication.k8s.io", "tokenreviews"): frozenset(["create"]),
    ("authentication.k8s.io", "selfsubjectreviews"): frozenset(["create"]),
    ("authorization.k8s.io", "subjectaccessreviews"): frozenset(["create"]),
    ("authorization.k8s.io", "localsubjectaccessreviews"): frozenset(["create"]),
    ("authorization.k8s.io", "selfsubjectaccessreviews"): frozenset(["create"]),
}
"""Verbs on objects whosesoever they are; for writes NodeRestriction looks closer."""

BOOTSTRAPPER: Table = {
    ("certificates.k8s.io", "certificatesigningrequests"): _READ | {"create"},
    ("authentication.k8s.io", "selfsubjectreviews"): frozenset(["create"]),
    ("authorization.k8s.io", "selfsubjectaccessreviews"): frozenset(["create"]),
}

_OPEN_PATHS = ("/api", "/apis", "/openapi", "/healthz", "/livez", "/readyz", "/version")


class Bootstrapper:
    """Keeps authz.Authorizer: certificate requests, and nothing else."""

    def allows(self, user: UserInfo, wanted: Attributes) -> bool:
        if wanted.path:
            return _open(wanted)
        return not wanted.subresource and _listed(BOOTSTRAPPER, wanted)

    def rules(
        self, user: UserInfo, namespace: str
    ) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
        return _shown(BOOTSTRAPPER)


class NodeAuthorizer:
    """Keeps authz.Authorizer. `pods_of(node, namespace)` answers the Pods bound to a node."""

    def __init__(self, lookup: Lookup, pods_of: PodsOf) -> None:
        self._lookup, self._pods_of = lookup, pods_of
        self._own: Mapping[tuple[str, str], Callable[[str, Attributes], bool]] = {
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("", "secrets"): self._needed,
            ("", "configmaps"): self._needed,
            ("", "serviceaccounts"): self._account,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._volume,
        }

    def allows(self, user: UserInfo, wanted: Attributes) -> bool:
        if wanted.path:
            return _open(wanted) or wanted.path == "/metrics"
        if not user.name.startswith(USER_PREFIX):
            return False
        if not wanted.subresource and _listed(NODE, wanted):
            return True
        if (rule := self._own.get((wanted.group, wanted.resource))) is None:
            return False
        return rule(user.name.removeprefix(USER_PREFIX), wanted)

    def rules(
        self, user: UserInfo, namespace: str
    ) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
        return _shown(NODE)

    def _node(self, node: str, wanted: Attributes) -> bool:
        if wanted.name != node:
            return False
        if wanted.subresource in ("proxy", "metrics", "stats", "log", "pods", "healthz", "configz"):
            return True  # its own pages
        return wanted.subresource in ("", "status") and wanted.verb in _WRITE

    def _pod(self, node: str, wanted: Attributes) -> bool:
        if (wanted.subresource, wanted.verb) not in _POD_WRITES:
            return False
        if wanted.subresource == "status":
            return True  # NodeRestriction sees whose it is
        pod = self._lookup(PODS, wanted.namespace, wanted.name)
        # One that is gone is for the registry to miss.
        return pod is None or pod["spec"].get("nodeName") == node

    def _needed(self, node: str, wanted: Attributes) -> bool:
        """A Secret or ConfigMap that a Pod of this node refers to, by name."""
        if wanted.subresource or wanted.verb not in _READ or not wanted.name:
            return False
        if wanted.resource == "configmaps" and (wanted.namespace, wanted.name) in SETTINGS:
            return True
        return any(
            (resource.plural, name) == (wanted.resource, wanted.name)
            for pod in self._pods_of(node, wanted.namespace)
            for resource, name in named(pod["spec"])
        )

    def _account(self, node: str, wanted: Attributes) -> bool:
        """Tokens are for the accounts of its own Pods."""
        if (wanted.subresource, wanted.verb) not in (("token", "create"), ("", "get")):
            return False
        return any(
            pod["spec"].get("serviceAccountName", "default") == wanted.name
            for pod in self._pods_of(node, wanted.namespace)
        )

    def _claim(self, node: str, wanted: Attributes) -> bool:
        if wanted.subresource != "status" or wanted.verb not in _READ | _WRITE:
            return False
        claim = self._lookup(PERSISTENT_VOLUME_CLAIMS, wanted.namespace, wanted.name)
        return claim is not None

    def _volume(self, node: str, wanted: Attributes) -> bool:
        return wanted.subresource == "status" and wanted.verb in _READ | _WRITE


_POD_WRITES = frozenset(
    [("", "delete"), ("status", "get"), ("status", "update"), ("status", "patch"), ("eviction", "create")]
)


def _listed(table: Table, wanted: Attributes) -> bool:
    return wanted.verb in table.get((wanted.group, wanted.resource), ())


def _open(wanted: Attributes) -> bool:
    first = "/" + wanted.path.lstrip("/").partition("/")[0]
    return wanted.verb in ("get", "head") and (wanted.path == "/" or first in _OPEN_PATHS)


def _shown(table: Table) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
    listed = [
        {"verbs": sorted(verbs), "apiGroups": [group], "resources": [plural]}
        for (group, plural), verbs in table.items()
    ]
    return listed, [{"verbs": ["get"], "nonResourceURLs": list(_OPEN_PATHS)}]
