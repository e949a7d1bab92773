import pytest

from sampan.api import unstructured


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"spec": {"replicas": "a"}}, "map[spec:map[replicas:a]]"),
        ({"b": [1, {"x": None}], "a": True}, "map[a:true b:[1 map[x:<nil>]]]"),
        ({}, "map[]"),
        ([], "[]"),
        (1.5, "1.5"),
    ],
)
def test_values_are_shown_as_go_prints_them(value, text):
    assert unstructured.shown(value) == text


@pytest.mark.parametrize(
    ("value", "code", "wanted", "text"),
    [
        ("a", "int32", "int32", "unrecognized type: int32"),
        (1.5, "int32", "int32", "cannot convert float64 to int32"),
        (1, "string", "string", "cannot convert int64 to string"),
        (1, "string", "v1.Protocol", "cannot convert int64 to v1.Protocol"),
        (True, "string", "v1.Protocol", "unrecognized type: string"),
        ("yes", "bool", "bool", "unrecognized type: bool"),
        ("a", "list", "[]v1.Container", "cannot restore slice from string"),
        ([], "map", "map[string]string", "cannot restore map from slice"),
        (3, "object", "v1.PodSpec", "cannot restore struct from: int64"),
        ({}, "string", "string", "unrecognized type: string"),
    ],
)
def test_what_does_not_fit_is_said_as_of_go_values(value, code, wanted, text):
    assert unstructured.unfit(value, code, wanted) == text
