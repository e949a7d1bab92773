"""What the API promises of all kinds: discovery, namespaces, watches, pages, strictness, collection of garbage."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlencode

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.life import discovered, life
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod


def raw(
    scene: Scene, path: str, accept: str = "application/json", method: str = "GET", body: Any = None
) -> Any:
    """(status, headers, text) of a request as nobody's model shapes it."""
    settings = scene.api.configuration
    answer = scene.api.rest_client.pool_manager.request(
        method,
        settings.host + path,
        body=json.dumps(body) if body is not None else None,
        headers={"Accept": accept, "Content-Type": "application/json"},
    )
    return answer.status, answer.headers, answer.data.decode()


# -- discovery and versions


@conforms("[sig-api-machinery] server version should find the server version")
def test_version(scene: Scene) -> None:
    found = client.VersionApi(scene.api).get_code()
    assert found.major.isdigit() and found.minor.isdigit()


@conforms("[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup")
def test_preferred_versions(scene: Scene) -> None:
    for group in client.ApisApi(scene.api).get_api_versions().groups:
        assert group.preferred_version.group_version in [each.group_version for each in group.versions]


@conforms("[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup")
def test_every_group_has_resources(scene: Scene) -> None:
    for group in client.ApisApi(scene.api).get_api_versions().groups:
        for version in group.versions:
            status, _, text = raw(scene, f"/apis/{version.group_version}")
            found = json.loads(text)
            assert (status, found["groupVersion"]) == (200, version.group_version)
            assert found["resources"] and all(each["name"] and each["kind"] for each in found["resources"])


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@conforms(
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers"
)
def test_raw_aggregated_discovery(scene: Scene) -> None:
    for path in ("/api", "/apis"):
        status, headers, text = raw(scene, path, AGGREGATED)
        assert status == 200 and "as=APIGroupDiscoveryList" in headers["Content-Type"]
        assert json.loads(text)["kind"] == "APIGroupDiscoveryList"


@conforms("[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface")
def test_aggregated_discovery_names_the_same_resources(scene: Scene) -> None:
    aggregated = {
        (group["metadata"].get("name", ""), version["version"], each["resource"])
        for path in ("/api", "/apis")
        for group in json.loads(raw(scene, path, AGGREGATED)[2])["items"]
        for version in group["versions"]
        for each in version["resources"]
    }
    assert {("", "v1", "pods"), ("apps", "v1", "deployments"), ("batch", "v1", "jobs")} <= aggregated
    listed = {
        (group.name, version.version, each["name"])
        for group in client.ApisApi(scene.api).get_api_versions().groups
        for version in group.versions
        for each in json.loads(raw(scene, f"/apis/{version.group_version}")[2])["resources"]
        if "/" not in each["name"]
    }
    assert listed <= aggregated


@conforms(
    "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery documents"
)
def test_webhooks_are_discovered(scene: Scene) -> None:
    discovered(
        scene,
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    )


@conforms(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource definition resources in discovery documents"
)
def test_definitions_are_discovered(scene: Scene) -> None:
    discovered(scene, "apiextensions.k8s.io", "customresourcedefinitions")


@conforms("[sig-api-machinery] API priority and fairness should support FlowSchema API operations")
def test_life_of_a_flow_schema(scene: Scene) -> None:
    discovered(scene, "flowcontrol.apiserver.k8s.io", "flowschemas", "flowschemas/status")
    kind = Kind(client.FlowcontrolApiserverV1Api(scene.api), "flow_schema")
    spec = {"priorityLevelConfiguration": {"name": "global-default"}, "matchingPrecedence": 9999}
    life(kind, f"{scene.namespace}-", spec=spec)


@conforms(
    "[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations"
)
def test_life_of_a_priority_level(scene: Scene) -> None:
    plural = "prioritylevelconfigurations"
    discovered(scene, "flowcontrol.apiserver.k8s.io", plural, f"{plural}/status")
    limited = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}
    kind = Kind(client.FlowcontrolApiserverV1Api(scene.api), "priority_level_configuration")
    life(kind, f"{scene.namespace}-", spec={"type": "Limited", "limited": limited})


