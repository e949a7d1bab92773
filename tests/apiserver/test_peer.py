"""Whom a certificate names is asked of a real TLS connection in test_kubeletapi; here, of one without any."""

from types import SimpleNamespace

from sampan.apiserver.authz import ANONYMOUS
from sampan.apiserver.peer import from_certificate


class Transport:
    def __init__(self, certificate: dict | None) -> None:
        self._tls = SimpleNamespace(
            getpeercert=lambda binary_form=False: b"der" if binary_form else certificate
        )

    def get_extra_info(self, name: str) -> object:
        return self._tls


def peer(certificate: dict | None):
    return from_certificate(SimpleNamespace(transport=Transport(certificate)))


def test_name_and_organizations_are_user_and_groups() -> None:
    subject = ((("organizationName", "a"),), (("organizationName", "b"),), (("commonName", "eve"),))
    found = peer({"subject": subject})
    assert (found.name, found.groups) == ("eve", ("a", "b", "system:authenticated"))
    assert found.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


def test_who_shows_nothing_or_has_no_name_is_nobody() -> None:
    assert peer(None) is ANONYMOUS
    assert peer({"subject": ((("organizationName", "a"),),)}) is ANONYMOUS
