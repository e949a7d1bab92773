from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, SERVICE_ACCOUNTS, Resource, resource
from sampan.apiserver.authz import ANONYMOUS, Attributes
from sampan.apiserver.dispatch import Dispatcher, success
from sampan.apiserver.lister import Page

USER = UserInfo("tester", ("system:authenticated",))
BINDINGS = resource("", "v1", "bindings")
REVIEWS = resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews")


@pytest.fixture
def dispatcher(api) -> Dispatcher:
    return api.server.dispatcher


def request(verb: str, wanted: Resource, name: str = "", body: Obj | None = None, **fields) -> Request:
    return Request(verb, wanted, "default" if wanted.namespaced else "", name, body=body, **fields)


async def test_what_comes_of_a_verb_and_with_which_code(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.perform(USER, request("create", CONFIG_MAPS, body={"metadata": {"name": "a"}}))
    read, _ = await dispatcher.perform(USER, request("get", CONFIG_MAPS, "a"))
    listed, _ = await dispatcher.perform(USER, request("list", CONFIG_MAPS))
    gone, _ = await dispatcher.perform(USER, request("delete", CONFIG_MAPS, "a"))
    assert [answer.code for answer in (made, read, listed, gone)] == [201, 200, 200, 200]
    assert isinstance(listed.body, Page)
    assert gone.body["status"] == "Success" and gone.body["details"]["kind"] == "configmaps"


async def test_a_pod_that_is_deleted_is_answered_and_a_status_is_not(dispatcher: Dispatcher, pod) -> None:
    await dispatcher.perform(USER, request("create", PODS, body=pod("a")))
    answer, _ = await dispatcher.perform(USER, request("delete", PODS, "a"))
    assert answer.body.obj["metadata"]["name"] == "a"


@pytest.mark.parametrize(
    ("verb", "wanted", "sub"),
    [
        ("create", CONFIG_MAPS, "status"),
        ("update", PODS, "binding"),
        ("update", PODS, "token"),
        ("patch", SERVICE_ACCOUNTS, "token"),
        ("approve", PODS, ""),
    ],
)
async def test_a_verb_that_is_none_of_the_resources_is_refused(
    dispatcher: Dispatcher, verb: str, wanted: Resource, sub: str
) -> None:
    with pytest.raises(StatusError) as caught:
        await dispatcher.perform(
            USER, request(verb, wanted, "a", {"metadata": {"name": "a"}}, subresource=sub)
        )
    assert caught.value.code == 405


async def test_both_ways_to_bind_a_pod(dispatcher: Dispatcher, pod) -> None:
    for name in ("a", "b"):
        await dispatcher.perform(USER, request("create", PODS, body=pod(name)))
    target = {"target": {"kind": "Node", "name": "n1"}}
    old = request("create", BINDINGS, body={"metadata": {"name": "a"}, **target})
    new = request("create", PODS, "b", {"metadata": {"name": "b"}, **target}, subresource="binding")
    for wanted in (old, new):
        answer, _ = await dispatcher.perform(USER, wanted)
        assert (answer.code, answer.body) == (201, success())
    for name in ("a", "b"):
        answer, _ = await dispatcher.perform(USER, request("get", PODS, name))
        assert answer.body.obj["spec"]["nodeName"] == "n1"


async def test_a_review_is_answered_and_stored_nowhere(dispatcher: Dispatcher) -> None:
    asked = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer, _ = await dispatcher.perform(USER, request("create", REVIEWS, body=asked))
    assert answer.code == 201 and answer.body["status"]["allowed"] is True


async def test_who_may_not_changes_nothing(dispatcher: Dispatcher) -> None:
    with pytest.raises(StatusError, match='User "system:anonymous" cannot create resource') as caught:
        await dispatcher.perform(ANONYMOUS, request("create", CONFIG_MAPS, body={"metadata": {"name": "a"}}))
    assert caught.value.code == 403
    with pytest.raises(StatusError, match='cannot get path "/metrics"'):
        dispatcher.authorize_path(ANONYMOUS, "get", "/metrics")


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("metadata.name=n1", "n1"),
        ("metadata.name=n1,metadata.name=n2", ""),
        ("metadata.name!=n1", ""),
        ("spec.nodeName=n1", ""),
        ("", ""),
    ],
)
def test_a_list_of_one_object_is_asked_for_by_its_name(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, selector: str, name: str
) -> None:
    asked: list[Attributes] = []
    monkeypatch.setattr(dispatcher._authorizer, "allows", lambda user, wanted: not asked.append(wanted))
    dispatcher.authorize(USER, request("list", NODES, params={"fieldSelector": selector}))
    assert asked[0].name == name


async def test_a_dry_run_is_all_or_refused(dispatcher: Dispatcher) -> None:
    body: Obj = {"metadata": {"name": "a"}}
    with pytest.raises(StatusError, match='Unsupported value: \\["Some"\\]: supported values: "All"'):
        await dispatcher.perform(USER, request("create", CONFIG_MAPS, body=body, params={"dryRun": "Some"}))
    await dispatcher.perform(USER, request("create", CONFIG_MAPS, body=body, params={"dryRun": "All"}))
    with pytest.raises(StatusError) as caught:
        await dispatcher.perform(USER, request("get", CONFIG_MAPS, "a"))
    assert caught.value.code == 404


async def test_scale_is_shown_for_what_it_is_and_guards_its_revision(dispatcher: Dispatcher) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await dispatcher.perform(
        USER, request("create", DEPLOYMENTS, body={"metadata": {"name": "d"}, "spec": spec})
    )
    shown, _ = await dispatcher.perform(USER, request("get", DEPLOYMENTS, "d", subresource="scale"))
    assert (shown.body["kind"], shown.body["spec"]) == ("Scale", {"replicas": 1})
    for replicas in (2, 3):  # the second time from an old state
        body = {**shown.body, "spec": {"replicas": replicas}}
        wanted = request("update", DEPLOYMENTS, "d", body, subresource="scale")
        if replicas == 2:
            changed, _ = await dispatcher.perform(USER, wanted)
            assert changed.body["spec"] == {"replicas": 2}
            continue
        with pytest.raises(StatusError) as caught:
            await dispatcher.perform(USER, wanted)
        assert caught.value.code == 409