RULES = [
    {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
]


@conforms(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy API operations"
)
def test_life_of_an_admission_policy(scene: Scene) -> None:
    plural = "validatingadmissionpolicies"
    discovered(scene, "admissionregistration.k8s.io", plural, f"{plural}/status")
    spec = {"matchConstraints": {"resourceRules": RULES}, "validations": [{"expression": "true"}]}
    kind = Kind(client.AdmissionregistrationV1Api(scene.api), "validating_admission_policy")
    life(kind, f"{scene.namespace}-", spec=spec)


@conforms(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicyBinding API operations"
)
def test_life_of_an_admission_policy_binding(scene: Scene) -> None:
    discovered(scene, "admissionregistration.k8s.io", "validatingadmissionpolicybindings")
    spec = {"policyName": "nobodys.example.com", "validationActions": ["Deny"]}
    kind = Kind(client.AdmissionregistrationV1Api(scene.api), "validating_admission_policy_binding")
    life(kind, f"{scene.namespace}-", spec=spec)


@conforms(
    "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata"
)
def test_what_is_no_table(scene: Scene) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert raw(scene, path, table, "POST", review)[0] == 406


# -- strictness


def deployment(text: str) -> str:
    return (
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"'
        + text
        + '},"spec":{"paused":true,'
        '"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},'
        '"spec":{"containers":[{"name":"c","image":"i"}]}},'
    )


def strictly(scene: Scene, text: str) -> str:
    path = f"/apis/apps/v1/namespaces/{scene.namespace}/deployments?fieldValidation=Strict"
    answer = scene.api.rest_client.pool_manager.request(
        "POST", scene.api.configuration.host + path, body=text, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400
    return str(answer.data.decode())


@conforms("[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object")
def test_unknown_and_repeated_fields(scene: Scene) -> None:
    said = strictly(scene, deployment("") + '"unknown1":"x","paused":false}}')
    assert "strict decoding error" in said
    assert 'unknown field \\"spec.unknown1\\"' in said and 'duplicate field \\"spec.paused\\"' in said


@conforms("[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object")
def test_unknown_fields_of_metadata(scene: Scene) -> None:
    said = strictly(scene, deployment(',"unknownMeta":"x"') + '"replicas":1}}')
    assert 'unknown field \\"metadata.unknownMeta\\"' in said


# -- namespaces


@pytest.fixture
def spare(scene: Scene) -> str:
    """A namespace that the test may do with as it likes."""
    name = f"{scene.namespace}-spare"
    scene.core.create_namespace({"metadata": {"name": name}})
    return name


def namespace_goes(scene: Scene, name: str) -> None:
    kind = Kind(scene.core, "namespace")
    kind.delete(name)
    kind.gone(name)


@conforms("[sig-api-machinery] Namespaces [Serial] should patch a Namespace")
def test_a_namespace_is_patched(scene: Scene, spare: str) -> None:
    kind = Kind(scene.core, "namespace")
    kind.label(spare, testLabel="testValue")
    assert kind.read(spare).metadata.labels["testLabel"] == "testValue"
    kind.delete(spare)


@conforms("[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace")
def test_a_namespace_is_updated(scene: Scene, spare: str) -> None:
    kind = Kind(scene.core, "namespace")
    assert kind.relabel(spare, updated="yes").metadata.labels["updated"] == "yes"
    kind.delete(spare)


@conforms("[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status")
def test_status_of_a_namespace(scene: Scene, spare: str) -> None:
    core = scene.core
    assert core.read_namespace_status(spare).status.phase == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "patched"}
    patched = core.patch_namespace_status(spare, {"status": {"conditions": [condition]}})
    assert patched.status.conditions[0].type == "StatusPatch"
    patched.status.conditions = [{**condition, "type": "StatusUpdate"}]
    assert core.replace_namespace_status(spare, patched).status.conditions[0].type == "StatusUpdate"
    core.delete_namespace(spare)


@conforms("[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace")
def test_finalizers_of_a_namespace(scene: Scene, spare: str) -> None:
    core = scene.core
    seen = core.read_namespace(spare)
    seen.spec.finalizers = [*seen.spec.finalizers, "e2e.example.com/fakeFinalizer"]
    assert "e2e.example.com/fakeFinalizer" in core.replace_namespace_finalize(spare, seen).spec.finalizers
    seen = core.read_namespace(spare)
    seen.spec.finalizers = ["kubernetes"]
    assert core.replace_namespace_finalize(spare, seen).spec.finalizers == ["kubernetes"]
    namespace_goes(scene, spare)


@conforms(
    "[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted"
)
def test_pods_go_with_their_namespace(scene: Scene, spare: str) -> None:
    scene.core.create_namespaced_pod(spare, pod("p", box("sleep 60")))
    namespace_goes(scene, spare)
    scene.core.create_namespace({"metadata": {"name": spare}})
    assert not scene.core.list_namespaced_pod(spare).items
    scene.core.delete_namespace(spare)


@conforms(
    "[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted"
)
def test_services_go_with_their_namespace(scene: Scene, spare: str) -> None:
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    scene.core.create_namespaced_service(spare, {"metadata": {"name": "s"}, "spec": spec})
    namespace_goes(scene, spare)
    scene.core.create_namespace({"metadata": {"name": spare}})
    assert not scene.core.list_namespaced_service(spare).items
    scene.core.delete_namespace(spare)


# -- watches


class Watching:
    """The events of ConfigMaps that a watch shows, gathered in a thread."""

    def __init__(self, scene: Scene, selector: str = "", revision: str = "") -> None:
        self.seen: list[tuple[str, str, str]] = []
        settings = scene.api.configuration
        certificates = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        certificates.load_cert_chain(settings.cert_file, settings.key_file)
        self._connection = http.client.HTTPSConnection(
            settings.host.removeprefix("https://"), context=certificates
        )
        query = urlencode({"watch": "1", "labelSelector": selector, "resourceVersion": revision})
        self._connection.request("GET", f"/api/v1/namespaces/{scene.namespace}/configmaps?{query}")
        self._answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._connection.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while line := self._answer.readline():
                event = json.loads(line)
                metadata = event["object"]["metadata"]
                if metadata["name"] != "kube-root-ca.crt":
                    self.seen.append((event["type"], metadata["name"], metadata["resourceVersion"]))

    def has(self, *wanted: str) -> None:
        """The events so far, written `ADDED a`, are these and no more."""
        eventually(lambda: [f"{kind} {name}" for kind, name, _ in self.seen] == list(wanted))


def put(scene: Scene, name: str, **labels: str) -> Any:
    return scene.core.create_namespaced_config_map(
        scene.namespace, {"metadata": {"name": name, "labels": labels}}
    )


def now(scene: Scene) -> str:
    return str(scene.core.list_namespaced_config_map(scene.namespace).metadata.resource_version)


def mutate(scene: Scene, name: str, value: str) -> Any:
    return scene.core.patch_namespaced_config_map(name, scene.namespace, {"data": {"mutation": value}})


@conforms(
    "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps"
)
def test_watches_see_what_they_select(scene: Scene) -> None:
    start = now(scene)
    with (
        Watching(scene, "w=a", start) as only_a,
        Watching(scene, "w=b", start) as only_b,
        Watching(scene, "w in (a,b)", start) as both,
    ):
        put(scene, "a", w="a")
        mutate(scene, "a", "1")
        scene.core.delete_namespaced_config_map("a", scene.namespace)
        put(scene, "b", w="b")
        scene.core.delete_namespaced_config_map("b", scene.namespace)
        of_a, of_b = ("ADDED a", "MODIFIED a", "DELETED a"), ("ADDED b", "DELETED b")
        only_a.has(*of_a)
        only_b.has(*of_b)
        both.has(*of_a, *of_b)


@conforms("[sig-api-machinery] Watchers should be able to start watching from a specific resource version")
def test_a_watch_from_a_revision(scene: Scene) -> None:
    put(scene, "a")
    first = mutate(scene, "a", "1").metadata.resource_version
    mutate(scene, "a", "2")
    scene.core.delete_namespaced_config_map("a", scene.namespace)
    with Watching(scene, revision=first) as watching:
        watching.has("MODIFIED a", "DELETED a")


@conforms(
    "[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the previous watch"
)
def test_a_watch_goes_on_where_another_stopped(scene: Scene) -> None:
    start = now(scene)
    with Watching(scene, revision=start) as first:
        put(scene, "a")
        mutate(scene, "a", "1")
        first.has("ADDED a", "MODIFIED a")
    mutate(scene, "a", "2")
    with Watching(scene, revision=first.seen[-1][2]) as second:
        scene.core.delete_namespaced_config_map("a", scene.namespace)
        second.has("MODIFIED a", "DELETED a")


@conforms(
    "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector"
)
def test_what_is_selected_no_more_is_gone(scene: Scene) -> None:
    maps = Kind(scene.core, "config_map", scene.namespace)
    with Watching(scene, "w=yes", now(scene)) as watching:
        put(scene, "a", w="yes")
        mutate(scene, "a", "1")
        maps.label("a", w="no")
        mutate(scene, "a", "2")
        maps.label("a", w="yes")
        mutate(scene, "a", "3")
        maps.delete("a")
        watching.has("ADDED a", "MODIFIED a", "DELETED a", "ADDED a", "MODIFIED a", "DELETED a")


@conforms("[sig-api-machinery] Watchers should receive events on concurrent watches in same order")
def test_all_watches_see_one_order(scene: Scene) -> None:
    start = now(scene)
    with Watching(scene, revision=start) as first:
        for number in range(20):
            put(scene, f"m{number}")
            mutate(scene, f"m{number}", "1")
        eventually(lambda: len(first.seen) == 40)
    revisions = [revision for _, _, revision in first.seen]
    for index in range(0, 40, 8):
        with Watching(scene, revision=revisions[index]) as again:
            eventually(lambda index=index, again=again: len(again.seen) == 39 - index)  # type: ignore[misc]
        assert [revision for _, _, revision in again.seen] == revisions[index + 1 :]


# -- pages


def template(name: str) -> Manifest:
    body = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [box("true")]}}
    return {"metadata": {"name": name}, "template": body}


