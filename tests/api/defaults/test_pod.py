import copy

from sampan.api import defaults
from sampan.api.resources import PODS


def defaulted(spec):
    pod = {"metadata": {"name": "a"}, "spec": copy.deepcopy(spec)}
    defaults.apply(PODS, pod)
    return pod


def test_a_minimal_pod():
    assert defaulted({"containers": [{"name": "web", "image": "nginx"}]}) == {
        "metadata": {"name": "a"},
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "nginx",
                    "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "resources": {},
                }
            ],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "terminationGracePeriodSeconds": 30,
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "enableServiceLinks": True,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def test_what_is_set_stays():
    spec = {
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "containers": [{"name": "a", "image": "a:1", "imagePullPolicy": "Never"}],
    }
    found = defaulted(spec)["spec"]
    assert {key: found[key] for key in spec if key != "containers"} == {
        key: spec[key] for key in spec if key != "containers"
    }
    assert found["containers"][0]["imagePullPolicy"] == "Never"


def test_requests_come_from_limits_where_they_are_missing():
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    pod = defaulted({"containers": [{"name": "a", "resources": resources}]})
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert pod["status"]["qosClass"] == "Burstable"


def test_pod_level_requests_come_from_the_containers_or_the_limit():
    resources = {"limits": {"cpu": "2", "memory": "2Gi"}}
    containers = [{"name": n, "resources": {"requests": {"cpu": "300m"}}} for n in ("a", "b")]
    spec = defaulted({"resources": resources, "containers": containers})["spec"]
    assert spec["resources"]["requests"] == {"cpu": "600m", "memory": "2Gi"}


def test_host_network_takes_the_ports_of_the_host():
    port = {"containerPort": 80}
    spec = defaulted({"hostNetwork": True, "containers": [{"name": "a", "ports": [port]}]})["spec"]
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_probes_hooks_and_downward_references():
    container = {
        "name": "a",
        "livenessProbe": {"httpGet": {"port": 80}, "failureThreshold": 5},
        "readinessProbe": {"grpc": {"port": 1}},
        "lifecycle": {"preStop": {"httpGet": {"port": 80, "path": "/stop"}}},
        "env": [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "C", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}},
        ],
    }
    found = defaulted({"containers": [container]})["spec"]["containers"][0]
    timings = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1}
    assert found["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "failureThreshold": 5,
        **timings,
    }
    assert found["readinessProbe"] == {"grpc": {"port": 1, "service": ""}, "failureThreshold": 3, **timings}
    assert found["lifecycle"]["preStop"]["httpGet"] == {"port": 80, "path": "/stop", "scheme": "HTTP"}
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert found["env"][1]["valueFrom"]["resourceFieldRef"]["divisor"] == "0"
    assert found["env"][2]["valueFrom"]["fileKeyRef"]["optional"] is False


def test_what_upstream_has_off_is_dropped():
    container = {"name": "a", "lifecycle": {"stopSignal": "SIGUSR1"}}
    spec = defaulted({"containers": [container], "workloadRef": {"name": "w", "podGroup": "g"}})["spec"]
    assert "workloadRef" not in spec and spec["containers"][0]["lifecycle"] == {}


def test_the_two_names_of_the_service_account():
    assert defaulted({"serviceAccount": "x"})["spec"]["serviceAccountName"] == "x"
    both = defaulted({"serviceAccount": "x", "serviceAccountName": "y"})["spec"]
    assert both["serviceAccount"] == "y"
