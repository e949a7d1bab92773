"""Lists: which revision is meant, consistent pages, continue tokens.

The newest state comes from the cache, an older one from the store's history.
Source: reference/using-api/api-concepts, "Resource versions" and "Retrieving large results sets in chunks".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.apiserver import params
from sampan.apiserver.entry import Entry
from sampan.apiserver.filters import Filter
from sampan.apiserver.watchcache import Cache, Hub
from sampan.store.contract import Compacted, FutureRevision

FRESH_TIMEOUT_S = 3.0
_CHUNK = 500
_OPTIONS = Resource("meta.k8s.io", "v1", "ListOptions", "listoptions", "listoptions", False)
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of one list answer. `remaining` is None when nothing follows or nobody can say how much."""

    entries: list[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Obj:
        metadata: Obj = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            metadata["continue"] = self.continue_token
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


def check_options(query: Mapping[str, str], *, watch: bool) -> None:
    """Refuses combinations of resourceVersion, resourceVersionMatch, continue and sendInitialEvents."""
    match = query.get("resourceVersionMatch", "")
    initial = "sendInitialEvents" in query
    broken: list[errors.FieldError] = []
    field = "resourceVersionMatch"
    if watch and initial:
        if match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            broken.append(errors.forbidden_value(field, why))
    elif initial:
        broken.append(errors.forbidden_value("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif match and watch:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        broken.append(errors.forbidden_value(field, why))
    elif match:
        revision = query.get("resourceVersion", "")
        if not revision:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            broken.append(errors.forbidden_value(field, why))
        if query.get("continue"):
            why = "resourceVersionMatch is forbidden when continue is provided"
            broken.append(errors.forbidden_value(field, why))
        if match not in ("Exact", "NotOlderThan"):
            broken.append(errors.not_supported(field, match, ("Exact", "NotOlderThan")))
        if match == "Exact" and revision == "0":
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            broken.append(errors.forbidden_value(field, why))
    if broken:
        raise errors.invalid(_OPTIONS, "", broken)


async def list_page(hub: Hub, cache: Cache, wanted: Filter, query: Mapping[str, str]) -> Page:
    """The page of a list that a query asks for."""
    check_options(query, watch=False)
    limit = max(params.number(query, "limit") or 0, 0)
    revision = params.revision(query)
    if token := query.get("continue", ""):
        if revision:
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        return await _continue(hub, cache, wanted, limit, token)
    match = query.get("resourceVersionMatch", "")
    exact = match == "Exact" or (bool(limit) and bool(revision) and match != "NotOlderThan")
    if revision:
        await wait_fresh(hub, revision)
        if exact:
            return await _at(hub, cache, wanted, limit, "", revision)
    return _current(hub, cache, wanted, limit, "")


async def wait_fresh(hub: Hub, revision: int) -> None:
    """Waits for a revision that is about to happen; 504 when it does not."""
    if revision <= hub.revision or await hub.reaches(revision, FRESH_TIMEOUT_S):
        return
    message = f"Too large resource version: {revision}, current: {hub.revision}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    error = errors.timeout(f"Timeout: {message}")
    error.status["details"]["causes"] = [cause]
    raise error


async def _continue(hub: Hub, cache: Cache, wanted: Filter, limit: int, token: str) -> Page:
    revision, start = _decode(token)
    after = wanted.prefix + start
    if revision <= 0:  # an inconsistent continuation, offered after a 410
        return _current(hub, cache, wanted, limit, after)
    return await _at(hub, cache, wanted, limit, after, revision)


async def _at(hub: Hub, cache: Cache, wanted: Filter, limit: int, after: str, revision: int) -> Page:
    if cache.changed <= revision <= hub.revision:
        return _current(hub, cache, wanted, limit, after, revision)
    entries: list[Entry] = []
    last = after
    size = max(limit, 1) if limit and wanted.everything else _CHUNK
    try:
        while True:
            listing = await hub.store.list(wanted.prefix, revision=revision, limit=size, after=last)
            for stored in listing.items:
                entry = Entry(stored.key, stored.value, stored.revision)
                if wanted.matches(entry):
                    if limit and len(entries) == limit:
                        return _page(wanted, entries, revision, None)
                    entries.append(entry)
            if limit and len(entries) == limit and wanted.everything:
                return _page(wanted, entries, revision, listing.remaining)
            if not listing.items or not listing.remaining:
                return Page(entries, revision)
            last = listing.items[-1].key
    except Compacted:
        if after:
            raise errors.expired(_TOO_OLD, _encode(-1, after.removeprefix(wanted.prefix))) from None
        raise errors.expired(f"The resourceVersion for the provided list is too old: {revision}") from None
    except FutureRevision:
        raise errors.timeout(f"Timeout: Too large resource version: {revision}") from None


def _current(
    hub: Hub, cache: Cache, wanted: Filter, limit: int, after: str, revision: int | None = None
) -> Page:
    shown = hub.revision if revision is None else revision
    found = _matching(cache, wanted, after)
    if not limit:
        return Page(list(found), shown)
    entries: list[Entry] = []
    for entry in found:
        if len(entries) == limit:
            remaining = 1 + sum(1 for _ in found) if wanted.everything else None
            return _page(wanted, entries, shown, remaining)
        entries.append(entry)
    return Page(entries, shown)


def _matching(cache: Cache, wanted: Filter, after: str) -> Iterator[Entry]:
    if wanted.everything:
        return cache.scan(wanted.prefix, after)
    if wanted.key:
        entry = cache.get(wanted.key)
        one: Iterable[Entry] = () if entry is None or entry.key <= after else (entry,)
        return (entry for entry in one if wanted.matches(entry))
    return (entry for entry in cache.scan(wanted.prefix, after) if wanted.matches(entry))


def _page(wanted: Filter, entries: list[Entry], revision: int, remaining: int | None) -> Page:
    if remaining == 0:
        return Page(entries, revision)
    start = entries[-1].key.removeprefix(wanted.prefix)
    return Page(entries, revision, _encode(revision, start), remaining)


def _encode(revision: int, start: str) -> str:
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start + "\0"})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _decode(token: str) -> tuple[int, str]:
    try:
        value: Any = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, start = value["rv"], value["start"]
        if not isinstance(revision, int) or not isinstance(start, str) or ".." in start.split("/"):
            raise ValueError(token)
    except (ValueError, binascii.Error, KeyError, TypeError):
        raise errors.bad_request("continue key is not valid: it is not a token of this server") from None
    return revision, start.rstrip("\0")
