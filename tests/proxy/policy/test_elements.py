"""A table that tells what was changed in it."""

from __future__ import annotations

from sampan.proxy.policy.elements import Elements
from sampan.proxy.table import Change, Element

A, B = Element("in4", ("10.0.0.2",)), Element("in4", ("10.0.0.3",))


def test_only_what_is_other_in_the_end_is_told() -> None:
    elements = Elements()
    elements.put(A, (1,))
    elements.put(B, (2,))
    elements.drop(B)
    assert elements.take() == Change(add=((A, (1,)),))
    elements.drop(A)
    elements.number(A, 1)
    assert not elements.take()
    elements.number(A, 5)
    elements.keep(B, wanted=True)
    assert elements.take() == Change(delete=((A, (1,)),), add=((A, (5,)), (B, ())))
    elements.number(A, 0)
    elements.keep(B, wanted=False)
    elements.drop(B)
    assert elements.take() == Change(delete=((A, (5,)), (B, ())))
    assert elements.table == {} and elements.touched == {A, B}
