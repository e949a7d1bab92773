from __future__ import annotations

import pytest

from sampan.api.podsecurity.wording import named, setters, several


@pytest.mark.parametrize(
    ("pod", "names", "told"),
    [
        (False, [], ""),
        (True, [], "pod"),
        (False, ["a"], 'container "a"'),
        (True, ["a", "b"], 'pod and containers "a", "b"'),
    ],
)
def test_who_does_it(pod, names, told) -> None:
    assert setters(pod, names) == told


def test_one_and_several() -> None:
    assert named("volume", ["v"]) == 'volume "v"'
    assert several("uses", ["a", "b"], "use") == "use"
