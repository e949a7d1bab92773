import copy

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import PODS


def texts(errors):
    return [error.text for error in errors]


def pod(**spec):
    merged = {"containers": [{"name": "web", "image": "nginx"}], **copy.deepcopy(spec)}
    obj = {"metadata": {"name": "a", "namespace": "default"}, "spec": merged}
    defaults.apply(PODS, obj)
    return obj


def created(**spec):
    return texts(validation.create(PODS, pod(**spec)))


def with_container(**container):
    return created(containers=[{"name": "web", "image": "nginx", **container}])


MANY_NAMES = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
AT = "spec.containers[0]"
FILE_KEY = {"volumeName": "v", "path": "e", "key": "K"}
RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}


@pytest.mark.parametrize(
    ("container", "found"),
    [
        ({}, []),
        ({"name": ""}, [f"{AT}.name: Required value"]),
        ({"name": "A"}, [f'{AT}.name: Invalid value: "A": {MANY_NAMES}']),
        ({"image": ""}, [f"{AT}.image: Required value"]),
        (
            {"image": " nginx"},
            [f'{AT}.image: Invalid value: " nginx": must not have leading or trailing whitespace'],
        ),
        (
            {"imagePullPolicy": "Sometimes"},
            [
                f'{AT}.imagePullPolicy: Unsupported value: "Sometimes": '
                'supported values: "Always", "IfNotPresent", "Never"'
            ],
        ),
        ({"ports": [{}]}, [f"{AT}.ports[0].containerPort: Required value"]),
        (
            {"ports": [{"containerPort": 70000}]},
            [f"{AT}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            [f'{AT}.ports[1].name: Duplicate value: "a"'],
        ),
        (
            {"ports": [{"containerPort": n, "hostPort": 80} for n in (1, 2)]},
            [f'{AT}.ports[1].hostPort: Duplicate value: "TCP//80"'],
        ),
        (
            {"ports": [{"containerPort": 1, "protocol": "ICMP"}]},
            [
                f'{AT}.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
            ],
        ),
        ({"restartPolicy": "Never", "restartPolicyRules": [RULE]}, []),
        (
            {"restartPolicyRules": [RULE]},
            [f"{AT}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
        ),
        (
            {"restartPolicy": "Sometimes"},
            [
                f'{AT}.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", '
                '"OnFailure"'
            ],
        ),
        (
            {"restartPolicy": "Never", "restartPolicyRules": [{**RULE, "action": "RestartAllContainers"}]},
            [
                f'{AT}.restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": '
                'supported values: "Restart"'
            ],
        ),
        (
            {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]},
            [f"{AT}.restartPolicyRules[0].exitCodes: Required value: must be specified"],
        ),
        (
            {
                "restartPolicy": "Never",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"values": list(range(256))}}],
            },
            [
                f'{AT}.restartPolicyRules[0].exitCodes.operator: Unsupported value: "": supported values: '
                '"In", "NotIn"',
                f"{AT}.restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items",
            ],
        ),
        (
            {"restartPolicy": "Never", "restartPolicyRules": [RULE] * 21},
            [f"{AT}.restartPolicyRules: Too many: 21: must have at most 20 items"],
        ),
        ({"env": [{"name": "a b"}]}, []),
        ({"env": [{"value": "x"}]}, [f"{AT}.env[0].name: Required value"]),
        (
            {"env": [{"name": "A", "valueFrom": {}}]},
            [
                f'{AT}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
                "`resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            ],
        ),
        (
            {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            [f'{AT}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.rubbish"}}}]},
            [
                f'{AT}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.rubbish": '
                "error converting fieldPath: field label not supported: metadata.rubbish"
            ],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c"}}}]},
            [f"{AT}.env[0].valueFrom.configMapKeyRef.key: Required value"],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {}}}]},
            [
                f"{AT}.env[0].valueFrom.fileKeyRef.key: Required value",
                f"{AT}.env[0].valueFrom.fileKeyRef.volumeName: Required value",
                f"{AT}.env[0].valueFrom.fileKeyRef.path: Required value",
            ],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fileKeyRef": FILE_KEY | {"path": "../x"}}}]},
            [
                f"{AT}.env[0].valueFrom.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'",
                f'{AT}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "v"',
            ],
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/x"}]},
            [f'{AT}.volumeMounts[0].name: Not found: "v"'],
        ),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            [
                f'{AT}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            ],
        ),
        (
            {"resources": {"limits": {"memory": "-1"}}},
            [
                f'{AT}.resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
                f'{AT}.resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
            ],
        ),
        (
            {"resources": {"requests": {"gpu": "1"}}},
            [
                f'{AT}.resources.requests[gpu]: Invalid value: "gpu": '
                "must be a standard resource type or fully qualified",
                f'{AT}.resources.requests[gpu]: Invalid value: "gpu": '
                "must be a standard resource for containers",
            ],
        ),
        (
            {"resources": {"limits": {"example.com/gpu": "1500m"}}},
            [
                f'{AT}.resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer',
                f'{AT}.resources.requests[example.com/gpu]: Invalid value: "1500m": must be an integer',
            ],
        ),
        (
            {"resources": {"requests": {"example.com/gpu": "1"}}},
            [
                f"{AT}.resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        ({"livenessProbe": {}}, [f"{AT}.livenessProbe: Required value: must specify a handler type"]),
        (
            {"livenessProbe": {"exec": {}, "successThreshold": 2}},
            [
                f"{AT}.livenessProbe.exec.command: Required value",
                f"{AT}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 0}, "tcpSocket": {"port": 80}}},
            [
                f"{AT}.readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                f"{AT}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            ],
        ),
        (
            {"readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": -1}},
            [
                f"{AT}.readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 60}}}},
            [
                f"{AT}.lifecycle.preStop.sleep: Invalid value: 60: "
                "must be non-negative and less than terminationGracePeriodSeconds (30)"
            ],
        ),
        (
            {"securityContext": {"runAsUser": -1}},
            [
                f"{AT}.securityContext.runAsUser: Invalid value: -1: "
                "must be between 0 and 2147483647, inclusive"
            ],
        ),
        (
            {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
            [
                f"{AT}.securityContext: Invalid value: "
                '{"privileged":true,"allowPrivilegeEscalation":false}: '
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            ],
        ),
    ],
)
def test_containers(container, found):
    assert with_container(**container) == found


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        (
            {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]},
            ['spec.containers[1].name: Duplicate value: "a"'],
        ),
        (
            {"initContainers": [{"name": "web", "image": "x"}]},
            ['spec.initContainers[0].name: Duplicate value: "web"'],
        ),
        (
            {"initContainers": [{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}]},
            [
                "spec.initContainers[0].livenessProbe: Forbidden: "
                "may not be set for init containers without restartPolicy=Always"
            ],
        ),
        (
            {
                "initContainers": [
                    {
                        "name": "i",
                        "image": "x",
                        "restartPolicy": "Always",
                        "livenessProbe": {"exec": {"command": ["a"]}},
                    }
                ]
            },
            [],
        ),
        (
            {"ephemeralContainers": [{"name": "e", "image": "x"}]},
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            {"restartPolicy": "Maybe"},
            [
                'spec.restartPolicy: Unsupported value: "Maybe": '
                'supported values: "Always", "OnFailure", "Never"'
            ],
        ),
        (
            {"dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"], "searches": ["a_b."]}}, []),
        ({"hostnameOverride": "a.b"}, []),
        (
            {"hostnameOverride": "a" * 65},
            ["spec.hostnameOverride: Too long: may not be more than 64 bytes"],
        ),
        (
            {"hostnameOverride": "a", "setHostnameAsFQDN": True},
            ["spec.hostnameOverride: Forbidden: may not be set when `setHostnameAsFQDN` is true"],
        ),
        (
            {"hostnameOverride": "a", "hostNetwork": True},
            ["spec.hostnameOverride: Forbidden: may not be set when `hostNetwork` is true"],
        ),
        ({"hostname": "a.b"}, ['spec.hostname: Invalid value: "a.b": must not contain dots']),
        (
            {"activeDeadlineSeconds": 0},
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            {
                "hostNetwork": True,
                "containers": [{"name": "a", "image": "x", "ports": [{"containerPort": 80, "hostPort": 81}]}],
            },
            [
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: "
                "must match `containerPort` when `hostNetwork` is true"
            ],
        ),
        (
            {"volumes": [{"name": "v"}, {"name": "v"}]},
            ['spec.volumes[1].name: Duplicate value: "v"'],
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]},
            ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
        ),
        ({"volumes": [{"name": "v", "secret": {}}]}, ["spec.volumes[0].secret.secretName: Required value"]),
        (
            {"volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 0o1000}}]},
            [
                "spec.volumes[0].configMap.defaultMode: Invalid value: 512: "
                "must be a number between 0 and 0777 (octal), both inclusive"
            ],
        ),
        (
            {"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}]},
            ["spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'"],
        ),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
            ["spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        (
            {"tolerations": [{"operator": "Exists", "value": "x"}]},
            [
                'spec.tolerations[0].operator: Invalid value: "x": '
                "value must be empty when `operator` is 'Exists'"
            ],
        ),
        (
            {"tolerations": [{"key": "a", "tolerationSeconds": 5}]},
            [
                'spec.tolerations[0].effect: Invalid value: "": '
                "effect must be 'NoExecute' when `tolerationSeconds` is set"
            ],
        ),
        (
            {
                "affinity": {
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
                                "topologyKey": "k",
                            }
                        ]
                    }
                }
            },
            [
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]."
                "labelSelector.matchExpressions[0].values: Required value: "
                "must be specified when `operator` is 'In' or 'NotIn'"
            ],
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "k", "whenUnsatisfiable": "X"}]},
            [
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "X": '
                'supported values: "DoNotSchedule", "ScheduleAnyway"',
            ],
        ),
        (
            {"nodeName": "n", "schedulingGates": [{"name": "a.b/c"}]},
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
            [
                "spec.securityContext.seccompProfile.localhostProfile: Required value: "
                "must be set when seccomp type is Localhost"
            ],
        ),
    ],
)
def test_specs(spec, found):
    assert created(**spec) == found
