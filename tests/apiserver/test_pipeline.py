from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import mutable
from sampan.api.request import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, NAMESPACES, NODES, PODS, REPLICA_SETS

DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]},
        },
    },
}


async def refused(awaitable: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await awaitable
    return caught.value


async def test_a_new_object_gets_its_identity(api) -> None:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a", "uid": "mine"}, "data": {"k": "v"}})
    assert made["kind"] == "ConfigMap" and made["apiVersion"] == "v1"
    assert made["metadata"]["uid"] != "mine"
    assert made["metadata"]["namespace"] == "default"
    assert int(made["metadata"]["resourceVersion"]) == api.server.store.revision
    assert made == await api.call("get", CONFIG_MAPS, "a")


async def test_who_reads_after_a_write_sees_it(api) -> None:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert await api.call("get", CONFIG_MAPS, "a") == made


async def test_who_reads_what_another_watches_shares_the_object(api) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    watched = await anext(api.watch(CONFIG_MAPS))
    assert await api.call("get", CONFIG_MAPS, "a") is watched.object
    again = await api.call("patch", CONFIG_MAPS, "a", {"data": {"k": "v"}})
    assert await api.call("get", CONFIG_MAPS, "a") == again


async def test_names_are_generated_and_never_twice(api) -> None:
    made = await asyncio.gather(
        *(api.create(CONFIG_MAPS, {"metadata": {"generateName": "x-"}}) for _ in range(50))
    )
    names = {item["metadata"]["name"] for item in made}
    assert len(names) == 50 and all(name.startswith("x-") for name in names)


async def test_a_second_object_of_a_name_is_refused_even_at_the_same_moment(api) -> None:
    bodies = [{"metadata": {"name": "a"}} for _ in range(5)]
    answers = await asyncio.gather(
        *(api.create(CONFIG_MAPS, body) for body in bodies), return_exceptions=True
    )
    failed = [answer for answer in answers if isinstance(answer, StatusError)]
    assert len(failed) == 4
    assert {error.reason for error in failed} == {"AlreadyExists"}
    assert failed[0].message == 'configmaps "a" already exists'


async def test_an_update_from_an_old_state_conflicts(api) -> None:
    made = mutable(await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}}))
    await api.call("patch", CONFIG_MAPS, "a", {"data": {"k": "1"}})
    error = await refused(api.call("update", CONFIG_MAPS, "a", made))
    assert (error.code, error.reason) == (409, "Conflict")


async def test_an_update_without_revision_takes_what_is_there(api) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    await api.call("patch", CONFIG_MAPS, "a", {"data": {"k": "1"}})
    new = await api.call("update", CONFIG_MAPS, "a", {"metadata": {"name": "a"}, "data": {"k": "2"}})
    assert new["data"] == {"k": "2"}


async def test_patches_at_the_same_moment_all_count(api) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    await asyncio.gather(*(api.call("patch", CONFIG_MAPS, "a", {"data": {f"k{i}": "v"}}) for i in range(10)))
    assert len((await api.call("get", CONFIG_MAPS, "a"))["data"]) == 10


async def test_an_update_that_changes_nothing_writes_nothing(api) -> None:
    made = await api.create(DEPLOYMENTS, mutable(DEPLOYMENT))
    before = api.server.store.revision
    again = await api.call("update", DEPLOYMENTS, "web", mutable(DEPLOYMENT))
    patched = await api.call("patch", DEPLOYMENTS, "web", {"spec": {"replicas": 3}})
    assert api.server.store.revision == before
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert patched == again