@conforms(
    "[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls"
)
def test_pages(scene: Scene) -> None:
    total, limit = 50, 17
    for number in range(total):
        scene.core.create_namespaced_pod_template(scene.namespace, template(f"template-{number:04}"))
    revision, token, found = "", "", []
    while True:
        options = {"limit": limit, **({"_continue": token} if token else {})}
        page = scene.core.list_namespaced_pod_template(scene.namespace, **options)
        assert len(page.items) <= limit
        revision = revision or page.metadata.resource_version
        assert page.metadata.resource_version == revision
        found += [each.metadata.name for each in page.items]
        token = page.metadata._continue
        if not token:
            break
        assert page.metadata.remaining_item_count == total - len(found)
    assert found == [f"template-{number:04}" for number in range(total)]
    assert len(scene.core.list_namespaced_pod_template(scene.namespace).items) == total


# -- garbage


def controller(scene: Scene, name: str, replicas: int) -> Any:
    labels = {"app": name}
    spec = {
        "replicas": replicas,
        "selector": labels,
        "template": pod("x", box("sleep 60"), labels=labels, restartPolicy="Always"),
    }
    made = scene.core.create_namespaced_replication_controller(
        scene.namespace, {"metadata": {"name": name}, "spec": spec}
    )
    eventually(lambda: len(pods_of(scene, name)) == replicas)
    return made


