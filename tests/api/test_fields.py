from sampan.api import fields
from sampan.api.resources import CONFIG_MAPS, EVENTS, NODES, PODS


def test_fields_of_a_pod():
    pod = {
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"nodeName": "n", "restartPolicy": "Always", "hostNetwork": True},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }
    assert fields.fields_of(PODS, pod) == {
        "metadata.name": "a",
        "metadata.namespace": "default",
        "spec.hostNetwork": "true",
        "spec.nodeName": "n",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "",
        "spec.serviceAccountName": "",
        "status.nominatedNodeName": "",
        "status.phase": "Running",
        "status.podIP": "10.0.0.1",
    }


def test_an_event_is_found_by_what_it_is_about():
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "a"},
        "reportingComponent": "kubelet",
        "reason": "Started",
    }
    found = fields.fields_of(EVENTS, event)
    assert found["involvedObject.kind"] == "Pod"
    assert found["source"] == found["reportingComponent"] == "kubelet"


def test_flags_that_are_not_set_are_false():
    assert fields.fields_of(NODES, {"metadata": {}})["spec.unschedulable"] == "false"


def test_names_that_are_not_supported():
    assert "spec.nodeName" in fields.supported(PODS)
    assert "data" not in fields.supported(CONFIG_MAPS)
    assert fields.unsupported(PODS, "spec.x") == "field label not supported: spec.x"
    assert fields.unsupported(CONFIG_MAPS, "data") == (
        '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
