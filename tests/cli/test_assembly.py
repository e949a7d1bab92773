from sampan.cli.assembly import CONTROLLERS


def test_controllers_sign_their_events_as_upstream_does() -> None:
    """`kubectl describe` shows it as From; tools filter events by it."""
    assert CONTROLLERS["deployment-controller"].__name__ == "DeploymentController"
    assert CONTROLLERS["replicaset-controller"].__name__ == "ReplicaSetController"
    assert CONTROLLERS["endpoint-slice-controller"].__name__ == "EndpointSliceController"
