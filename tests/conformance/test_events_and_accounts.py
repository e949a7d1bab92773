"""Events, service accounts and their tokens."""

from __future__ import annotations

import itertools
from typing import Any

from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
# Of nobody: a request and a certificate, base64 of PEM.
REQUEST = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISk1IRUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWRHVnpkREJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSApBMElBQkRpZ3M0NXB1cnFtUHpqSko2WndsWFRqL2R3NGFPSnhYMjdtTjR6N0JlMmc1QWcvZFJtcnJPV2g3T1pGCnZyY09BbzhvbmNLYWJJMExtUm9ubUhRWU04MmdBREFLQmdncWhrak9QUVFEQWdOSUFEQkZBaUFtdUF2NThlUXgKNUVwUk84dEQ1VTc4U3VCMnJzcU9ZNDBseWNyRWFIbkt3Z0loQU9Xc2k3emhqU050b3l6MlVDeFN0ZW9JK1BuYwpmQ1pMSnpwTmZHc3RreWFvCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo="
CERTIFICATE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJDakNCc2FBREFnRUNBZ0VCTUFvR0NDcUdTTTQ5QkFNQ01BOHhEVEFMQmdOVkJBTU1CSFJsYzNRd0hoY04KTWpZd01UQXhNREF3TURBd1doY05Nell3TVRBeE1EQXdNREF3V2pBUE1RMHdDd1lEVlFRRERBUjBaWE4wTUZrdwpFd1lIS29aSXpqMENBUVlJS29aSXpqMERBUWNEUWdBRU9LQ3pqbW02dXFZL09Na25wbkNWZE9QOTNEaG80bkZmCmJ1WTNqUHNGN2FEa0NEOTFHYXVzNWFIczVrVyt0dzRDanlpZHdwcHNqUXVaR2llWWRCZ3p6VEFLQmdncWhrak8KUFFRREFnTklBREJGQWlFQXQvWEM4SC9XTHRiQ0IxbmxsektuZEk0UkVCdzJTOFcwTmpZK1gyeW1HY2dDSUZkTgo4Q0RaWWo5ZHh1SXZPbUtGTnNRbFZ6akh1c2M4c1Q5VzRHRU0rSEt2Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
STAMP = "2026-01-01T00:00:00.000000Z"


def about(scene: Scene) -> Manifest:
    return {"kind": "Pod", "namespace": scene.namespace, "name": "p"}


def core_event(scene: Scene, name: str) -> Manifest:
    labels = {"of": scene.namespace}
    return {
        "metadata": {"name": name, "labels": labels},
        "involvedObject": about(scene),
        "message": "first",
        "type": "Normal",
    }


@conforms("[sig-instrumentation] Events should manage the lifecycle of an event")
def test_life_of_an_event(scene: Scene) -> None:
    events, chosen = Kind(scene.core, "event", scene.namespace), f"of={scene.namespace}"
    events.create(core_event(scene, "e"))
    assert len(scene.core.list_event_for_all_namespaces(label_selector=chosen).items) == 1
    assert events.patch("e", {"message": "second"}).message == "second"
    seen = events.read("e")
    seen.series = client.CoreV1EventSeries(count=100, last_observed_time=seen.metadata.creation_timestamp)
    assert scene.core.replace_namespaced_event("e", scene.namespace, seen).series.count == 100
    events.delete("e")
    assert not scene.core.list_event_for_all_namespaces(label_selector=chosen).items


@conforms("[sig-instrumentation] Events should delete a collection of events")
def test_a_collection_of_events_is_deleted(scene: Scene) -> None:
    events, chosen = Kind(scene.core, "event", scene.namespace), f"of={scene.namespace}"
    for name in ("a", "b", "c"):
        events.create(core_event(scene, name))
    assert len(events.list(chosen)) == 3
    events.delete_all(chosen)
    assert not events.list(chosen)


def new_event(scene: Scene, name: str) -> Manifest:
    return {
        "metadata": {"name": name, "labels": {"of": scene.namespace}},
        "regarding": about(scene),
        "note": "first",
        "type": "Normal",
        "reason": "Test",
        "action": "Do",
        "eventTime": STAMP,
        "reportingController": "test.example.com/c",
        "reportingInstance": "i",
    }


