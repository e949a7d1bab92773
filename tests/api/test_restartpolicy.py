"""Whether a container is started again: a table."""

import pytest

from sampan.api.objects import Obj
from sampan.api.restartpolicy import is_restarted


def rule(operator: str, *values: int) -> Obj:
    return {"action": "Restart", "exitCodes": {"operator": operator, "values": list(values)}}


@pytest.mark.parametrize(
    ("own", "rules", "of_pod", "code", "wanted"),
    [
        (None, [], "Always", 0, True),
        (None, [], "OnFailure", 0, False),
        (None, [], "OnFailure", 1, True),
        (None, [], "Never", 1, False),
        ("Never", [], "Always", 1, False),
        ("OnFailure", [], "Never", 1, True),
        ("OnFailure", [], "Always", 0, False),
        ("Always", [], "Never", 0, True),
        ("Never", [rule("In", 42)], "Never", 42, True),
        ("Never", [rule("In", 42)], "Always", 41, False),
        ("Never", [rule("NotIn", 42)], "Never", 41, True),
        ("Never", [rule("NotIn", 42)], "Never", 42, False),
        ("OnFailure", [rule("In", 0)], "Never", 0, True),
        ("OnFailure", [rule("In", 0)], "Never", 7, True),
        ("Never", [rule("In", 1), rule("In", 2)], "Never", 2, True),
        ("Never", [{"action": "Other", "exitCodes": {"operator": "In", "values": [1]}}], "Never", 1, False),
    ],
)
def test_rules_then_the_container_then_the_pod(
    own: str | None, rules: list[Obj], of_pod: str, code: int, wanted: bool
) -> None:
    container: Obj = {"name": "web"} | ({"restartPolicy": own} if own else {})
    assert is_restarted(container | {"restartPolicyRules": rules}, of_pod, code) is wanted
