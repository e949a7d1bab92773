"""What each of Kubernetes' own signers signs, and what is approved without asking anybody. Pure.

Source: reference/access-authn-authz, "certificate-signing-requests" and "kubelet-tls-bootstrapping".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from sampan.api.bootstraptoken import NODE_GROUP
from sampan.controllers.certificates.request import Wanted

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"

NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
MASTERS = "system:masters"
NEWCOMERS = frozenset([NODE_GROUP, "system:bootstrappers:kubeadm:default-node-token"])
"""Groups of bootstrap tokens that are made for nodes."""

_KEY_USAGES = frozenset(["digital signature", "key encipherment"])


def client_refusal(wanted: Wanted) -> str:
    """Why the signer of API clients does not sign; "" if it does."""
    if MASTERS in wanted.organizations:
        return f"organization {MASTERS} is not allowed"
    if "client auth" not in wanted.usages or wanted.usages - _KEY_USAGES - {"client auth"}:
        return "usages must be client auth, and digital signature or key encipherment besides"
    return ""


def kubelet_client_refusal(wanted: Wanted) -> str:
    if why := _not_a_node(wanted):
        return why
    if wanted.dns_names or wanted.ips or wanted.others:
        return "subject alternative names are not allowed"
    return _wrong_usages(wanted, "client auth")


def kubelet_serving_refusal(wanted: Wanted) -> str:
    if why := _not_a_node(wanted):
        return why
    if wanted.others:
        return "only DNS and IP subject alternative names are allowed"
    if not wanted.dns_names and not wanted.ips:
        return "at least one DNS or IP subject alternative name is required"
    if wanted.username != wanted.common_name:
        return "requested by another user than the node that it names"
    return _wrong_usages(wanted, "server auth")


REFUSALS: Mapping[str, Callable[[Wanted], str]] = {
    CLIENT: client_refusal,
    KUBELET_CLIENT: kubelet_client_refusal,
    KUBELET_SERVING: kubelet_serving_refusal,
}


def approval(wanted: Wanted, addresses: Collection[str]) -> str:
    """The message with which it is approved; "" if that is for somebody else to decide.

    `addresses` are those that the requesting node has told of itself.
    """
    own = wanted.username == wanted.common_name and NODES_GROUP in wanted.groups
    if wanted.signer == KUBELET_CLIENT and not kubelet_client_refusal(wanted):
        if own:
            return "Auto approving self kubelet client certificate: the node renews its own."
        if NEWCOMERS.intersection(wanted.groups):
            return "Auto approving kubelet client certificate: requested with a bootstrap token for nodes."
    if wanted.signer == KUBELET_SERVING and not kubelet_serving_refusal(wanted):
        known = {*addresses, node_name(wanted)}
        if own and known.issuperset(wanted.dns_names) and known.issuperset(wanted.ips):
            return "Auto approving kubelet serving certificate: all its names are the node's."
    return ""


def node_name(wanted: Wanted) -> str:
    return wanted.common_name.removeprefix(NODE_PREFIX)


def _not_a_node(wanted: Wanted) -> str:
    if wanted.organizations != (NODES_GROUP,):
        return f"organization must be exactly {NODES_GROUP}"
    if not wanted.common_name.startswith(NODE_PREFIX) or wanted.common_name == NODE_PREFIX:
        return f"common name must start with {NODE_PREFIX}"
    return ""


def _wrong_usages(wanted: Wanted, purpose: str) -> str:
    """Exactly the purpose and digital signature; key encipherment may be there (RSA keys need it)."""
    if {purpose, "digital signature"} <= wanted.usages <= {purpose, *_KEY_USAGES}:
        return ""
    return f"usages must be {purpose} and digital signature"