@conforms(
    "[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed"
)
def test_life_of_an_event_of_the_new_group(scene: Scene) -> None:
    api = client.EventsV1Api(scene.api)
    events, chosen = Kind(api, "event", scene.namespace), f"of={scene.namespace}"
    events.create(new_event(scene, "e"))
    assert len(api.list_event_for_all_namespaces(label_selector=chosen).items) == 1
    assert len(events.list(chosen)) == 1
    assert events.patch("e", {"note": "second"}).note == "second"
    assert events.patch("e", {"series": {"count": 100, "lastObservedTime": STAMP}}).series.count == 100
    events.delete("e")
    assert not api.list_event_for_all_namespaces(label_selector=chosen).items


@conforms("[sig-instrumentation] Events API should delete a collection of events")
def test_a_collection_of_events_of_the_new_group_is_deleted(scene: Scene) -> None:
    events, chosen = Kind(client.EventsV1Api(scene.api), "event", scene.namespace), f"of={scene.namespace}"
    for name in ("a", "b", "c"):
        events.create(new_event(scene, name))
    assert len(events.list(chosen)) == 3
    events.delete_all(chosen)
    assert not events.list(chosen)


@conforms("[sig-auth] ServiceAccounts should mount an API token into pods")
def test_a_token_in_every_container(scene: Scene) -> None:
    boxes = [
        box(f"cat {TOKEN}/{name}", name=name.replace(".", "-")) for name in ("token", "ca.crt", "namespace")
    ]
    scene.create(pod("p", *boxes))
    scene.until("p", lambda seen: seen.status.phase == "Succeeded")
    assert scene.log("p", "token").count(".") == 2
    assert "BEGIN CERTIFICATE" in scene.log("p", "ca-crt")
    assert scene.log("p", "namespace") == scene.namespace


@conforms("[sig-auth] ServiceAccounts should allow opting out of API token automount")
def test_no_token_for_those_who_want_none(scene: Scene) -> None:
    choices = {"unset": None, "yes": True, "no": False}
    for name, choice in choices.items():
        body: Manifest = {"metadata": {"name": f"account-{name}"}}
        if choice is not None:
            body["automountServiceAccountToken"] = choice
        scene.core.create_namespaced_service_account(scene.namespace, body)
    for (mine, my_choice), (theirs, their_choice) in itertools.product(choices.items(), choices.items()):
        spec: dict[str, Any] = {"serviceAccountName": f"account-{theirs}"}
        if my_choice is not None:
            spec["automountServiceAccountToken"] = my_choice
        made = scene.create(pod(f"pod-{mine}-{theirs}", box("true"), **spec))
        mounts = [mount.mount_path for mount in made.spec.containers[0].volume_mounts or ()]
        wanted = my_choice if my_choice is not None else their_choice is not False
        assert (TOKEN in mounts) == wanted, (mine, theirs)


@conforms("[sig-auth] ServiceAccounts should mount projected service account token")
def test_a_projected_token(scene: Scene) -> None:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    volume = {"name": "v", "projected": {"sources": [source]}}
    mounts = [{"name": "v", "mountPath": "/test-volume", "readOnly": True}]
    log = scene.finished(pod("p", box("cat /test-volume/token", volumeMounts=mounts), volumes=[volume]))
    assert [bool(part) for part in log.split(".")] == [True] * 3


@conforms("[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace")
def test_the_authority_in_every_namespace(scene: Scene) -> None:
    maps = Kind(scene.core, "config_map", scene.namespace)
    name = "kube-root-ca.crt"
    eventually(lambda: not maps.is_gone(name))
    content, uid = maps.read(name).data, maps.read(name).metadata.uid
    maps.delete(name)
    eventually(lambda: not maps.is_gone(name) and maps.read(name).metadata.uid != uid)
    maps.patch(name, {"data": {"ca.crt": "spoiled"}})
    eventually(lambda: maps.read(name).data == content)


@conforms("[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount")
def test_life_of_a_service_account(scene: Scene) -> None:
    accounts, chosen = Kind(scene.core, "service_account", scene.namespace), f"of={scene.namespace}"
    made = accounts.create({"metadata": {"name": "a", "labels": {"of": scene.namespace}}})
    assert accounts.read("a").metadata.uid == made.metadata.uid
    accounts.patch("a", {"automountServiceAccountToken": False})
    (found,) = scene.core.list_service_account_for_all_namespaces(label_selector=chosen).items
    assert found.automount_service_account_token is False
    accounts.delete_all(chosen)
    accounts.gone("a")


@conforms("[sig-auth] ServiceAccounts should update a ServiceAccount")
def test_a_service_account_is_updated(scene: Scene) -> None:
    accounts = Kind(scene.core, "service_account", scene.namespace)
    accounts.create({"metadata": {"name": "a"}})
    seen = accounts.read("a")
    seen.automount_service_account_token = False
    answer = scene.core.replace_namespaced_service_account("a", scene.namespace, seen)
    assert answer.automount_service_account_token is False


