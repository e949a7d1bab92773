"""Who gets a certificate without asking anybody, and what the signers refuse."""

from dataclasses import replace

import pytest

from sampan.controllers.certificates import rules
from sampan.controllers.certificates.request import Wanted

TOKEN = ("system:bootstrappers", "system:bootstrappers:sampan:default-node-token", "system:authenticated")
NODE = ("system:nodes", "system:authenticated")
CLIENT = Wanted(
    common_name="system:node:n1",
    organizations=("system:nodes",),
    usages=frozenset(["client auth", "digital signature"]),
    signer=rules.KUBELET_CLIENT,
    username="system:bootstrap:abcdef",
    groups=TOKEN,
)
SERVING = replace(
    CLIENT,
    dns_names=("n1",),
    ips=("10.0.0.1",),
    usages=frozenset(["server auth", "digital signature"]),
    signer=rules.KUBELET_SERVING,
    username="system:node:n1",
    groups=NODE,
)
ADDRESSES = {"10.0.0.1", "fd00::1", "n1"}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (CLIENT, "bootstrap token"),
        (replace(CLIENT, groups=("system:bootstrappers", "system:bootstrappers:other")), ""),
        (replace(CLIENT, groups=("system:authenticated",)), ""),
        (replace(CLIENT, username="system:node:n1", groups=NODE), "renews its own"),
        (replace(CLIENT, username="system:node:n2", groups=NODE), ""),
        (replace(CLIENT, common_name="root"), ""),
        (replace(CLIENT, organizations=("system:nodes", "system:masters")), ""),
        (replace(CLIENT, ips=("10.0.0.1",)), ""),
        (replace(CLIENT, usages=frozenset(["client auth", "server auth", "digital signature"])), ""),
        (replace(CLIENT, signer=rules.CLIENT), ""),
        (SERVING, "all its names are the node's"),
        (replace(SERVING, ips=("10.0.0.1", "fd00::1")), "all its names are the node's"),
        (replace(SERVING, ips=("10.0.0.9",)), ""),
        (replace(SERVING, dns_names=("kubernetes",)), ""),
        (replace(SERVING, username="system:node:n2"), ""),
        (replace(SERVING, username="system:bootstrap:abcdef", groups=TOKEN), ""),
    ],
)
def test_what_is_approved(wanted: Wanted, why: str) -> None:
    message = rules.approval(wanted, ADDRESSES)
    assert (why in message) if why else message == ""


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (CLIENT, ""),
        (replace(CLIENT, common_name="system:node:"), "common name must start with"),
        (replace(CLIENT, dns_names=("x",)), "subject alternative names"),
        (SERVING, ""),
        (replace(SERVING, dns_names=(), ips=()), "at least one"),
        (replace(SERVING, others=1), "only DNS and IP"),
        (replace(CLIENT, signer=rules.CLIENT, common_name="eve", organizations=()), ""),
        (replace(CLIENT, signer=rules.CLIENT, organizations=("system:masters",)), "system:masters"),
        (replace(CLIENT, signer=rules.CLIENT, usages=frozenset(["server auth"])), "usages"),
    ],
)
def test_what_is_refused(wanted: Wanted, why: str) -> None:
    refusal = rules.REFUSALS[wanted.signer](wanted)
    assert (why in refusal) if why else refusal == ""
