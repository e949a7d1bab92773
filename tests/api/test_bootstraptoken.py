import re

from sampan.api import bootstraptoken as tokens


def test_a_new_token_has_the_form_and_is_never_the_same() -> None:
    made = {tokens.generate() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(tokens.FORM, token) for token in made)


def test_the_secret_says_what_the_token_is_good_for() -> None:
    secret = tokens.secret("abcdef.0123456789abcdef", expires_s=0.0, usages=["signing"], description="d")
    assert secret["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    assert tokens.entries(secret) == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "description": "d",
        "expiration": "1970-01-01T00:00:00Z",
        "usage-bootstrap-signing": "true",
    }


def test_when_it_ends() -> None:
    assert tokens.expires_at({}) is None
    assert tokens.expires_at({"expiration": "1970-01-01T00:01:00Z"}) == 60
    assert tokens.expires_at({"expiration": "some day"}) == 0, "what cannot be read is over"