async def test_generation_counts_what_is_asked_for(api) -> None:
    await api.create(DEPLOYMENTS, mutable(DEPLOYMENT))
    patched = await api.call("patch", DEPLOYMENTS, "web", {"spec": {"replicas": 4}})
    assert patched["metadata"]["generation"] == 2
    labelled = await api.call("patch", DEPLOYMENTS, "web", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2
    status = {"status": {"replicas": 4}}
    reported = await api.call("patch", DEPLOYMENTS, "web", status, sub="status")
    assert reported["metadata"]["generation"] == 2 and reported["status"]["replicas"] == 4


async def test_status_and_spec_keep_to_their_own_endpoints(api) -> None:
    await api.create(DEPLOYMENTS, {**mutable(DEPLOYMENT), "status": {"replicas": 9}})
    both = {"spec": {"replicas": 7}, "status": {"replicas": 7}}
    first = await api.call("patch", DEPLOYMENTS, "web", mutable(both))
    assert first["spec"]["replicas"] == 7 and not first.get("status", {}).get("replicas")
    other = {"spec": {"replicas": 1}, "status": {"replicas": 5}}
    second = await api.call("patch", DEPLOYMENTS, "web", other, sub="status")
    assert second["spec"]["replicas"] == 7 and second["status"]["replicas"] == 5


async def test_scale_reads_and_writes_replicas(api) -> None:
    await api.create(DEPLOYMENTS, mutable(DEPLOYMENT))
    seen = await api.call("get", DEPLOYMENTS, "web", sub="scale")
    assert seen["spec"] == {"replicas": 3} and seen["status"]["selector"] == "app=web"
    seen = mutable(seen)
    seen["spec"]["replicas"] = 5
    assert (await api.call("update", DEPLOYMENTS, "web", seen, sub="scale"))["spec"] == {"replicas": 5}
    patched = await api.call("patch", DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, sub="scale")
    assert patched["kind"] == "Scale" and patched["spec"] == {"replicas": 2}
    error = await refused(api.call("patch", DEPLOYMENTS, "web", {"spec": {"replicas": -1}}, sub="scale"))
    assert error.code == 422
    stale = await refused(api.call("update", DEPLOYMENTS, "web", seen, sub="scale"))
    assert stale.reason == "Conflict"


async def test_dry_run_says_what_would_be_and_does_nothing(api) -> None:
    before = api.server.store.revision
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, dryRun="All")
    assert made["metadata"]["uid"] and "resourceVersion" not in made["metadata"]
    await api.call("delete", NAMESPACES, "kube-node-lease", dryRun="All")
    assert api.server.store.revision == before
    assert (await refused(api.call("get", CONFIG_MAPS, "a"))).code == 404


async def test_invalid_objects_are_refused_with_their_causes(api) -> None:
    error = await refused(api.create(CONFIG_MAPS, {"metadata": {"name": "Not_A_Name"}}))
    assert error.code == 422 and error.status["details"]["causes"][0]["field"] == "metadata.name"
    wrong = mutable(DEPLOYMENT)
    wrong["spec"]["selector"]["matchLabels"] = {"app": "other"}
    assert (
        "`selector` does not match template `labels`"
        in (await refused(api.create(DEPLOYMENTS, wrong))).message
    )


async def test_a_lease_must_say_which_state_it_replaces(api) -> None:
    await api.create(LEASES, {"metadata": {"name": "l"}})
    error = await refused(api.call("update", LEASES, "l", {"metadata": {"name": "l"}}))
    assert error.code == 422 and "must be specified for an update" in error.message


async def test_a_patch_of_a_lease_replaces_the_state_it_was_made_for(api) -> None:
    await api.create(LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})
    patched = await api.call(
        "patch", LEASES, "l", {"spec": {"holderIdentity": "b"}}, content_type=MERGE_PATCH
    )
    assert patched["spec"] == {"holderIdentity": "b"}


async def test_uid_and_revision_guard_a_delete(api) -> None:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    wrong = {"preconditions": {"uid": "other"}}
    assert (await refused(api.call("delete", CONFIG_MAPS, "a", wrong))).reason == "Conflict"
    right = {"preconditions": {"uid": made["metadata"]["uid"]}}
    answer = await api.call("delete", CONFIG_MAPS, "a", right)
    assert answer["status"] == "Success" and answer["details"]["kind"] == "configmaps"


async def test_a_finalizer_holds_an_object_until_it_is_taken_away(api) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a", "finalizers": ["x.io/hold"]}})
    marked = await api.call("delete", CONFIG_MAPS, "a")
    assert marked["metadata"]["deletionTimestamp"]
    error = await refused(api.create(CONFIG_MAPS, {"metadata": {"name": "a"}}))
    assert error.message == 'object is being deleted: configmaps "a" already exists'
    await api.call("patch", CONFIG_MAPS, "a", {"metadata": {"finalizers": None}})
    assert (await refused(api.call("get", CONFIG_MAPS, "a"))).code == 404


@pytest.mark.parametrize(
    ("policy", "finalizers"), [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"])]
)
async def test_propagation_policy_becomes_a_finalizer(api, policy: str, finalizers: list[str]) -> None:
    await api.create(DEPLOYMENTS, mutable(DEPLOYMENT))
    marked = await api.call("delete", DEPLOYMENTS, "web", {"propagationPolicy": policy})
    assert marked["metadata"]["finalizers"] == finalizers
    assert marked["metadata"]["generation"] == 2


async def test_background_deletion_is_at_once(api) -> None:
    await api.create(REPLICA_SETS, mutable(DEPLOYMENT))
    await api.call("delete", REPLICA_SETS, "web", {"propagationPolicy": "Background"})
    assert (await refused(api.call("get", REPLICA_SETS, "web"))).code == 404


async def test_a_collection_is_deleted_by_selector(api) -> None:
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": {"app": app}}})
    await api.call("deletecollection", CONFIG_MAPS, labelSelector="app=x")
    left = await api.call("list", CONFIG_MAPS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["c"]


async def test_the_namespace_of_body_and_url_must_agree(api) -> None:
    error = await refused(api.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "other"}}))
    assert error.code == 400