def pods_of(scene: Scene, app: str) -> list[Any]:
    return list(scene.core.list_namespaced_pod(scene.namespace, label_selector=f"app={app}").items)


def delete_controller(scene: Scene, name: str, policy: str) -> None:
    scene.core.delete_namespaced_replication_controller(name, scene.namespace, propagation_policy=policy)


@conforms("[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning")
def test_pods_go_with_their_controller(scene: Scene) -> None:
    controller(scene, "rc", 2)
    delete_controller(scene, "rc", "Background")
    eventually(lambda: not pods_of(scene, "rc"))


@conforms("[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so")
def test_pods_are_orphaned(scene: Scene) -> None:
    controller(scene, "rc", 10)
    delete_controller(scene, "rc", "Orphan")
    Kind(scene.core, "replication_controller", scene.namespace).gone("rc")
    eventually(lambda: all(not each.metadata.owner_references for each in pods_of(scene, "rc")))
    assert len(pods_of(scene, "rc")) == 10


@conforms(
    "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so"
)
def test_the_controller_waits_for_its_pods(scene: Scene) -> None:
    controller(scene, "rc", 10)
    delete_controller(scene, "rc", "Foreground")
    kind = Kind(scene.core, "replication_controller", scene.namespace)
    while not kind.is_gone("rc"):
        assert kind.is_gone("rc") or pods_of(scene, "rc") or kind.is_gone("rc")
    assert not pods_of(scene, "rc")


