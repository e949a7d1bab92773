"""Certificate requests: who asks is written by the server, and each door changes its own part."""

import base64

import pytest

from harness import certificates
from sampan.api.errors import StatusError
from sampan.api.resources import CERTIFICATE_REQUESTS as CSRS

SIGNER = "kubernetes.io/kube-apiserver-client"
APPROVED = {"type": "Approved", "status": "True", "reason": "Why", "message": "not"}


def asked(name: str = "a", **spec):
    return certificates.request(name, certificates.pem("eve"), SIGNER, ["client auth"], **spec)


async def test_who_asks_is_not_what_he_says(api) -> None:
    made = await api.create(CSRS, asked(username="root", groups=["system:masters"]))
    assert (made["spec"]["username"], made["spec"]["groups"]) == ("tester", ["system:authenticated"])


async def test_what_was_asked_never_changes(api) -> None:
    made = await api.create(CSRS, asked())
    other = {"spec": {"usages": ["server auth"]}, "metadata": {"labels": {"a": "b"}}}
    changed = await api.call("patch", CSRS, "a", other)
    assert changed["spec"] == made["spec"] and changed["metadata"]["labels"] == {"a": "b"}


async def test_an_approval_adds_its_condition_with_times_and_nothing_else(api) -> None:
    await api.create(CSRS, asked())
    body = {"status": {"conditions": [APPROVED], "certificate": "AAAA"}}
    changed = await api.call("patch", CSRS, "a", body, sub="approval")
    (condition,) = changed["status"]["conditions"]
    assert condition["lastUpdateTime"] and condition["lastTransitionTime"]
    assert "certificate" not in changed["status"]


@pytest.mark.parametrize(
    ("sub", "conditions", "message"),
    [
        ("status", [APPROVED], 'updates may not add a condition of type "Approved"'),
        ("approval", [APPROVED, {**APPROVED, "type": "Denied"}], "mutually exclusive"),
        ("approval", [{**APPROVED, "status": "False"}], 'supported values: "True"'),
        ("approval", [APPROVED, APPROVED], "Duplicate value"),
    ],
)
async def test_what_may_not_be_said_of_one(api, sub, conditions, message) -> None:
    await api.create(CSRS, asked())
    with pytest.raises(StatusError, match=message):
        await api.call("patch", CSRS, "a", {"status": {"conditions": conditions}}, sub=sub)


async def test_what_is_decided_stays_decided(api) -> None:
    await api.create(CSRS, asked())
    await api.call("patch", CSRS, "a", {"status": {"conditions": [APPROVED]}}, sub="approval")
    with pytest.raises(StatusError, match='updates may not remove a condition of type "Approved"'):
        await api.call("patch", CSRS, "a", {"status": {"conditions": []}}, sub="approval")


async def test_a_certificate_is_given_once(api) -> None:
    await api.create(CSRS, asked())
    first = base64.b64encode(api.server.pki.ca.read_bytes()).decode()
    changed = await api.call("patch", CSRS, "a", {"status": {"certificate": first}}, sub="status")
    assert changed["status"]["certificate"] == first
    with pytest.raises(StatusError, match="updates may not modify existing certificate content"):
        await api.call("patch", CSRS, "a", {"status": {"certificate": "AAAA"}}, sub="status")


async def test_nobody_becomes_a_master_by_certificate(api) -> None:
    body = certificates.request("a", certificates.pem("eve", ["system:masters"]), SIGNER, ["client auth"])
    with pytest.raises(StatusError, match="signer with system:masters group is not allowed"):
        await api.create(CSRS, body)
