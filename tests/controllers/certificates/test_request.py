import pytest

from harness import certificates
from sampan.controllers.certificates import request


def test_a_request_is_taken_apart() -> None:
    body = certificates.pem("system:node:n1", ["system:nodes"], ["n1"], ["10.0.0.1", "fd00::1"])
    obj = certificates.request("a", body, "s/x", ["server auth"], username="u", groups=["g"])
    assert request.read(obj) == request.Wanted(
        common_name="system:node:n1",
        organizations=("system:nodes",),
        dns_names=("n1",),
        ips=("10.0.0.1", "fd00::1"),
        usages=frozenset(["server auth"]),
        signer="s/x",
        username="u",
        groups=("g",),
    )


def test_what_is_no_request_is_told() -> None:
    with pytest.raises(ValueError, match="PEM"):
        request.read(certificates.request("a", b"none", "s/x", []))
