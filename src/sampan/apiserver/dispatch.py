"""One request, whoever carried it here: authorization, then the verb's own path.

Over HTTPS and in process alike; what differs is only how the body came and how the answer leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource
from sampan.apiserver import deletion, scale
from sampan.apiserver.authz import Attributes, Authorizer, refusal
from sampan.apiserver.conversion import from_storage
from sampan.apiserver.entry import Entry
from sampan.apiserver.eviction import evict
from sampan.apiserver.filters import Filter, parse
from sampan.apiserver.lister import Page, list_page, wait_fresh
from sampan.apiserver.params import revision
from sampan.apiserver.pipeline import Pipeline
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.registry.namespaces import finalize
from sampan.apiserver.registry.pods import bind
from sampan.apiserver.reviews import Reviews
from sampan.apiserver.storage import scope_prefix
from sampan.apiserver.tokens import Tokens
from sampan.apiserver.watchcache import Cache

_BINDING_RESOURCE = ("", "bindings")
_DRY_RUN = "All"
_PARTS = {
    "": "",
    "status": "status",
    "scale": "scale",
    "approval": "approval",
    "finalize": "finalize",
    "ephemeralcontainers": "ephemeralcontainers",
    "resize": "resize",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is an object of the request's resource (Entry), a list of them (Page), or any other object."""

    body: Entry | Page | Obj
    code: int = 200


