from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver import route
from sampan.apiserver.route import parse, verb_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("pods", "", "", "")),
        ("/api/v1/pods/", ("pods", "", "", "")),
        ("/api/v1/namespaces/a/pods", ("pods", "a", "", "")),
        ("/api/v1/namespaces/a/pods/b", ("pods", "a", "b", "")),
        ("/api/v1/namespaces/a/pods/b/log", ("pods", "a", "b", "log")),
        ("/api/v1/namespaces", ("namespaces", "", "", "")),
        ("/api/v1/namespaces/a", ("namespaces", "", "a", "")),
        ("/api/v1/namespaces/a/finalize", ("namespaces", "", "a", "finalize")),
        ("/api/v1/namespaces/status/pods", ("pods", "status", "", "")),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", ("deployments", "a", "b", "scale")),
        ("/api/v1/nodes/n/status", ("nodes", "", "n", "status")),
    ],
)
def test_paths_of_resources(path: str, expected: tuple[str, str, str, str]) -> None:
    found = parse(path)
    assert found is not None
    assert (found.resource.plural, found.namespace, found.name, found.subresource) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/apis/apps/v1",
        "/api/v1/pods/b",  # a namespaced object needs its namespace
        "/api/v1/namespaces/a/nodes",
        "/api/v1/namespaces/a/pods/b/nothing",
        "/api/v1/namespaces/a/pods/b/log/more",
        "/api/v1/namespaces//pods",
        "/api/v2/pods",
        "/apis/none/v1/things",
    ],
)
def test_paths_that_are_none(path: str) -> None:
    assert parse(path) is None


@pytest.mark.parametrize(
    ("method", "path", "watch", "verb"),
    [
        ("GET", "/api/v1/pods", False, "list"),
        ("GET", "/api/v1/pods", True, "watch"),
        ("GET", "/api/v1/nodes/a", False, "get"),
        ("GET", "/api/v1/nodes/a", True, "watch"),
        ("POST", "/api/v1/nodes", False, "create"),
        ("PUT", "/api/v1/nodes/a/status", False, "update"),
        ("PATCH", "/api/v1/nodes/a", False, "patch"),
        ("DELETE", "/api/v1/nodes", False, "deletecollection"),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", False, "connect"),
        ("POST", "/api/v1/namespaces/a/pods/b/binding", False, "create"),
    ],
)
def test_verbs(method: str, path: str, watch: bool, verb: str) -> None:
    found = parse(path)
    assert found is not None
    assert verb_of(method, found, watch) == verb


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/pods"),
        ("DELETE", "/api/v1/namespaces"),
        ("PUT", "/api/v1/nodes"),
        ("DELETE", "/api/v1/nodes/a/status"),
        ("BREW", "/api/v1/nodes"),
    ],
)
def test_methods_that_are_not_allowed(method: str, path: str) -> None:
    found = parse(path)
    assert found is not None
    with pytest.raises(StatusError) as caught:
        verb_of(method, found, False)
    assert caught.value.code == 405


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/namespaces/ns/pods/p/proxy", ("pods", "ns", "p", "")),
        ("/api/v1/namespaces/ns/pods/https:p:80/proxy/", ("pods", "ns", "https:p:80", "/")),
        (
            "/api/v1/namespaces/ns/services/a%3Ab/proxy/x//y%2F/../z",
            ("services", "ns", "a:b", "/x//y%2F/../z"),
        ),
        ("/api/v1/namespaces/ns/pods/proxy/proxy/proxy", ("pods", "ns", "proxy", "/proxy")),
        ("/api/v1/nodes/n:10250/proxy/logs/", ("nodes", "", "n:10250", "/logs/")),
    ],
)
def test_proxied(path: str, found: tuple[str, str, str, str]) -> None:
    proxied = route.proxied(path)
    assert proxied is not None
    where = proxied.route
    assert (where.resource.plural, where.namespace, where.name, proxied.rest) == found
    assert where.subresource == "proxy" and proxied.prefix + proxied.rest == path


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/ns/pods/proxy",
        "/api/v1/namespaces/proxy/pods/p",
        "/api/v1/namespaces/ns/configmaps/c/proxy",
        "/api/v1/namespaces/ns/pods/p/proxyx",
        "/apis/apps/v1/namespaces/ns/pods/p/proxy",
        "/api/v1/proxy/namespaces/ns/pods/p",
    ],
)
def test_not_proxied(path: str) -> None:
    assert route.proxied(path) is None
