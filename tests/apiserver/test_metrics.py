from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sampan.apiserver.exchange import Exchange
from sampan.apiserver.metrics import Metrics


def exchange(method: str, path: str, query: str = "", code: int = 200) -> Exchange:
    return cast("Exchange", SimpleNamespace(method=method, path=path, raw_query=query, code=code))


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        (
            ("GET", "/api/v1/pods"),
            'verb="LIST",group="",version="v1",resource="pods",subresource="",scope="cluster"',
        ),
        (
            ("GET", "/api/v1/namespaces/n/pods", "watch=true"),
            'verb="WATCH",group="",version="v1",resource="pods",subresource="",scope="namespace"',
        ),
        (
            ("PUT", "/apis/apps/v1/namespaces/n/deployments/d/status"),
            'verb="PUT",group="apps",version="v1",resource="deployments",subresource="status",scope="resource"',
        ),
        (
            ("DELETE", "/api/v1/namespaces/n/pods"),
            'verb="DELETECOLLECTION",group="",version="v1",resource="pods",subresource="",scope="namespace"',
        ),
        (("GET", "/healthz"), 'verb="GET",group="",version="",resource="",subresource="",scope=""'),
    ],
)
def test_requests_are_told_apart(asked: tuple[str, ...], labels: str) -> None:
    metrics = Metrics(cast("Any", SimpleNamespace(caches=[])))
    metrics.count(exchange(*asked), 0.02)
    shown = metrics.text().decode()
    assert f'apiserver_request_total{{{labels},code="200"}} 1' in shown
    timed = f'apiserver_request_duration_seconds_bucket{{{labels},le="0.025"}} 1' in shown
    assert timed is ("WATCH" not in labels)
    assert "process_resident_memory_bytes" in shown


async def test_a_running_server_counts(api: Any) -> None:
    shown = api.server.metrics.text().decode()
    assert 'apiserver_storage_objects{resource="core.namespaces"}' in shown
