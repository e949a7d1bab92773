import pytest

from harness import certificates
from sampan.api import validation
from sampan.api.resources import CERTIFICATE_REQUESTS as CSRS

BODY = certificates.pem("eve")


def broken(**spec):
    obj = certificates.request("a", BODY, "example.com/signer", ["client auth"])
    obj["spec"] |= spec
    return [error.text for error in validation.create(CSRS, obj)]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"usages": []}, ["spec.usages: Required value: usages must be provided"]),
        ({"usages": ["client auth"] * 2}, ['spec.usages[1]: Duplicate value: "client auth"']),
        ({"signerName": ""}, ["spec.signerName: Required value"]),
        (
            {"signerName": "signer"},
            [
                'spec.signerName: Invalid value: "signer": must be a fully qualified domain and path of the '
                'form "example.com/signer-name"'
            ],
        ),
        (
            {"expirationSeconds": 599},
            [
                "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than "
                "600 seconds (10 minutes)"
            ],
        ),
        (
            {"request": "bm9uZQ=="},
            [
                'spec.request: Invalid value: "bm9uZQ==": PEM block type must be CERTIFICATE REQUEST',
            ],
        ),
    ],
)
def test_what_may_be_asked(spec, found) -> None:
    assert broken(**spec) == found


def test_a_usage_that_is_none_is_answered_with_those_there_are() -> None:
    (text,) = broken(usages=["tea"])
    assert text.startswith('spec.usages[0]: Unsupported value: "tea": supported values: "any", "cert sign"')


def test_the_old_signer_of_everything_is_not_there() -> None:
    (text,) = broken(signerName="kubernetes.io/legacy-unknown")
    assert "the legacy signerName is not allowed" in text
