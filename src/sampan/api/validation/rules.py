"""Which rules bind which kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sampan.api.errors import FieldError
from sampan.api.objects import Obj
from sampan.api.validation import (
    certificates,
    claims,
    core,
    csi,
    endpoints,
    governance,
    networking,
    pod,
    podchange,
    podresize,
    quotas,
    runtimeclass,
    service,
    servicecidrs,
    storage,
    storageclasses,
    workload,
)


def _nothing(obj: Obj) -> Iterable[FieldError]:
    return ()


def _no_change(new: Obj, old: Obj) -> Iterable[FieldError]:
    return ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind beside those of metadata: new objects, changes, changes of status."""

    create: Callable[[Obj], Iterable[FieldError]] = _nothing
    update: Callable[[Obj, Obj], Iterable[FieldError]] = _no_change
    update_status: Callable[[Obj, Obj], Iterable[FieldError]] = _no_change
    parts: Mapping[str, Callable[[Obj, Obj], Iterable[FieldError]]] = field(default_factory=dict)
    """Changes through other subresources, by their names."""


RULES: dict[tuple[str, str], Rules] = {
    ("", "Pod"): Rules(
        pod.create,
        podchange.update,
        podchange.update_status,
        {"ephemeralcontainers": podchange.update_ephemeral_containers, "resize": podresize.resize},
    ),
    ("", "PodTemplate"): Rules(pod.pod_template, pod.pod_template_update),
    ("", "Binding"): Rules(pod.binding),
    ("", "Service"): Rules(service.create, service.update, service.update_status),
    ("", "Endpoints"): Rules(endpoints.create, endpoints.update),
    ("", "Namespace"): Rules(core.namespace, update_status=core.namespace_status),
    ("", "Node"): Rules(core.node, core.node_update, core.node_status),
    ("", "ConfigMap"): Rules(core.config_map, core.config_map_update),
    ("", "Secret"): Rules(core.secret, core.secret_update),
    ("", "Event"): Rules(core.event),
    ("", "ReplicationController"): Rules(
        workload.replication_controller, workload.replication_controller_update, workload.replica_status
    ),
    ("discovery.k8s.io", "EndpointSlice"): Rules(endpoints.create_slice, endpoints.update_slice),
    ("events.k8s.io", "Event"): Rules(core.new_event),
    ("certificates.k8s.io", "CertificateSigningRequest"): Rules(
        certificates.request,
        certificates.request_update,
        certificates.status_update,
        {"approval": certificates.approval_update},
    ),
    ("coordination.k8s.io", "Lease"): Rules(core.lease, core.lease_update),
    ("node.k8s.io", "RuntimeClass"): Rules(runtimeclass.create, runtimeclass.update),
    ("scheduling.k8s.io", "PriorityClass"): Rules(core.priority_class, core.priority_class_update),
    ("apps", "Deployment"): Rules(
        workload.deployment, workload.deployment_update, workload.deployment_status
    ),
    ("apps", "ReplicaSet"): Rules(workload.replica_set, workload.replica_set_update, workload.replica_status),
    ("apps", "StatefulSet"): Rules(
        workload.stateful_set, workload.stateful_set_update, workload.stateful_set_status
    ),
    ("apps", "DaemonSet"): Rules(workload.daemon_set, workload.daemon_set_update),
    ("batch", "Job"): Rules(workload.job, workload.job_update),
    ("batch", "CronJob"): Rules(workload.cron_job, workload.cron_job_update),
    ("networking.k8s.io", "Ingress"): Rules(
        networking.ingress_create, networking.ingress_update, networking.ingress_status
    ),
    ("networking.k8s.io", "IngressClass"): Rules(networking.ingress_class, networking.ingress_class_update),
    ("networking.k8s.io", "NetworkPolicy"): Rules(
        networking.network_policy, networking.network_policy_update
    ),
    ("networking.k8s.io", "ServiceCIDR"): Rules(servicecidrs.service_cidr, servicecidrs.service_cidr_update),
    ("networking.k8s.io", "IPAddress"): Rules(servicecidrs.ip_address, servicecidrs.ip_address_update),
    ("rbac.authorization.k8s.io", "Role"): Rules(governance.role, governance.role_update),
    ("rbac.authorization.k8s.io", "ClusterRole"): Rules(
        governance.cluster_role, governance.cluster_role_update
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): Rules(
        governance.role_binding, governance.role_binding_update
    ),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): Rules(
        governance.cluster_role_binding, governance.cluster_role_binding_update
    ),
    ("policy", "PodDisruptionBudget"): Rules(
        governance.disruption_budget, governance.disruption_budget_update
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Rules(governance.autoscaler, governance.autoscaler_update),
    ("", "ResourceQuota"): Rules(
        quotas.resource_quota, quotas.resource_quota_update, quotas.resource_quota_status
    ),
    ("", "LimitRange"): Rules(quotas.limit_range, quotas.limit_range_update),
    ("", "PersistentVolume"): Rules(storage.volume, storage.volume_update),
    ("", "PersistentVolumeClaim"): Rules(claims.claim, claims.claim_update, claims.claim_status),
    ("storage.k8s.io", "StorageClass"): Rules(
        storageclasses.storage_class, storageclasses.storage_class_update
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): Rules(
        storageclasses.attributes_class, storageclasses.attributes_class_update
    ),
    ("storage.k8s.io", "CSIDriver"): Rules(csi.driver, csi.driver_update),
    ("storage.k8s.io", "CSINode"): Rules(csi.node, csi.node_update),
    ("storage.k8s.io", "CSIStorageCapacity"): Rules(csi.capacity, csi.capacity_update),
    ("storage.k8s.io", "VolumeAttachment"): Rules(
        csi.attachment, csi.attachment_update, csi.attachment_status
    ),
}
