"""What a node may ask for: everything of its own, of others only what routing and names need."""

import pytest

from sampan.api.request import UserInfo
from sampan.api.resources import PODS
from sampan.apiserver.authz import Attributes, AuthenticatedMay, Confining
from sampan.apiserver.nodeauthorizer import Bootstrapper, NodeAuthorizer

NODE = UserInfo("system:node:n1", ("system:nodes", "system:authenticated"))


def pod(name: str, node: str, **spec):
    listed = [{"name": "c"}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "containers": listed, **spec},
    }


PODS_THERE = [
    pod(
        "mine",
        "n1",
        serviceAccountName="robot",
        volumes=[{"name": "v", "secret": {"secretName": "s1"}}],
        imagePullSecrets=[{"name": "pull"}],
    ),
    pod("other", "n2", volumes=[{"name": "v", "secret": {"secretName": "s2"}}]),
]


def lookup(resource, namespace, name):
    found = [each for each in PODS_THERE if resource is PODS and each["metadata"]["name"] == name]
    return found[0] if found else None


def pods_of(node: str, namespace: str):
    return [
        each
        for each in PODS_THERE
        if (each["spec"]["nodeName"], each["metadata"]["namespace"]) == (node, namespace)
    ]


AUTHORIZER = Confining(
    {"system:nodes": NodeAuthorizer(lookup, pods_of), "system:bootstrappers": Bootstrapper()},
    AuthenticatedMay(),
)


def asked(text: str) -> Attributes:
    """`VERB [GROUP/]RESOURCE[:SUBRESOURCE] [NAMESPACE/NAME]`."""
    verb, resource, *where = text.split(" ")
    group, _, plural = resource.rpartition("/")
    plural, _, part = plural.partition(":")
    namespace, _, name = (where[0] if where else "").rpartition("/")
    return Attributes(verb, group, plural, part, namespace, name)


@pytest.mark.parametrize(
    "text",
    [
        "list services",
        "watch discovery.k8s.io/endpointslices",
        "list pods",
        "create nodes",
        "patch nodes n1",
        "patch nodes:status n1",
        "get secrets default/s1",
        "watch secrets default/pull",
        "create serviceaccounts:token default/robot",
        "delete pods default/mine",
        "patch pods:status default/mine",
        "create certificates.k8s.io/certificatesigningrequests",
        "get configmaps kube-system/sampan-config",
        "watch configmaps kube-system/coredns",
        "patch coordination.k8s.io/leases kube-node-lease/n1",
    ],
)
def test_a_node_may(text: str) -> None:
    assert AUTHORIZER.allows(NODE, asked(text))


@pytest.mark.parametrize(
    "text",
    [
        "list secrets",
        "get secrets default/s2",
        "get secrets kube-system/s1",
        "patch secrets default/s1",
        "get configmaps default/any",
        "create serviceaccounts:token default/default",
        "delete pods default/other",
        "patch nodes n2",
        "patch nodes:status n2",
        "delete nodes n1",
        "get nodes:proxy n2",
        "create pods:exec default/mine",
        "create pods:binding default/mine",
        "create apps/deployments default/",
        "update certificates.k8s.io/certificatesigningrequests:approval a",
        "patch certificates.k8s.io/certificatesigningrequests:status a",
        "impersonate users root",
    ],
)
def test_a_node_may_not(text: str) -> None:
    assert not AUTHORIZER.allows(NODE, asked(text))


def test_a_member_of_the_nodes_that_is_none_may_nothing() -> None:
    assert not AUTHORIZER.allows(UserInfo("eve", NODE.groups), asked("list services"))


def test_a_machine_with_a_token_may_ask_for_a_certificate_alone() -> None:
    user = UserInfo("system:bootstrap:abcdef", ("system:bootstrappers", "system:authenticated"))
    assert AUTHORIZER.allows(user, asked("create certificates.k8s.io/certificatesigningrequests"))
    assert AUTHORIZER.allows(user, Attributes("get", path="/api"))
    assert not AUTHORIZER.allows(
        user, asked("create certificates.k8s.io/certificatesigningrequests:status a")
    )
    assert not AUTHORIZER.allows(user, asked("list nodes"))
    assert not AUTHORIZER.allows(user, Attributes("get", path="/metrics"))


def test_a_master_is_not_confined() -> None:
    user = UserInfo("root", ("system:nodes", "system:masters", "system:authenticated"))
    assert AUTHORIZER.allows(user, asked("list secrets"))


def test_what_a_node_may_is_told() -> None:
    listed, paths = AUTHORIZER.rules(NODE, "default")
    assert {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["services"]} in listed
    assert paths[0]["verbs"] == ["get"]
