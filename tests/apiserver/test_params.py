from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver import params


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, False),
        ("", True),
        ("true", True),
        ("1", True),
        ("x", True),
        ("false", False),
        ("False", False),
        ("0", False),
    ],
)
def test_a_flag_that_is_there_counts_unless_it_says_no(text: str | None, found: bool) -> None:
    assert params.flag({} if text is None else {"watch": text}, "watch") is found


@pytest.mark.parametrize(("text", "found"), [(None, None), ("", None), ("0", 0), ("17", 17)])
def test_a_revision_is_a_number_or_none(text: str | None, found: int | None) -> None:
    assert params.revision({} if text is None else {"resourceVersion": text}) == found


@pytest.mark.parametrize("text", ["x", "-1", "1.0", " 1", "٣"])
def test_a_revision_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(StatusError, match="resourceVersion: Invalid value") as caught:
        params.revision({"resourceVersion": text})
    assert caught.value.code == 400


def test_a_number_may_be_negative_and_must_be_one() -> None:
    assert params.number({"limit": "-1"}, "limit") == -1
    assert params.number({}, "limit") is None
    with pytest.raises(StatusError, match=r'^limit: strconv\.ParseInt: parsing "x": invalid syntax$'):
        params.number({"limit": "x"}, "limit")