class Dispatcher:
    def __init__(
        self,
        pipeline: Pipeline,
        authorizer: Authorizer,
        reviews: Reviews,
        tokens: Tokens,
        computed: Mapping[Resource, Callable[[Call], Awaitable[Obj]]] | None = None,
    ) -> None:
        """`computed`: who answers for resources that are stored nowhere."""
        self.pipeline = pipeline
        self._computed = computed or {}
        self._authorizer = authorizer
        self._reviews = reviews
        self._tokens = tokens
        self._verbs: dict[str, Callable[[Call], Awaitable[Answer]]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        self._creations: Mapping[tuple[Resource, str], Callable[[Call, Obj], Awaitable[Answer]]] = {
            (PODS, "binding"): self._bind,
            (PODS, "eviction"): self._evict,
            (SERVICE_ACCOUNTS, "token"): self._token,
        }

    def authorize(self, user: UserInfo, request: Request) -> None:
        """Raises 403 when the user may not."""
        resource = request.resource
        wanted = Attributes(
            request.verb,
            resource.group,
            resource.plural,
            request.subresource,
            request.namespace,
            request.name or _only_name(request),
        )
        if not self._authorizer.allows(user, wanted):
            raise errors.forbidden(resource, request.name, refusal(user, wanted))

    def authorize_path(self, user: UserInfo, verb: str, path: str) -> None:
        wanted = Attributes(verb, path=path)
        if not self._authorizer.allows(user, wanted):
            message = f"forbidden: {refusal(user, wanted)}"
            raise errors.status_error(403, "Forbidden", message, {})

    async def perform(self, user: UserInfo, request: Request) -> tuple[Answer, Call]:
        """Does it. The Call holds the warnings."""
        self.authorize(user, request)
        call = Call(user, request, self.pipeline.hub, _dry_run(request))
        if (compute := self._computed.get(request.resource)) is not None:
            return Answer(await compute(call)), call
        perform = self._verbs.get(request.verb)
        if perform is None:
            raise errors.method_not_allowed()
        return await perform(call), call

    def watched(self, user: UserInfo, request: Request) -> tuple[Cache, Filter]:
        """What a watch request watches."""
        self.authorize(user, request)
        prefix = scope_prefix(request.resource, request.namespace)
        params = dict(request.params)
        if request.name:
            params["fieldSelector"] = f"metadata.name={request.name}"
        return self.pipeline.cache(request.resource), parse(request.resource, prefix, params)

    async def _get(self, call: Call) -> Answer:
        if wanted := revision(call.request.params):
            await wait_fresh(self.pipeline.hub, wanted)
        entry = self.pipeline.get(call)
        if call.request.subresource == "scale":
            return Answer(scale.view(entry.obj))
        return Answer(entry)

    async def _list(self, call: Call) -> Answer:
        request = call.request
        wanted = parse(request.resource, scope_prefix(request.resource, request.namespace), request.params)
        cache = self.pipeline.cache(request.resource)
        return Answer(await list_page(self.pipeline.hub, cache, wanted, request.params))

    async def _create(self, call: Call) -> Answer:
        request = call.request
        body = _object(request.body)
        if request.subresource:
            create = self._creations.get((request.resource, request.subresource))
            if create is None:
                raise errors.method_not_allowed()
            return await create(call, body)
        if self._reviews.concerns(request.resource):
            return Answer(self._reviews.answer(call, body), 201)
        if (request.resource.group, request.resource.plural) == _BINDING_RESOURCE:
            name = (body.get("metadata") or {}).get("name", "")
            on_pod = Request("create", PODS, request.namespace, name, "binding", request.params)
            return await self._bind(Call(call.user, on_pod, call.hub, call.dry_run, call.warnings), body)
        return Answer(await self.pipeline.create(call, body), 201)

    async def _update(self, call: Call) -> Answer:
        request = call.request
        body = _object(request.body)
        if request.subresource == "scale":
            return Answer(await self._update_scale(call, body))
        part = _written_part(request.subresource)
        if request.resource is NAMESPACES and request.subresource == "finalize":
            return Answer(await self.pipeline.modify(call, lambda old: finalize(old, body), "finalize"))
        entry, created = await self.pipeline.update(call, body, part)
        return Answer(entry, 201 if created else 200)

    async def _update_scale(self, call: Call, body: Obj) -> Obj:
        fields = body.get("metadata") or {}

        def change(old: Obj) -> Obj:
            scale.set_replicas(call.resource, old, body)
            if fields.get("resourceVersion"):
                old["metadata"]["resourceVersion"] = fields["resourceVersion"]
            return old

        entry = await self.pipeline.modify(call, change, "scale")
        return scale.view(from_storage(call.resource, entry.obj))

    async def _patch(self, call: Call) -> Answer:
        request = call.request
        part = _written_part(request.subresource)
        entry = await self.pipeline.patch(call, request.body, request.content_type, part)
        if request.subresource == "scale":
            return Answer(scale.view(from_storage(request.resource, entry.obj)))
        return Answer(entry)

    async def _delete(self, call: Call) -> Answer:
        options = deletion.requested(call.request)
        call.dry_run = call.dry_run or bool(options.dry_run)
        entry, gone = await self.pipeline.delete(call, options)
        if not gone or self.pipeline.hooks(call.resource).returns_deleted:
            return Answer(entry)
        details: Obj = {"name": call.request.name}
        if call.resource.group:
            details["group"] = call.resource.group
        details |= {"kind": call.resource.plural, "uid": entry.obj["metadata"]["uid"]}
        return Answer(success(details))

    async def _delete_collection(self, call: Call) -> Answer:
        options = deletion.requested(call.request)
        call.dry_run = call.dry_run or bool(options.dry_run)
        entries = await self.pipeline.delete_collection(call, options)
        return Answer(Page(entries, self.pipeline.hub.revision))

    async def _bind(self, call: Call, body: Obj) -> Answer:
        await self.pipeline.modify(call, lambda pod: bind(pod, body), "binding")
        return Answer(success(), 201)

    async def _evict(self, call: Call, body: Obj) -> Answer:
        await evict(self.pipeline, call, body)
        return Answer(success(), 201)

    async def _token(self, call: Call, body: Obj) -> Answer:
        return Answer(self._tokens.issue(call, body), 201)


def _only_name(request: Request) -> str:
    """The one object that a list or watch is confined to, if it is: who may read that may ask so, too."""
    if request.verb not in ("list", "watch"):
        return ""
    head, _, name = request.params.get("fieldSelector", "").partition("=")
    simple = head == "metadata.name" and not set(name) & set("=!,\\")
    return name if simple else ""


def _written_part(subresource: str) -> str:
    """How the pipeline treats a subresource that is (a part of) the object; 405 for those it cannot."""
    try:
        return _PARTS[subresource]
    except KeyError:
        raise errors.method_not_allowed() from None


def success(details: Obj | None = None) -> Obj:
    status: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": details} if details else {**status, "code": 201}


def _dry_run(request: Request) -> bool:
    asked = request.params.get("dryRun", "")
    if asked and asked != _DRY_RUN:
        kind = Resource("meta.k8s.io", "v1", "CreateOptions", "", "", False)
        raise errors.invalid(kind, "", [errors.not_supported("dryRun", [asked], [_DRY_RUN])])
    return bool(asked)


def _object(body: Any) -> Obj:
    if not isinstance(body, dict):
        raise errors.bad_request("the request needs an object as its body")
    return body
