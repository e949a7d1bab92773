"""Carries out the steps that `rollout.plan` answers, one Deployment at a time.

A ReplicaSet's name is the hash of its template, and every patch names the revision it was planned from: a
step planned from an old cache is refused by the API server and planned anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sampan.api.errors import StatusError, not_found
from sampan.api.objects import (
    Obj,
    annotations_of,
    controller_of,
    is_deleting,
    join_key,
    key_of,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sampan.api.podspec import template_hash
from sampan.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from sampan.api.selectors import label_selector_from
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import ownership
from sampan.controllers.deployment import status as statuses
from sampan.controllers.deployment.revision import REVISION, same_template
from sampan.controllers.deployment.rollout import Change, Plan, plan, replicas_of

CREATE_FAILED = "ReplicaSetCreateError"
"""Reason of both the event and the condition."""


class DeploymentController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._deployments = informers.informer(DEPLOYMENTS)
        self._sets = informers.informer(REPLICA_SETS)
        self._pods = informers.informer(PODS)
        self._controller = Controller("deployment", self.reconcile)
        for informer in (self._sets, self._pods):
            informer.add_index("controller", ownership.by_controller)
        self._deployments.add_index("namespace", lambda obj: (namespace_of(obj),))
        self._sets.add_index("uid", lambda obj: (uid_of(obj),))
        self._controller.follow(self._deployments)
        self._controller.follow(self._sets, self._deployments_of)
        self._pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        for informer in (self._deployments, self._sets, self._pods):
            await informer.wait_synced()
        await self._controller.run()

    # --- what wakes it

    def _deployments_of(self, replica_set: Obj) -> Iterable[str]:
        owner = controller_of(replica_set)
        if owner is not None:
            if owner["kind"] == "Deployment":
                yield join_key(namespace_of(replica_set), owner["name"])
            return
        for deployment in self._deployments.by_index("namespace", namespace_of(replica_set)):
            if label_selector_from(deployment["spec"]["selector"]).matches(labels_of(replica_set)):
                yield key_of(deployment)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A Pod that has gone may be what a Recreate waits for; all else comes through the ReplicaSets."""
        owner = controller_of(old) if new is None and old is not None else None
        if owner is None:
            return
        for replica_set in self._sets.by_index("uid", owner["uid"]):
            for key in self._deployments_of(replica_set):
                self._controller.enqueue(key)

    # --- what it does

    async def reconcile(self, key: str) -> float | None:
        deployment = self._deployments.get(key)
        if deployment is None:
            return None
        if label_selector_from(deployment["spec"]["selector"]).is_everything:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._events.event(deployment, "Warning", "SelectingAll", message)
            return None
        replica_sets = await self._claim(deployment)
        pods = {uid_of(rs): self._pods.by_index("controller", uid_of(rs)) for rs in replica_sets}
        template = deployment["spec"]["template"]
        hashed = template_hash(template, (deployment.get("status") or {}).get("collisionCount"))
        step = plan(deployment, replica_sets, pods, hashed, time.time())
        if step.create is not None:
            await self._create(deployment, step.create, step)
        for change in step.change:
            await self._change(deployment, change)
        for replica_set in step.delete:
            await self._delete(replica_set)
        await self._write(deployment, step)
        return step.again_s

    async def _claim(self, deployment: Obj) -> list[Obj]:
        uid, namespace = uid_of(deployment), namespace_of(deployment)
        children = [
            *self._sets.by_index("controller", uid),
            *self._sets.by_index("controller", ownership.orphans_in(namespace)),
        ]
        selector = label_selector_from(deployment["spec"]["selector"])
        claimed = ownership.claim(deployment, selector, children)
        owned = list(claimed.owned)
        if claimed.adopt:
            fresh = await self._client.get(DEPLOYMENTS, name_of(deployment), namespace)
            if uid_of(fresh) != uid or is_deleting(fresh):
                raise not_found(DEPLOYMENTS, name_of(deployment))
        for rs in claimed.adopt:
            patch = ownership.adoption_patch(deployment, rs)
            owned.append(await self._client.patch(REPLICA_SETS, name_of(rs), patch, namespace=namespace))
        for rs in claimed.release:
            patch = ownership.release_patch(uid, rs)
            await self._client.patch(REPLICA_SETS, name_of(rs), patch, namespace=namespace)
        return owned

    async def _create(self, deployment: Obj, replica_set: Obj, step: Plan) -> None:
        name, replicas = name_of(replica_set), replicas_of(replica_set)
        replica_set["metadata"]["ownerReferences"] = [owner_reference(deployment)]
        try:
            await self._client.create(REPLICA_SETS, mutable(replica_set))
        except StatusError as error:
            if error.reason == "AlreadyExists":
                await self._meet(deployment, replica_set)
            else:
                await self._failed(deployment, error, step)
                raise
            return
        if replicas:
            self._scaled(deployment, name, 0, replicas)

    async def _meet(self, deployment: Obj, wanted: Obj) -> None:
        """The name is taken: by our own set, not in the cache yet, or by another of the same hash."""
        present = await self._client.get(REPLICA_SETS, name_of(wanted), namespace_of(wanted))
        owner = controller_of(present)
        ours = owner is not None and owner["uid"] == uid_of(deployment)
        if ours and same_template(present["spec"]["template"], wanted["spec"]["template"]):
            return
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await self._write_status(deployment, status)
        raise StatusError(
            {"code": 409, "reason": "AlreadyExists", "message": f"hash collision: {name_of(wanted)}"}
        )

    async def _failed(self, deployment: Obj, error: StatusError, step: Plan) -> None:
        message = f"Failed to create new replica set: {error.message}"
        self._events.event(deployment, "Warning", CREATE_FAILED, message)
        if statuses.deadline_s(deployment) is None:
            return
        condition = statuses.condition(statuses.PROGRESSING, "False", CREATE_FAILED, message, time.time())
        listed = statuses.set_condition(step.status["conditions"], condition)
        await self._write_status(deployment, {**step.status, "conditions": listed})

    async def _change(self, deployment: Obj, change: Change) -> None:
        rs = change.replica_set
        metadata: Obj = {"resourceVersion": rs["metadata"]["resourceVersion"]}
        if change.annotations:
            metadata["annotations"] = dict(change.annotations)
        spec: Obj = {"replicas": change.replicas} if change.resizes else {}
        if change.min_ready_s is not None:
            spec["minReadySeconds"] = change.min_ready_s
        patch: Obj = {"metadata": metadata} | ({"spec": spec} if spec else {})
        await self._client.patch(REPLICA_SETS, name_of(rs), patch, namespace=namespace_of(rs))
        if change.resizes:
            self._scaled(deployment, name_of(rs), replicas_of(rs), change.replicas)

    def _scaled(self, deployment: Obj, name: str, old: int, new: int) -> None:
        direction = "up" if new > old else "down"
        message = f"Scaled {direction} replica set {name} from {old} to {new}"
        self._events.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _delete(self, replica_set: Obj) -> None:
        try:
            await self._client.delete(
                REPLICA_SETS,
                name_of(replica_set),
                namespace=namespace_of(replica_set),
                uid=uid_of(replica_set),
            )
        except StatusError as error:
            if error.code != 404:
                raise

    async def _write(self, deployment: Obj, step: Plan) -> None:
        """The revision goes with the status, as upstream's does: it is no wish of the user's."""
        if not step.revision and statuses.same(deployment.get("status"), step.status):
            return
        await self._write_status(deployment, step.status, step.revision)

    async def _write_status(self, deployment: Obj, status: Obj, revision: int = 0) -> None:
        changed = mutable(deployment)
        changed["status"] = status
        if revision:
            changed["metadata"]["annotations"] = {**annotations_of(deployment), REVISION: str(revision)}
        try:
            await self._client.update_status(DEPLOYMENTS, changed)
        except StatusError as error:
            if error.code != 404:  # 404: the Deployment has gone meanwhile, and its status with it
                raise
