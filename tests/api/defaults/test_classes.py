import pytest

from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import PRIORITY_CLASSES, Resource, resource

STORAGE = resource("storage.k8s.io", "v1", "storageclasses")
DRIVERS = resource("storage.k8s.io", "v1", "csidrivers")


@pytest.mark.parametrize(
    ("kind", "given", "after"),
    [
        (STORAGE, {}, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        (
            STORAGE,
            {"reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"},
            {"reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"},
        ),
        (PRIORITY_CLASSES, {"value": 1}, {"value": 1, "preemptionPolicy": "PreemptLowerPriority"}),
        (PRIORITY_CLASSES, {"preemptionPolicy": "Never"}, {"preemptionPolicy": "Never"}),
        (
            DRIVERS,
            {"spec": {"attachRequired": False}},
            {
                "spec": {
                    "attachRequired": False,
                    "podInfoOnMount": False,
                    "storageCapacity": False,
                    "fsGroupPolicy": "ReadWriteOnceWithFSType",
                    "requiresRepublish": False,
                    "seLinuxMount": False,
                    "volumeLifecycleModes": ["Persistent"],
                }
            },
        ),
    ],
)
def test_classes(kind: Resource, given: Obj, after: Obj) -> None:
    defaults.apply(kind, given)
    assert given == after


def test_a_driver_has_to_attach_unless_it_says_it_needs_not() -> None:
    driver: Obj = {}
    defaults.apply(DRIVERS, driver)
    assert driver["spec"]["attachRequired"] is True
