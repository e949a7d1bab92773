"""Query parameters as upstream reads them."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import errors


def true(text: str) -> bool:
    """A flag that is present counts, unless it says `false` or `0` in whatever case."""
    return text.lower() not in ("false", "0")


def flag(params: Mapping[str, str], name: str) -> bool:
    text = params.get(name)
    return text is not None and true(text)


def revision(params: Mapping[str, str]) -> int | None:
    """`resourceVersion`: None when absent or empty; 400 when it is no number."""
    text = params.get("resourceVersion", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise errors.bad_request(f"resourceVersion: Invalid value: {errors.show(text)}: strconv.ParseUint")
    return int(text)


def number(params: Mapping[str, str], name: str) -> int | None:
    """An integer parameter, None when absent; 400 when it is no number."""
    text = params.get(name, "")
    try:
        return int(text) if text else None
    except ValueError:
        raise errors.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax') from None
