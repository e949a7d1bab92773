"""HTTP requests on resources: bytes in, the dispatcher's answer out as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from sampan.api import decode, errors, patch, protobuf, resources
from sampan.api.errors import StatusError
from sampan.api.request import Request, UserInfo
from sampan.api.resources import COMPUTED, ENDPOINTS, Resource
from sampan.apiserver import negotiation, params, render, reviews, route, unattended, watching
from sampan.apiserver.conversion import storage_resource
from sampan.apiserver.dispatch import Answer, Dispatcher
from sampan.apiserver.entry import Entry
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.lister import Page
from sampan.apiserver.route import Route
from sampan.apiserver.storage import key_for

_DEPRECATED: Mapping[Resource, str] = {
    ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    resources.resource("", "v1", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
}
_DELETES = frozenset(["delete", "deletecollection"])
_DELETE_OPTIONS = ("v1", "DeleteOptions")


class Rest:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def get_now(self, exchange: Exchange, user: UserInfo) -> bool:
        """The plain GET of one stored object: its bytes as they are, without a task or a parse."""
        if exchange.method != "GET" or exchange.raw_query:
            return False
        found = route.parse(exchange.path)
        if found is None or not found.name or found.subresource:
            return False
        resource = found.resource
        if storage_resource(resource) is not resource or resource in _DEPRECATED or resource in COMPUTED:
            return False
        if negotiation.choose(exchange.headers.get("accept", "")) != negotiation.PLAIN:
            return False
        request = Request("get", resource, found.namespace, found.name)
        self._dispatcher.authorize(user, request)
        cache = self._dispatcher.pipeline.cache(resource)
        entry = cache.get(key_for(resource, found.namespace, found.name))
        if entry is None:
            return False
        exchange.respond(200, entry.value)
        return True

    async def answer(self, exchange: Exchange, user: UserInfo, found: Route) -> None:
        query = dict(exchange.query)
        verb = route.verb_of(exchange.method, found, params.flag(query, "watch"))
        form = negotiation.choose(exchange.headers.get("accept", ""))
        resource = found.resource
        if form.view and resource.group in reviews.GROUPS:
            raise errors.not_acceptable("a review has no other form than its own")
        include = query.get("includeObject", "")
        request = Request(verb, resource, found.namespace, found.name, found.subresource, query)
        outdated = [_DEPRECATED[resource]] if resource in _DEPRECATED else []
        if verb == "watch":
            cache, wanted = self._dispatcher.watched(user, request)
            encode = render.encoder(resource, form, include)
            hub = self._dispatcher.pipeline.hub
            headers = warning_headers(outdated)
            await watching.stream(hub, cache, wanted, query, exchange, form.content_type, encode, headers)
            return
        request, warnings = read_body(exchange, request)
        answer, call = await self._dispatcher.perform(user, request)
        body = self._encode(resource, answer, form, include)
        told = () if request.subresource else unattended.warnings(verb, resource)
        headers = warning_headers([*outdated, *warnings, *call.warnings, *told])
        exchange.respond(answer.code, body, form.content_type, headers)

    def _encode(self, resource: Resource, answer: Answer, form: negotiation.Form, include: str) -> bytes:
        if isinstance(answer.body, Entry):
            return render.single(resource, answer.body, form, include)
        if isinstance(answer.body, Page):
            return render.page(resource, answer.body, form, include)
        return render.computed(resource, answer.body, form, include)


def read_body(exchange: Exchange, request: Request) -> tuple[Request, Sequence[str]]:
    """The request with its body decoded, and warnings about what was dropped from it."""
    verb, resource = request.verb, request.resource
    if verb in ("get", "list", "connect") or (verb in _DELETES and not exchange.body):
        return request, ()
    content_type = exchange.headers.get("content-type", "") or negotiation.JSON
    validated = request.params.get("fieldValidation", "") or decode.WARN
    if validated not in decode.FIELD_VALIDATIONS:
        options = Resource("meta.k8s.io", "v1", "CreateOptions", "", "", False)
        broken = errors.not_supported("fieldValidation", validated, decode.FIELD_VALIDATIONS)
        raise errors.invalid(options, "", [broken])
    warnings: Sequence[str] = ()
    if verb == "patch":
        content_type = content_type.partition(";")[0].strip().lower()
        if content_type not in patch.TYPES:
            raise patch.not_a_patch()
        body = patch.parse(exchange.body)
    else:
        kind = _DELETE_OPTIONS if verb in _DELETES else _kind_of(resource, request.subresource)
        data = exchange.body
        if content_type.startswith(protobuf.CONTENT_TYPE):
            data = protobuf.to_json(data, kind or (resource.api_version, resource.kind))
            content_type = negotiation.JSON
        body, warnings = decode.decode(data, content_type, resource, kind, validated)
    return (
        Request(
            verb,
            resource,
            request.namespace,
            request.name,
            request.subresource,
            request.params,
            body,
            content_type,
        ),
        warnings,
    )


def _kind_of(resource: Resource, subresource: str) -> tuple[str, str] | None:
    """The kind a subresource speaks, None where it is the resource's own."""
    part = resource.subresource(subresource) if subresource else None
    if part is None or not part.kind:
        return None
    return (f"{part.group}/{part.version}" if part.group else part.version), part.kind


def warning_headers(warnings: Sequence[str]) -> list[tuple[str, str]]:
    """RFC 7234 warnings, code 299, each once."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in dict.fromkeys(warnings))
    return [("Warning", f'299 - "{text}"'.replace("\n", " ").replace("\r", " ")) for text in quoted]


def refuse(exchange: Exchange, error: StatusError) -> None:
    """The Status of a failed request. Once a stream has begun, all that is left is to end it."""
    if exchange.started:
        exchange.connection.transport.abort()
        return
    headers = [*error.headers.items()]
    exchange.respond(error.code, orjson.dumps(error.status), negotiation.JSON, headers)
