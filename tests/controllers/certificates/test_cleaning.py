import pytest

from sampan.controllers.certificates.cleaning import over_at

BORN = {"creationTimestamp": "1970-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("conditions", "ends_s", "over_s"),
    [
        ([], None, 86400),
        ([{"type": "Approved", "lastUpdateTime": "1970-01-01T01:00:00Z"}], None, 7200),
        ([{"type": "Denied", "lastUpdateTime": "1970-01-01T01:00:00Z"}], None, 7200),
        ([{"type": "Approved", "lastUpdateTime": "1970-01-01T01:00:00Z"}], 5000.0, 5000),
        ([{"type": "Mine", "lastUpdateTime": "1970-01-01T01:00:00Z"}], None, 86400),
    ],
)
def test_when_a_request_may_go(conditions, ends_s, over_s) -> None:
    assert over_at({"metadata": BORN, "status": {"conditions": conditions}}, ends_s) == over_s
