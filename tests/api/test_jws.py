from sampan.api import jws


def test_only_who_knows_the_token_can_sign() -> None:
    signature = jws.sign("content", "abcdef", "0123456789abcdef")
    head, middle, _ = signature.split(".")
    assert head == "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9" and middle == ""
    assert jws.verified(signature, "content", "abcdef", "0123456789abcdef")
    assert not jws.verified(signature, "another", "abcdef", "0123456789abcdef")
    assert not jws.verified(signature, "content", "abcdef", "1123456789abcdef")
