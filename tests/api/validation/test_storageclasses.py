"""StorageClasses and VolumeAttributesClasses: what is wrong with them, and that they stay what they are."""

import pytest

from sampan.api import defaults, validation
from sampan.api.resources import STORAGE_CLASSES, resource

ATTRIBUTES = resource("storage.k8s.io", "v1", "volumeattributesclasses")


def made(kind=STORAGE_CLASSES, **fields):
    obj = {"metadata": {"name": "a", "resourceVersion": "1"}, **fields}
    defaults.apply(kind, obj)
    return obj


def broken(kind=STORAGE_CLASSES, **fields):
    return [error.text for error in validation.create(kind, made(kind, **fields))]


def changed(new, old, kind=STORAGE_CLASSES):
    return [error.text for error in validation.update(kind, new, old)]


def zones(*values, key="zone"):
    return {"matchLabelExpressions": [{"key": key, "values": list(values)}]}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, []),
        ({"provisioner": ""}, ["provisioner: Required value"]),
        (
            {"reclaimPolicy": "Recycle"},
            ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        ),
        (
            {"volumeBindingMode": "Later"},
            [
                'volumeBindingMode: Unsupported value: "Later": '
                'supported values: "Immediate", "WaitForFirstConsumer"'
            ],
        ),
        ({"parameters": {"": "x"}}, ['parameters: Invalid value: "": field can not be empty.']),
        (
            {"parameters": {str(number): "" for number in range(513)}},
            ["parameters: Too long: may not be more than 512 bytes"],
        ),
        ({"allowedTopologies": [zones("a", "b")]}, []),
        (
            {"allowedTopologies": [zones(), zones("a"), zones("a")]},
            [
                "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
                'allowedTopologies[2].matchLabelExpressions: Duplicate value: ""',
            ],
        ),
    ],
)
def test_storage_class(fields, found):
    assert broken(**{"provisioner": "x.io/disk", **fields}) == found


def test_a_class_stays_what_it_is():
    old = made(provisioner="x.io/a", parameters={"a": "b"})
    new = made(provisioner="x.io/b", reclaimPolicy="Retain", volumeBindingMode="WaitForFirstConsumer")
    assert changed(new, old) == [
        "parameters: Forbidden: updates to parameters are forbidden.",
        "provisioner: Forbidden: updates to provisioner are forbidden.",
        "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
        'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
    ]
    grown = made(provisioner="x.io/a", parameters={"a": "b"}, allowVolumeExpansion=True, mountOptions=["ro"])
    assert changed(grown, old) == []


def test_attributes_class():
    assert broken(ATTRIBUTES, driverName="x.io") == [
        "parameters: Required value: must contain at least one key/value pair"
    ]
    old = made(ATTRIBUTES, driverName="x.io", parameters={"a": "b"})
    assert changed(made(ATTRIBUTES, driverName="y.io", parameters={"a": "c"}), old, ATTRIBUTES) == [
        "driverName: Forbidden: updates to driverName are forbidden.",
        "parameters: Forbidden: updates to parameters are forbidden.",
    ]
