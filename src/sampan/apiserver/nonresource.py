"""Paths that are no resources: health, version, discovery, OpenAPI, the token issuer's keys."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from functools import cache

import orjson

from sampan.api import discovery, errors, prometheus
from sampan.api.objects import Obj
from sampan.api.resources import COMPUTED
from sampan.apiserver import negotiation
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.tokens import Tokens

TEXT = "text/plain; charset=utf-8"
PUBLIC = frozenset(["healthz", "livez", "readyz", "version"])
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
VERSION = {
    "major": "1",
    "minor": "35",
    "emulationMajor": "1",
    "emulationMinor": "35",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "34",
    "gitVersion": "v1.35.0+sampan",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": f"python{platform.python_version()}",
    "platform": f"{platform.system().lower()}/{_MACHINES.get(platform.machine(), platform.machine())}",
}
_PATHS = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
]

Check = Callable[[], bool]


class NonResource:
    """`checks` by name say whether a part of the server works; `metrics` answers Prometheus text."""

    def __init__(self, tokens: Tokens, checks: Mapping[str, Check], metrics: Callable[[], bytes]) -> None:
        self._tokens = tokens
        self._checks = checks
        self._metrics = metrics

    def public(self, path: str) -> bool:
        """Whether anybody may ask."""
        return path.lstrip("/").partition("/")[0] in PUBLIC

    def answer(self, exchange: Exchange) -> None:
        """Answers, or raises StatusError: 404 for unknown paths, 405 for other methods than GET."""
        path = exchange.path.strip("/")
        head, _, rest = path.partition("/")
        known = {
            "": self._root,
            "healthz": self._health,
            "livez": self._health,
            "readyz": self._health,
            "version": self._version,
            "api": self._api,
            "apis": self._apis,
            "openapi": self._openapi,
            ".well-known": self._issuer,
            "openid": self._keys,
            "metrics": self._show_metrics,
        }.get(head)
        if known is None:
            raise errors.no_such_path()
        if exchange.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        known(exchange, rest)

    def _root(self, exchange: Exchange, rest: str) -> None:
        groups = discovery.group_list(COMPUTED)["groups"]
        paths = [f"/apis/{group['name']}" for group in groups]
        paths += [f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"]]
        exchange.respond(200, orjson.dumps({"paths": sorted(_PATHS + paths)}))

    def _health(self, exchange: Exchange, rest: str) -> None:
        """`?verbose` lists the checks, `?exclude=NAME` leaves one out, `/healthz/NAME` asks for one."""
        excluded = {value for name, value in exchange.query if name == "exclude"}
        names = [rest] if rest else [name for name in self._checks if name not in excluded]
        if rest and rest not in self._checks:
            raise errors.no_such_path()
        results = {name: self._checks[name]() for name in names}
        failed = [name for name, works in results.items() if not works]
        what = exchange.path.strip("/").partition("/")[0]
        if not failed and not any(name == "verbose" for name, _ in exchange.query):
            exchange.respond(200, b"ok", TEXT)
            return
        lines = [
            f"[+]{name} ok" if works else f"[-]{name} failed: reason withheld"
            for name, works in results.items()
        ]
        verdict = f"{what} check {'failed' if failed else 'passed'}"
        exchange.respond(500 if failed else 200, ("\n".join([*lines, verdict]) + "\n").encode(), TEXT)

    def _version(self, exchange: Exchange, rest: str) -> None:
        exchange.respond(200, orjson.dumps(VERSION))

    def _api(self, exchange: Exchange, rest: str) -> None:
        form = negotiation.choose(exchange.headers.get("accept", ""), discovery=True)
        if rest:
            _respond_with(exchange, rest == "v1" and discovery.resource_list("", "v1"))
        elif form.view:
            _respond_cached(exchange, *_aggregated("core"), form.content_type)
        else:
            exchange.respond(200, orjson.dumps(discovery.core_versions(exchange.headers.get("host", ""))))

    def _apis(self, exchange: Exchange, rest: str) -> None:
        form = negotiation.choose(exchange.headers.get("accept", ""), discovery=True)
        group, _, version = rest.partition("/")
        if version:
            _respond_with(exchange, discovery.resource_list(group, version, COMPUTED))
        elif group:
            _respond_with(exchange, discovery.group(group, COMPUTED))
        elif form.view:
            _respond_cached(exchange, *_aggregated("groups"), form.content_type)
        else:
            exchange.respond(200, orjson.dumps(discovery.group_list(COMPUTED)))

    def _openapi(self, exchange: Exchange, rest: str) -> None:
        # The documents are large and seldom asked for: nothing of them is loaded before.
        from sampan.api import openapi

        version, _, path = rest.partition("/")
        if rest == "v2":
            _swagger(exchange)
            return
        if version != "v3":
            raise errors.no_such_path()
        if not path:
            exchange.respond(200, openapi.index())
            return
        document = openapi.document(path)
        if document is None:
            raise errors.no_such_path()
        headers = []
        if any(name == "hash" for name, _ in exchange.query):
            headers = [("ETag", f'"{openapi.digest(path)}"'), ("Vary", "Accept")]
        exchange.respond(200, document, headers=headers)

    def _issuer(self, exchange: Exchange, rest: str) -> None:
        if rest != "openid-configuration":
            raise errors.no_such_path()
        issuer = self._tokens.issuer
        document = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        exchange.respond(200, orjson.dumps(document))

    def _keys(self, exchange: Exchange, rest: str) -> None:
        if rest != "v1/jwks":
            raise errors.no_such_path()
        exchange.respond(200, orjson.dumps(self._tokens.key_set()), "application/jwk-set+json")

    def _show_metrics(self, exchange: Exchange, rest: str) -> None:
        exchange.respond(200, self._metrics(), prometheus.CONTENT_TYPE)


def _swagger(exchange: Exchange) -> None:
    """The OpenAPI v2 document. kubectl falls back to it for a kind that no v3 document has."""
    from sampan.api import gnostic, openapi

    served: dict[str, openapi.SwaggerForm] = {
        "application/json": "json",
        gnostic.MEDIA_TYPE: "pb",
        gnostic.MEDIA_TYPE_ASKED: "pb",
        "application/*": "json",
        "*/*": "json",
    }
    form = negotiation.pick(exchange.headers.get("accept", ""), served)
    content_type = gnostic.MEDIA_TYPE if form == "pb" else negotiation.JSON
    tag = f'"{openapi.swagger_digest(form)}"'
    headers = [("ETag", tag), ("Vary", "Accept")]
    if exchange.headers.get("if-none-match") == tag:
        exchange.respond(304, b"", content_type, headers)
    else:
        exchange.respond(200, openapi.swagger(form), content_type, headers)


@cache
def _aggregated(which: str) -> tuple[bytes, str]:
    """An aggregated discovery document and its ETag."""
    found = discovery.aggregated_core() if which == "core" else discovery.aggregated_groups(extra=COMPUTED)
    data = orjson.dumps(found)
    return data, f'"{hashlib.sha256(data).hexdigest().upper()}"'


def _respond_cached(exchange: Exchange, data: bytes, tag: str, content_type: str) -> None:
    headers = [("ETag", tag), ("Vary", "Accept")]
    if exchange.headers.get("if-none-match") == tag:
        exchange.respond(304, b"", content_type, headers)
    else:
        exchange.respond(200, data, content_type, headers)


def _respond_with(exchange: Exchange, found: Obj | bool | None) -> None:
    if not found:
        raise errors.no_such_path()
    exchange.respond(200, orjson.dumps(found))
