from __future__ import annotations

import orjson
import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import NODES, PODS
from sampan.apiserver.entry import Entry
from sampan.apiserver.filters import Filter, parse
from sampan.apiserver.watchcache import Change

ALL, DEFAULT = "/registry/core/pods/", "/registry/core/pods/default/"


def entry(name: str = "a", revision: int = 7, namespace: str = "default", **labels: str) -> Entry:
    obj = {
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(revision), "labels": labels}
    }
    return Entry(f"{ALL}{namespace}/{name}", orjson.dumps(obj), revision)


def wanted(prefix: str = DEFAULT, **params: str) -> Filter:
    return parse(PODS, prefix, params)


def test_who_asks_for_nothing_special_gets_everything_below_the_prefix() -> None:
    assert wanted().everything and wanted(labelSelector="", fieldSelector="").everything
    assert wanted().matches(entry())


@pytest.mark.parametrize(
    ("prefix", "key"), [(DEFAULT, f"{DEFAULT}a"), (ALL, "")], ids=["in a namespace", "in all of them"]
)
def test_one_object_is_found_by_its_key(prefix: str, key: str) -> None:
    found = wanted(prefix, fieldSelector="metadata.name=a")
    assert found.key == key
    assert found.matches(entry("a")) and not found.matches(entry("b"))
    assert (
        parse(NODES, "/registry/core/nodes/", {"fieldSelector": "metadata.name=n"}).key
        == "/registry/core/nodes/n"
    )


def test_labels_and_fields_both_count() -> None:
    found = wanted(labelSelector="app=web", fieldSelector="metadata.name!=b")
    assert found.matches(entry("a", app="web"))
    assert not found.matches(entry("b", app="web")) and not found.matches(entry("a"))


@pytest.mark.parametrize(
    "params", [{"labelSelector": "a in"}, {"fieldSelector": "a"}, {"fieldSelector": "spec.unknown=1"}]
)
def test_what_cannot_be_understood_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(StatusError) as caught:
        wanted(**params)
    assert caught.value.code == 400


BEFORE, AFTER = entry(app="web"), entry(revision=8, app="web")
LEFT = entry(revision=8)


@pytest.mark.parametrize(
    ("change", "seen", "labels"),
    [
        (Change("ADDED", AFTER, None), "ADDED", {"app": "web"}),
        (Change("MODIFIED", AFTER, BEFORE), "MODIFIED", {"app": "web"}),
        (Change("MODIFIED", AFTER, entry()), "ADDED", {"app": "web"}),
        (Change("MODIFIED", LEFT, BEFORE), "DELETED", {"app": "web"}),
        (Change("DELETED", AFTER, BEFORE), "DELETED", {"app": "web"}),
        (Change("MODIFIED", LEFT, entry()), None, None),
        (Change("DELETED", LEFT, entry()), None, None),
        (Change("ADDED", entry(namespace="other", app="web"), None), None, None),
    ],
)
def test_what_a_change_looks_like_to_a_watch(change: Change, seen: str | None, labels: dict | None) -> None:
    view = wanted(labelSelector="app=web").view(change)
    if seen is None:
        assert view is None
        return
    assert view is not None
    kind, shown = view
    assert (kind, shown.obj["metadata"]["labels"]) == (seen, labels)
    assert shown.revision == change.revision
    assert shown.obj["metadata"]["resourceVersion"] == str(change.revision)
