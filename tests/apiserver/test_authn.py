from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sampan.api.errors import StatusError
from sampan.api.request import UserInfo
from sampan.apiserver.authn import Authenticator
from sampan.apiserver.authz import ANONYMOUS
from sampan.apiserver.bootstraptokens import BootstrapTokens
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.tokens import InvalidToken, Tokens

ACCOUNT = UserInfo("system:serviceaccount:default:default")
MACHINE = UserInfo("system:bootstrap:abcdef")
ADMIN = UserInfo("admin")


class Credentials:
    """Knows one token of a service account and one of a machine that wants to join."""

    def authenticate(self, token: str) -> tuple[UserInfo, str]:
        if token != "account":
            raise InvalidToken(token)
        return ACCOUNT, ""

    def user(self, token: str) -> UserInfo | None:
        return MACHINE if token == "machine" else None


def exchange(authorization: str | None, identity: UserInfo | None = None) -> Exchange:
    plain = SimpleNamespace(get_extra_info=lambda name: None)
    headers = {} if authorization is None else {"authorization": authorization}
    connection = SimpleNamespace(identity=identity, transport=plain)
    return cast(Exchange, SimpleNamespace(connection=connection, headers=headers))


@pytest.fixture
def authenticator() -> Authenticator:
    known: Any = Credentials()
    return Authenticator(cast(Tokens, known), cast(BootstrapTokens, known))


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        (None, ANONYMOUS),
        ("", ANONYMOUS),
        ("Bearer", ANONYMOUS),
        ("Bearer  ", ANONYMOUS),
        ("Basic account", ANONYMOUS),
        ("Bearer account", ACCOUNT),
        ("bearer  account ", ACCOUNT),
        ("Bearer machine", MACHINE),
    ],
)
def test_a_token_says_who_it_is(
    authenticator: Authenticator, authorization: str | None, user: UserInfo
) -> None:
    assert authenticator.user(exchange(authorization)) is user


def test_a_wrong_token_is_worse_than_none(authenticator: Authenticator) -> None:
    with pytest.raises(StatusError) as caught:
        authenticator.user(exchange("Bearer wrong"))
    assert caught.value.code == 401


def test_a_certificate_counts_before_a_token_and_is_looked_at_once(authenticator: Authenticator) -> None:
    assert authenticator.user(exchange("Bearer wrong", ADMIN)) is ADMIN
    asked = exchange("Bearer account")
    authenticator.user(asked)
    assert asked.connection.identity is ANONYMOUS  # remembered: this connection has no certificate
