"""The server as clients meet it: bytes over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from sampan.api.resources import CONFIG_MAPS, EVENTS, PODS, REPLICA_SETS
from sampan.apiserver import sinks
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.store.sqlite import SqliteStore

PARTIAL_ONE = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Https:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + data)

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(30):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), headers

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        await self.send(method, path, body, **headers)
        code, answered = await self.head()
        data = await self.reader.readexactly(int(answered.get("content-length", 0)))
        return code, answered, orjson.loads(data) if "json" in answered["content-type"] and data else data

    async def line(self) -> Any:
        """The next event of a watch."""
        async with asyncio.timeout(30):
            size = int((await self.reader.readline()).strip(), 16)
            data = await self.reader.readexactly(size + 2)
        return orjson.loads(data) if size else None


async def open_https(api, tls: ssl.SSLContext) -> Https:
    return Https(*await asyncio.open_connection("127.0.0.1", api.server.port, ssl=tls, limit=1 << 24))


@pytest.fixture
async def https(api) -> AsyncIterator[Https]:
    https = await open_https(api, api.tls())
    yield https
    https.writer.close()


async def test_what_is_stored_is_what_is_served(api, https: Https) -> None:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    code, headers, body = await https.ask("GET", "/api/v1/namespaces/default/configmaps/a")
    assert (code, body, headers["content-type"]) == (200, made, "application/json")
    _, _, listing = await https.ask("GET", "/api/v1/namespaces/default/configmaps")
    assert (listing["kind"], listing["items"]) == ("ConfigMapList", [made])


async def test_a_created_object_is_answered_with_201(https: Https) -> None:
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}
    code, _, made = await https.ask("POST", "/api/v1/namespaces/default/configmaps", body)
    assert code == 201 and made["metadata"]["name"] == "a"


async def test_unknown_fields_warn_or_fail_as_asked(https: Https) -> None:
    path, body = "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}, "datum": {}}
    code, _, refused = await https.ask("POST", path + "?fieldValidation=Strict", body)
    assert code == 400 and 'unknown field "datum"' in refused["message"]
    code, headers, _ = await https.ask("POST", path, body)
    assert code == 201 and headers["warning"] == '299 - "unknown field \\"datum\\""'


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        ("GET", "/api/v1/namespaces/default/pods/none", 404, "NotFound"),
        ("GET", "/api/v1/namespaces/default/nothings", 404, "NotFound"),
        ("GET", "/nowhere", 404, "NotFound"),
        ("GET", "/apis/apps/v9/deployments", 404, "NotFound"),
        ("PUT", "/api/v1/namespaces/default/pods", 405, "MethodNotAllowed"),
        ("POST", "/api/v1/pods", 405, "MethodNotAllowed"),
        ("PATCH", "/api/v1/namespaces/default/pods/a", 415, "UnsupportedMediaType"),
        ("POST", "/api/v1/namespaces/default/configmaps", 400, "BadRequest"),
    ],
)
async def test_refusals_are_statuses(https: Https, method: str, path: str, code: int, reason: str) -> None:
    found, _, status = await https.ask(method, path, b"" if method == "GET" else b"[1]")
    assert (found, status["kind"], status["reason"], status["code"]) == (code, "Status", reason, code)


async def test_other_forms_by_accept(api, https: Https, pod) -> None:
    await api.create(PODS, pod("a"))
    path = "/api/v1/namespaces/default/pods"
    _, _, table = await https.ask("GET", path, Accept=TABLE)
    assert table["kind"] == "Table" and table["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]
    _, _, partial = await https.ask("GET", path, Accept=PARTIAL)
    assert partial["items"][0]["metadata"]["name"] == "a" and "spec" not in partial["items"][0]
    code, _, _ = await https.ask("GET", path, Accept="application/cbor")
    assert code == 406
    code, headers, text = await https.ask("GET", path + "/a", Accept="application/yaml")
    assert headers["content-type"] == "application/yaml" and text.startswith(b"kind: Pod")


async def test_a_request_in_another_name(https: Https) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"Impersonate-User": "bob", "Impersonate-Group": "team"}
    code, _, review = await https.ask("POST", path, b"{}", **headers)
    assert code == 201 and review["status"]["userInfo"]["username"] == "bob"
    code, _, review = await https.ask("POST", path, b"{}")
    assert review["status"]["userInfo"]["username"] != "bob"
    node = {"Impersonate-User": "system:node:x", "Impersonate-Group": "system:nodes"}
    code, _, refused = await https.ask("GET", "/api/v1/namespaces/default/secrets", **node)
    assert code == 403 and 'User "system:node:x" cannot list resource "secrets"' in refused["message"]


async def test_a_scale_has_a_table(api, https: Https, pod) -> None:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("a")["spec"]}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    await api.create(REPLICA_SETS, {"metadata": {"name": "a"}, "spec": spec})
    path = "/apis/apps/v1/namespaces/default/replicasets/a/scale"
    _, _, table = await https.ask("GET", path, Accept=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Desired",
        "Available",
        "Age",
    ]
    assert table["rows"][0]["cells"][:3] == ["a", 3, 0]
    _, _, partial = await https.ask("GET", path, Accept=PARTIAL_ONE)
    assert partial["kind"] == "PartialObjectMetadata" and "spec" not in partial


async def test_a_watch_streams_lines(api, https: Https) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    await https.send("GET", "/api/v1/namespaces/default/configmaps?watch=true")
    assert (await https.head())[0] == 200
    assert (await https.line())["type"] == "ADDED"
    await api.create(CONFIG_MAPS, {"metadata": {"name": "b"}})
    assert (await https.line())["object"]["metadata"]["name"] == "b"
    await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, namespace="kube-system")
    await api.call("delete", CONFIG_MAPS, "b")
    assert (await https.line())["type"] == "DELETED"


async def test_a_watch_says_410_within_its_stream(api, https: Https, monkeypatch) -> None:
    monkeypatch.setattr("sampan.apiserver.watchcache.RING_SIZE", 1)
    for name in "abc":
        await api.create(CONFIG_MAPS, {"metadata": {"name": name}})
    await api.server.store.compact(api.server.store.revision)
    await https.send("GET", "/api/v1/configmaps?watch=true&resourceVersion=1")
    assert (await https.head())[0] == 200
    event = await https.line()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert await https.line() is None


async def test_a_table_watch_says_its_columns_once(api, https: Https, pod) -> None:
    await https.send("GET", "/api/v1/namespaces/default/pods?watch=1&resourceVersion=0", Accept=TABLE)
    await https.head()
    for name in "ab":
        await api.create(PODS, pod(name))
    first, second = await https.line(), await https.line()
    assert first["object"]["columnDefinitions"] and not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_a_watch_bookmarks_before_its_time_is_over(api, https: Https) -> None:
    revision = api.server.store.revision
    query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={revision}"
    await https.send("GET", f"/api/v1/configmaps?{query}")
    await https.head()
    assert (await https.line())["type"] == "BOOKMARK"
    assert await https.line() is None


async def test_a_watcher_that_does_not_read_is_cut_and_nobody_waits(api, https: Https, monkeypatch) -> None:
    monkeypatch.setattr(sinks, "BACKLOG_LIMIT", 20)
    await https.send("GET", f"/api/v1/configmaps?watch=1&resourceVersion={api.server.store.revision}")
    await https.head()
    https.reader._transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        for number in range(60):
            body = {"metadata": {"name": f"c{number}"}, "data": {"k": "x" * 200_000}}
            await api.create(CONFIG_MAPS, body)
    https.reader._transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)):
        async with asyncio.timeout(30):
            while True:
                await https.reader.readexactly(100_000)


async def test_a_watcher_lags_no_more_than_so_many_bytes(api, https: Https, monkeypatch) -> None:
    monkeypatch.setattr(sinks, "BACKLOG_BYTES", 4_000_000)
    await https.send("GET", f"/api/v1/configmaps?watch=1&resourceVersion={api.server.store.revision}")
    await https.head()
    https.reader._transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(60):
        body = {"metadata": {"name": f"c{number}"}, "data": {"k": "x" * 200_000}}
        await api.create(CONFIG_MAPS, body)
    https.reader._transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)):
        async with asyncio.timeout(30):
            while True:
                await https.reader.readexactly(100_000)


async def test_a_get_of_what_has_not_happened_yet_is_refused(api, https: Https, monkeypatch) -> None:
    """It must not be answered with something older than the client has seen."""
    monkeypatch.setattr("sampan.apiserver.lister.FRESH_TIMEOUT_S", 0.01)
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    path = "/api/v1/namespaces/default/configmaps/a?resourceVersion="
    assert (await https.ask("GET", f"{path}0"))[0] == 200
    code, _, refused = await https.ask("GET", f"{path}{api.server.store.revision + 1000}")
    assert code == 504 and refused["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_endpoints_are_outdated_and_said_to_be(api, https: Https) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    said = "v1 endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 endpointslice"
    body = {"metadata": {"name": "a"}, "subsets": []}
    asked = [
        ("POST", path, body),
        ("GET", path, None),
        ("GET", f"{path}/a", None),
        ("DELETE", f"{path}/a", None),
    ]
    for method, where, sent in asked:
        _, headers, _ = await https.ask(method, where, sent)
        assert headers["warning"] == f'299 - "{said}"'
    await https.send("GET", f"{path}?watch=1&timeoutSeconds=1")
    assert (await https.head())[1]["warning"] == f'299 - "{said}"'


async def test_events_are_one_thing_in_two_groups(api, https: Https) -> None:
    body = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started",
        "message": "it runs",
        "type": "Normal",
        "source": {"component": "kubelet"},
        "count": 2,
    }
    await api.create(EVENTS, body)
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    _, _, seen = await https.ask("GET", f"{path}/e")
    assert (seen["note"], seen["regarding"]["name"], seen["deprecatedCount"]) == ("it runs", "p", 2)
    assert seen["apiVersion"] == "events.k8s.io/v1" and "message" not in seen
    _, _, listing = await https.ask("GET", f"{path}?fieldSelector=regarding.name%3Dp")
    assert listing["apiVersion"] == "events.k8s.io/v1" and len(listing["items"]) == 1


async def test_strangers_see_only_whether_the_server_lives(api) -> None:
    tls = ssl.create_default_context(cafile=str(api.server.pki.ca))
    stranger = await open_https(api, tls)
    for path in ("/healthz", "/livez", "/readyz", "/readyz?verbose", "/version"):
        assert (await stranger.ask("GET", path))[0] == 200
    for path in ("/", "/api", "/apis", "/metrics", "/openapi/v3", "/api/v1/pods", "/nowhere"):
        code, _, status = await stranger.ask("GET", path)
        assert (code, status["reason"]) == (401, "Unauthorized")
    code, _, _ = await stranger.ask("GET", "/version", Authorization="Bearer x.y.z")
    assert code == 200
    assert (await stranger.ask("GET", "/api/v1/pods", Authorization="Bearer x.y.z"))[0] == 401
    stranger.writer.close()


async def test_discovery_is_cached_by_its_tag(https: Https) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, headers, groups = await https.ask("GET", "/apis", Accept=accept)
    assert groups["kind"] == "APIGroupDiscoveryList" and headers["content-type"] == accept.lower()
    code, _, body = await https.ask("GET", "/apis", Accept=accept, If_None_Match=headers["etag"].upper())
    assert (code, body) == (304, b"")


async def test_ten_megabytes_are_refused_as_a_status(https: Https) -> None:
    code, _, status = await https.ask("POST", "/api/v1/namespaces/default/configmaps", b"x" * 10_000_000)
    assert (code, status["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_restart_finds_everything(keys, tmp_path) -> None:
    from sampan.api.request import Request, UserInfo

    user = UserInfo("t", ("system:authenticated",))
    config = ServerConfig(pki_dir=keys, advertise_host="100.64.0.1", advertise_port=6443)
    revisions = []
    for _ in range(2):
        server = ApiServer(config, SqliteStore(tmp_path / "s.db"), lambda name: None)
        await server.start()
        revisions.append(server.store.revision)
        if len(revisions) == 1:
            body = {"metadata": {"name": "a"}}
            made = await server.transport(user).call(Request("create", CONFIG_MAPS, "default", body=body))
        else:
            found = await server.transport(user).call(Request("get", CONFIG_MAPS, "default", "a"))
            assert found == made
        await server.stop()
    assert revisions[1] == revisions[0] + 1  # the second start wrote nothing of its own
