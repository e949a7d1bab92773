import pytest

from sampan.api import bootstraptoken
from sampan.api.errors import StatusError
from sampan.api.resources import CERTIFICATE_REQUESTS, SECRETS
from sampan.apiserver.bootstraptokens import BootstrapTokens
from sampan.client.client import Client
from sampan.client.https import HttpsTransport

TOKEN = "abcdef.0123456789abcdef"


def tokens(secret=None, now_s: float = 100.0) -> BootstrapTokens:
    return BootstrapTokens(
        lambda resource, namespace, name: (
            secret
            if (resource, namespace, name) == (SECRETS, "kube-system", "bootstrap-token-abcdef")
            else None
        ),
        lambda: now_s,
    )


def made(**kwargs):
    secret = bootstraptoken.secret(TOKEN, expires_s=kwargs.pop("expires_s", None), **kwargs)
    return {**secret, "metadata": {**secret["metadata"], "uid": "u"}}


def test_a_token_is_a_machine_of_its_groups() -> None:
    user = tokens(made()).user(TOKEN)
    assert user is not None
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == (
        "system:bootstrappers",
        "system:bootstrappers:sampan:default-node-token",
        "system:authenticated",
    )


@pytest.mark.parametrize(
    "secret",
    [
        None,
        made(expires_s=99),
        made(usages=["signing"]),
        made(groups=["system:masters"]),
        {**made(), "type": "Opaque"},
        {**made(), "data": {**made()["data"], "token-secret": "AAAA"}},
    ],
    ids=["unknown", "expired", "not for authentication", "a group of masters", "no token", "another secret"],
)
def test_what_is_no_token(secret) -> None:
    assert tokens(secret).user(TOKEN) is None


@pytest.mark.parametrize("text", ["", "abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef", f"{TOKEN}\n"])
def test_what_has_not_the_form_is_not_even_looked_up(text: str) -> None:
    assert tokens(made()).user(text) is None


async def test_a_machine_with_a_token_may_ask_for_a_certificate_and_nothing_else(api) -> None:
    await api.create(SECRETS, bootstraptoken.secret(TOKEN, expires_s=None), namespace="kube-system")
    client = Client(HttpsTransport(api.server.server_url, ca=api.server.pki.ca, token=TOKEN))
    try:
        assert (await client.list(CERTIFICATE_REQUESTS))["items"] == []
        with pytest.raises(StatusError) as caught:
            await client.list(SECRETS)
        assert caught.value.code == 403
    finally:
        await client.close()