@conforms(
    "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted"
)
def test_a_second_owner_keeps(scene: Scene) -> None:
    controller(scene, "first", 10)
    second = controller(scene, "second", 0)
    reference = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": "second",
        "uid": second.metadata.uid,
    }
    shared = [each.metadata.name for each in pods_of(scene, "first")][:5]
    for name in shared:
        kept = [
            {
                "apiVersion": o.api_version,
                "kind": o.kind,
                "name": o.name,
                "uid": o.uid,
                "controller": o.controller,
                "blockOwnerDeletion": o.block_owner_deletion,
            }
            for o in scene.get(name).metadata.owner_references
        ]
        scene.core.patch_namespaced_pod(
            name, scene.namespace, {"metadata": {"ownerReferences": [*kept, reference]}}
        )
    delete_controller(scene, "first", "Foreground")
    Kind(scene.core, "replication_controller", scene.namespace).gone("first")
    left = pods_of(scene, "first")
    assert {each.metadata.name for each in left} == set(shared)
    assert all(each.metadata.deletion_timestamp is None for each in left)


@conforms("[sig-api-machinery] Garbage collector should not be blocked by dependency circle")
def test_a_circle_of_owners(scene: Scene) -> None:
    made = [scene.create(pod(name, box("sleep 60"))) for name in ("pod1", "pod2", "pod3")]
    for owned, owner in ((0, 2), (1, 0), (2, 1)):
        metadata = made[owner].metadata
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata.name,
            "uid": metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        change = {"metadata": {"ownerReferences": [reference]}}
        scene.core.patch_namespaced_pod(made[owned].metadata.name, scene.namespace, change)
    scene.core.delete_namespaced_pod("pod1", scene.namespace, propagation_policy="Foreground")
    eventually(lambda: not scene.core.list_namespaced_pod(scene.namespace).items)


@pytest.mark.parametrize(
    ("policy", "stays"),
    [
        pytest.param(
            "Background",
            False,
            marks=conforms(
                "[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning"
            ),
        ),
        pytest.param(
            "Orphan",
            True,
            marks=conforms(
                "[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan"
            ),
        ),
    ],
)
def test_the_set_of_a_deployment(scene: Scene, policy: str, stays: bool) -> None:
    apps, labels = client.AppsV1Api(scene.api), {"app": "d"}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": pod("x", box("sleep 60"), labels=labels, restartPolicy="Always"),
    }
    apps.create_namespaced_deployment(scene.namespace, {"metadata": {"name": "d"}, "spec": spec})
    eventually(lambda: len(pods_of(scene, "d")) == 2)
    apps.delete_namespaced_deployment("d", scene.namespace, propagation_policy=policy)
    Kind(apps, "deployment", scene.namespace).gone("d")
    if stays:
        (left,) = apps.list_namespaced_replica_set(scene.namespace).items
        eventually(
            lambda: (
                not apps.read_namespaced_replica_set(
                    left.metadata.name, scene.namespace
                ).metadata.owner_references
            )
        )
        assert len(pods_of(scene, "d")) == 2
    else:
        eventually(
            lambda: not apps.list_namespaced_replica_set(scene.namespace).items and not pods_of(scene, "d")
        )
