import pytest

from sampan.api import intstr


@pytest.mark.parametrize(
    ("value", "total", "round_up", "resolved"),
    [
        (3, 10, False, 3),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("100%", 7, False, 7),
        ("0%", 7, True, 0),
        ("150%", 2, True, 3),
    ],
)
def test_resolve(value, total, round_up, resolved):
    assert intstr.resolve(value, total, round_up) == resolved


@pytest.mark.parametrize("value", ["", "10", "-5%", "5 %", "%"])
def test_what_is_no_percentage_is_refused(value):
    with pytest.raises(ValueError, match="is not a percentage"):
        intstr.resolve(value, 10, True)
