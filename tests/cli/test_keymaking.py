import pytest
from cryptography import x509

from sampan.cli import keymaking


async def test_a_program_of_its_own_makes_key_and_request() -> None:
    key, request = await keymaking.make("system:node:n1", "system:nodes", ["n1", "10.0.0.1"])
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")
    found = x509.load_pem_x509_csr(request)
    assert found.is_signature_valid
    assert found.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]


async def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keymaking.sys, "executable", "/bin/false")
    with pytest.raises(keymaking.KeyMakingFailed):
        await keymaking.make("a", "b")
