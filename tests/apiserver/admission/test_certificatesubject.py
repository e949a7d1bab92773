import base64

from harness import certificates
from sampan.apiserver.admission.certificatesubject import common_name, organizations


def test_names_are_read_from_the_request_itself() -> None:
    body = base64.b64encode(certificates.pem("eve", ["a", "system:masters"])).decode()
    assert organizations(body) == ["a", "system:masters"]
    assert common_name(body) == "eve"
