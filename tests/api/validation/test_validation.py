"""Promises that hold for the validation of every kind."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import shapes
from sampan.api import defaults, validation
from sampan.api.errors import FieldError
from sampan.api.validation.rules import RULES

WITH_RULES = [kind for kind in shapes.served() if (kind.group, kind.kind) in RULES]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", WITH_RULES, ids=lambda kind: f"{kind.qualified}/{kind.version}")
@given(data=st.data())
def test_any_object_of_the_right_types_is_judged_and_left_alone(kind, data):
    new, old = data.draw(shapes.objects(kind)), data.draw(shapes.objects(kind))
    if data.draw(st.booleans()):
        defaults.apply(kind, new)
        defaults.apply(kind, old)
    before = copy.deepcopy((new, old))
    found = [
        *validation.create(kind, new),
        *validation.update(kind, new, old),
        *validation.update_status(kind, new, old),
    ]
    assert all(isinstance(error, FieldError) and error.message for error in found)
    assert (new, old) == before


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", WITH_RULES, ids=lambda kind: f"{kind.qualified}/{kind.version}")
@given(data=st.data())
def test_an_unchanged_good_object_breaks_no_rule_of_change(kind, data):
    obj = data.draw(shapes.objects(kind))
    obj["metadata"] = {"name": "a", "resourceVersion": "1", **({"namespace": "b"} if kind.namespaced else {})}
    defaults.apply(kind, obj)
    if not validation.create(kind, obj):
        assert validation.update(kind, obj, copy.deepcopy(obj)) == []
