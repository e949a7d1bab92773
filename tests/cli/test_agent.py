"""A node that joins: what it waits for, and where waiting does not help."""

from __future__ import annotations

import pytest

from sampan.api import errors
from sampan.cli import agent
from sampan.cli.credentials import Refused
from sampan.cli.errors import UserError
from sampan.client.errors import Unreachable


@pytest.mark.parametrize(
    ("cidrs", "number"),
    [
        (["10.244.3.0/24"], 3),
        (["fd73:616d:7002:c7::/64"], 199),
        (["10.244.1.0/24", "fd73:616d:7002:1::/64"], 1),
    ],
)
def test_its_number_is_in_its_part_of_the_pod_range(cidrs: list[str], number: int) -> None:
    assert agent.number_of(cidrs) == number


@pytest.mark.parametrize("cidrs", [[], ["10.0.0.0/16"]])
def test_without_pod_addresses_it_is_no_node(cidrs: list[str]) -> None:
    with pytest.raises(UserError, match="no Pod addresses"):
        agent.number_of(cidrs)


async def test_an_api_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "RETRY_S", 0.0)
    answers = [Unreachable("away"), errors.unavailable("starting"), "here"]

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await agent.patiently(ask) == "here"


@pytest.mark.parametrize(
    "problem", [errors.unauthorized(), errors.status_error(403, "Forbidden", "no"), Refused("denied")]
)
async def test_a_refusal_is_an_end(problem: Exception) -> None:
    async def ask() -> None:
        raise problem

    with pytest.raises(UserError):
        await agent.patiently(ask)
