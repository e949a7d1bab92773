import pytest

from sampan.api.defaults import status
from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, REPLICA_SETS, resource

ATTACHMENTS = resource("storage.k8s.io", "v1", "volumeattachments")
BUDGETS = resource("policy", "v1", "poddisruptionbudgets")


@pytest.mark.parametrize(
    ("kind", "given", "after"),
    [
        (DEPLOYMENTS, {}, {"status": {}}),
        (REPLICA_SETS, {}, {"status": {"replicas": 0}}),
        (REPLICA_SETS, {"status": {"replicas": 3}}, {"status": {"replicas": 3}}),
        (ATTACHMENTS, {}, {"status": {"attached": False}}),
        (ATTACHMENTS, {"status": {"attached": True}}, {"status": {"attached": True}}),
        (
            BUDGETS,
            {"status": {"expectedPods": 2}},
            {
                "status": {
                    "expectedPods": 2,
                    "currentHealthy": 0,
                    "desiredHealthy": 0,
                    "disruptionsAllowed": 0,
                }
            },
        ),
        (CONFIG_MAPS, {}, {}),
    ],
)
def test_a_status_is_there_with_its_counts(kind, given, after):
    status.complete(kind, given)
    assert given == after
