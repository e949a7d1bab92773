import pytest

from sampan.api import bootstraptoken
from sampan.cli import token
from sampan.cli.errors import UserError


@pytest.mark.parametrize(("text", "found"), [("0", 0), ("90s", 90), ("24h", 86400), ("1h30m", 5400)])
def test_how_long(text: str, found: int) -> None:
    assert token.seconds(text) == found


@pytest.mark.parametrize("text", ["", "1", "-1h", "1d", "h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UserError, match="is no duration"):
        token.seconds(text)


def test_usages_and_groups_that_cannot_be() -> None:
    assert token.listed("signing", bootstraptoken.USAGES) == ["signing"]
    with pytest.raises(UserError, match="not known"):
        token.listed("signing,cooking", bootstraptoken.USAGES)
    assert token.groups("system:bootstrappers:x") == ["system:bootstrappers:x"]
    with pytest.raises(UserError, match="cannot be a bootstrapper's group"):
        token.groups("system:masters")


@pytest.mark.parametrize(
    ("expires_s", "left"), [(None, "<forever>"), (50.0, "<expired>"), (130.0, "30s"), (100 + 7300.0, "2h")]
)
def test_a_row_of_the_list_does_not_show_the_secret(expires_s: float | None, left: str) -> None:
    secret = bootstraptoken.secret("abcdef.0123456789abcdef", expires_s=expires_s, description="d")
    row = token.row(secret, 100.0)
    assert row == ("abcdef", left, "authentication,signing", "d", bootstraptoken.NODE_GROUP)
