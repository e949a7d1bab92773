import base64

from harness import certificates
from sampan.apiserver.admission.certificatesubject import _organizations


def test_organizations_are_read_from_the_request_itself() -> None:
    body = certificates.pem("eve", ["a", "system:masters"])
    assert _organizations(base64.b64encode(body).decode()) == ["a", "system:masters"]