@conforms("[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations")
def test_life_of_a_signing_request(scene: Scene) -> None:
    api = client.CertificatesV1Api(scene.api)
    listed = [each.name for each in api.get_api_resources().resources]
    base = "certificatesigningrequests"
    assert {base, f"{base}/approval", f"{base}/status"} <= set(listed)
    requests, name = Kind(api, "certificate_signing_request"), scene.namespace
    body = {
        "metadata": {"name": name, "labels": {"of": scene.namespace}},
        "spec": {
            "request": REQUEST,
            "signerName": "example.com/e2e",
            "usages": ["digital signature"],
            "expirationSeconds": 3600,
        },
    }
    requests.create(body)
    assert requests.read(name).spec.signer_name == "example.com/e2e"
    assert len(requests.list(f"of={scene.namespace}")) == 1
    assert requests.label(name, patched="yes").metadata.labels["patched"] == "yes"
    assert requests.relabel(name, updated="yes").metadata.labels["updated"] == "yes"
    condition = {"type": "Approved", "status": "True", "reason": "E2E", "message": "set from a test"}
    patched = api.patch_certificate_signing_request_approval(name, {"status": {"conditions": [condition]}})
    assert patched.status.conditions[0].type == "Approved"
    seen = api.read_certificate_signing_request_approval(name)
    api.replace_certificate_signing_request_approval(name, seen)
    done = api.patch_certificate_signing_request_status(name, {"status": {"certificate": CERTIFICATE}})
    assert done.status.certificate == CERTIFICATE
    api.replace_certificate_signing_request_status(name, api.read_certificate_signing_request_status(name))
    requests.delete(name)
    requests.gone(name)
    requests.create(body)
    requests.delete_all(f"of={scene.namespace}")
    requests.gone(name)


# What a client does with the issuer's documents: find the key, check the signature (ECDSA on P-256, FIPS 186-5).
VERIFY = """
import base64, hashlib, json, ssl, urllib.request

def padded(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))

def fetched(path):
    own = open('/var/run/secrets/kubernetes.io/serviceaccount/token').read()
    request = urllib.request.Request(path, headers={'Authorization': 'Bearer ' + own})
    context = ssl.create_default_context(cafile='/var/run/secrets/kubernetes.io/serviceaccount/ca.crt')
    return json.load(urllib.request.urlopen(request, context=context))

token = open('/var/run/secrets/tokens/sa-token').read()
head, claims, signature = token.split('.')
claims = json.loads(padded(claims))
found = fetched(claims['iss'] + '/.well-known/openid-configuration')
assert found['issuer'] == claims['iss'] and claims['aud'] == ['oidc-discovery-test']
keys = {key['kid']: key for key in fetched('https://kubernetes.default.svc/openid/v1/jwks')['keys']}
key = keys[json.loads(padded(head))['kid']]

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
G = (0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296,
     0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5)

def plus(a, b):
    if a is None or b is None:
        return a or b
    (x, y), (u, v) = a, b
    if x == u and (y + v) % P == 0:
        return None
    slope = (3 * x * x - 3) * pow(2 * y, -1, P) if a == b else (v - y) * pow(u - x, -1, P)
    w = (slope * slope - x - u) % P
    return w, (slope * (x - w) - y) % P

def times(number, point):
    total = None
    while number:
        total, point, number = plus(total, point) if number & 1 else total, plus(point, point), number >> 1
    return total

public = tuple(int.from_bytes(padded(key[part]), 'big') for part in 'xy')
signed, signature = token.rpartition('.')[0].encode(), padded(signature)
r, s = int.from_bytes(signature[:32], 'big'), int.from_bytes(signature[32:], 'big')
digest = int.from_bytes(hashlib.sha256(signed).digest(), 'big')
u = pow(s, -1, N)
assert plus(times(digest * u % N, G), times(r * u % N, public))[0] % N == r
print('verified')
"""


@conforms(
    "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer"
)
def test_a_token_can_be_checked_by_anybody(scene: Scene) -> None:
    token = {"path": "sa-token", "expirationSeconds": 600, "audience": "oidc-discovery-test"}
    volume = {"name": "tokens", "projected": {"sources": [{"serviceAccountToken": token}]}}
    mounts = [{"name": "tokens", "mountPath": "/var/run/secrets/tokens"}]
    container = box(["python3.11", "-c", VERIFY], image="toolbox", volumeMounts=mounts)
    assert scene.finished(pod("p", container, volumes=[volume])) == "verified\n"
