"""What the API server writes into an object that leaves things open.

`apply` mutates the object, fills only what is missing, and changes nothing when called again. What depends on
other objects (addresses, node ports, the service account's token volume) is for admission and allocation.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.defaults import (
    admission,
    autoscaling,
    claims,
    classes,
    core,
    extension,
    flowcontrol,
    networking,
    pod,
    rbac,
    service,
    volume,
    workload,
)
from sampan.api.objects import Obj
from sampan.api.resources import Resource

_BY_KIND: dict[tuple[str, str], Callable[[Obj], None]] = {
    ("", "Pod"): pod.pod,
    ("", "PodTemplate"): pod.pod_template,
    ("", "ReplicationController"): core.replication_controller,
    ("", "Service"): service.service,
    ("", "Endpoints"): core.endpoints,
    ("", "Secret"): core.secret,
    ("", "Namespace"): core.namespace,
    ("", "Node"): core.node,
    ("", "LimitRange"): core.limit_range,
    ("", "PersistentVolume"): volume.persistent_volume,
    ("", "PersistentVolumeClaim"): volume.claim,
    ("discovery.k8s.io", "EndpointSlice"): service.endpoint_slice,
    ("apps", "Deployment"): workload.deployment,
    ("apps", "ReplicaSet"): workload.replica_set,
    ("apps", "StatefulSet"): workload.stateful_set,
    ("apps", "DaemonSet"): workload.daemon_set,
    ("batch", "Job"): workload.job,
    ("batch", "CronJob"): workload.cron_job,
    ("networking.k8s.io", "NetworkPolicy"): networking.network_policy,
    ("networking.k8s.io", "IngressClass"): networking.ingress_class,
    ("rbac.authorization.k8s.io", "RoleBinding"): rbac.role_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): rbac.role_binding,
    ("storage.k8s.io", "StorageClass"): classes.storage_class,
    ("storage.k8s.io", "CSIDriver"): classes.csi_driver,
    ("scheduling.k8s.io", "PriorityClass"): classes.priority_class,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): admission.validating_webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): admission.mutating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): admission.admission_policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): admission.admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): admission.admission_policy_binding,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): admission.admission_policy_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): extension.custom_resource_definition,
    ("apiregistration.k8s.io", "APIService"): extension.api_service,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flowcontrol.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): flowcontrol.priority_level,
    ("resource.k8s.io", "ResourceClaim"): claims.resource_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): claims.resource_claim_template,
    ("certificates.k8s.io", "PodCertificateRequest"): claims.pod_certificate_request,
    ("authentication.k8s.io", "TokenRequest"): claims.token_request,
}


def apply(resource: Resource, obj: Obj) -> None:
    """Fill in the defaults of an object of this resource, in place."""
    if (resource.group, resource.version, resource.kind) == ("autoscaling", "v2", "HorizontalPodAutoscaler"):
        autoscaling.autoscaler(obj)
    elif (resource.group, resource.kind) == ("autoscaling", "HorizontalPodAutoscaler"):
        autoscaling.autoscaler_v1(obj)
    else:
        apply_kind(resource.group, resource.kind, obj)


def apply_kind(group: str, kind: str, obj: Obj) -> None:
    """Like `apply`, for kinds that are no resource of their own, such as TokenRequest."""
    if fill := _BY_KIND.get((group, kind)):
        fill(obj)
