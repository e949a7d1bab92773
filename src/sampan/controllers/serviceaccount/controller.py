"""Keeps the service account `default` and the ConfigMap `kube-root-ca.crt` in every namespace.

Pods mount both: the account's token proves who they are, the ConfigMap whom they talk to. Either comes back
when it is deleted, and the ConfigMap's data when it is changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, join_key, mutable, name_of, namespace_of
from sampan.api.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Resource
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such "
    "as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions "
    "of Kubernetes clusters."
)


class ServiceAccountController:
    """`ca_pem` is the CA that signs the API server's certificate, as PEM."""

    def __init__(self, client: Client, informers: Informers, events: EventRecorder, ca_pem: str) -> None:
        self._client = client
        self._ca_pem = ca_pem
        self._namespaces = informers.informer(NAMESPACES)
        self._accounts = informers.informer(SERVICE_ACCOUNTS)
        self._config_maps = informers.informer(CONFIG_MAPS)
        self._controller = Controller("serviceaccount", self.reconcile)
        self._controller.follow(self._namespaces)
        self._controller.follow(self._accounts, partial(_namespace_if_named, ACCOUNT))
        self._controller.follow(self._config_maps, partial(_namespace_if_named, ROOT_CA))

    async def run(self) -> None:
        for informer in (self._namespaces, self._accounts, self._config_maps):
            await informer.wait_synced()
        await self._controller.run()

    async def reconcile(self, namespace: str) -> float | None:
        found = self._namespaces.get(namespace)
        if found is None or is_deleting(found):
            return None
        if self._accounts.get(join_key(namespace, ACCOUNT)) is None:
            await self._create(SERVICE_ACCOUNTS, account(namespace))
        config_map = self._config_maps.get(join_key(namespace, ROOT_CA))
        if config_map is None:
            await self._create(CONFIG_MAPS, root_ca(namespace, self._ca_pem))
        elif config_map.get("data") != {"ca.crt": self._ca_pem}:
            changed = mutable(config_map)
            changed["data"] = {"ca.crt": self._ca_pem}
            changed["metadata"].setdefault("annotations", {})["kubernetes.io/description"] = DESCRIPTION
            await self._client.update(CONFIG_MAPS, changed)
        return None

    async def _create(self, resource: Resource, obj: Obj) -> None:
        """It being there already is what is wanted; a namespace that went away meanwhile wants nothing."""
        namespace = namespace_of(obj)
        try:
            await self._client.create(resource, obj)
        except StatusError as error:
            if error.reason == "AlreadyExists" or error.code == 404:
                return
            gone = self._namespaces.get(namespace)
            if error.code == 403 and (gone is None or is_deleting(gone)):
                return
            raise


def _namespace_if_named(name: str, obj: Obj) -> Iterable[str]:
    return (namespace_of(obj),) if name_of(obj) == name else ()


def account(namespace: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": namespace},
    }


def root_ca(namespace: str, ca_pem: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA,
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": DESCRIPTION},
        },
        "data": {"ca.crt": ca_pem},
    }