async def test_a_patch_cannot_rename(api, pod) -> None:
    await api.create(PODS, pod("a"))
    error = await refused(api.call("patch", PODS, "a", {"metadata": {"name": "b"}}))
    assert error.code == 400


async def test_a_node_is_created_with_its_status_and_a_taint(api) -> None:
    made = await api.create(NODES, {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}})
    assert made["status"]["capacity"] == {"cpu": "4"}
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_a_resize_is_no_way_around_the_rules(api, pod) -> None:
    made = await api.create(PODS, pod("a"))
    container = made["spec"]["containers"][0]["name"]
    sized = {"name": container, "resources": {"requests": {"cpu": "1"}}, "image": "other"}
    body = {"spec": {"hostNetwork": True, "containers": [sized]}, "metadata": {"labels": {"a": "b"}}}
    error = await refused(
        api.call("patch", PODS, "a", body, sub="resize", content_type=STRATEGIC_MERGE_PATCH)
    )
    assert "Pod QOS Class may not change as a result of resizing" in error.message
    sized["resources"] = {}
    same = await api.call("patch", PODS, "a", body, sub="resize", content_type=STRATEGIC_MERGE_PATCH)
    assert same["spec"] == made["spec"] and "labels" not in same["metadata"]


DEBUGGER = {"name": "debugger", "image": "busybox", "stdin": True, "targetContainerName": "c"}


async def test_ephemeral_containers_come_through_their_own_door(api) -> None:
    made = await api.create(
        PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    )
    patch = {"spec": {"ephemeralContainers": [DEBUGGER], "priority": 7}, "metadata": {"labels": {"a": "b"}}}
    for content_type in (STRATEGIC_MERGE_PATCH, MERGE_PATCH):
        changed = await api.call(
            "patch", PODS, "p", patch, sub="ephemeralcontainers", content_type=content_type
        )
        (debugger,) = changed["spec"]["ephemeralContainers"]
        assert debugger["imagePullPolicy"] == "Always" and debugger["terminationMessagePolicy"] == "File"
        assert "labels" not in changed["metadata"] and changed["spec"]["priority"] == made["spec"]["priority"]
        assert changed["metadata"]["generation"] == 2
    more = [{"op": "add", "path": "/spec/ephemeralContainers/-", "value": {**DEBUGGER, "name": "third"}}]
    words = {"sub": "ephemeralcontainers", "content_type": JSON_PATCH, "dryRun": "All"}
    shown = await api.call("patch", PODS, "p", more, **words)
    assert [c["name"] for c in shown["spec"]["ephemeralContainers"]] == ["debugger", "third"]
    body = mutable(changed)
    body["spec"]["ephemeralContainers"].append({**DEBUGGER, "name": "second"})
    changed = await api.call("update", PODS, "p", body, sub="ephemeralcontainers")
    assert [c["name"] for c in changed["spec"]["ephemeralContainers"]] == ["debugger", "second"]
    shown = await api.call("get", PODS, "p", sub="ephemeralcontainers")
    assert shown["spec"] == changed["spec"]
    body["spec"]["ephemeralContainers"].clear()
    body["metadata"].pop("resourceVersion")
    error = await refused(api.call("update", PODS, "p", body, sub="ephemeralcontainers"))
    assert (
        error.code == 422 and 'existing ephemeral containers "debugger" may not be removed' in error.message
    )
    error = await refused(api.call("patch", PODS, "p", {"spec": {"ephemeralContainers": None}}))
    assert error.code == 422


async def test_annotations_of_a_deployment_are_wishes_unless_they_come_with_its_status(api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    change = {"metadata": {"annotations": {"revision": "1"}}}
    told = await api.call("patch", DEPLOYMENTS, "d", change, sub="status")
    assert (told["metadata"]["annotations"], told["metadata"]["generation"]) == ({"revision": "1"}, 1)
    change = {"metadata": {"annotations": {"revision": "2"}}}
    assert (await api.call("patch", DEPLOYMENTS, "d", change))["metadata"]["generation"] == 2


async def test_binding_a_pod_changes_no_wish(api) -> None:
    await api.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await api.call("create", PODS, "p", binding, sub="binding")
    pod = await api.call("get", PODS, "p")
    assert (pod["spec"]["nodeName"], pod["metadata"]["generation"]) == ("n", 1)
