from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from sampan.kubelet.images.credentials import Credential, fits, matching, node_documents, opens


def entry(user: str, password: str = "p") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("key", "name", "is_for"),
    [
        ("quay.io", "quay.io/team/app", True),
        ("https://quay.io", "quay.io/team/app", True),
        ("quay.io/team", "quay.io/team/app", True),
        ("quay.io/team", "quay.io/other/app", False),
        ("https://index.docker.io/v1/", "docker.io/library/nginx", True),
        ("docker.io", "docker.io/library/nginx", True),
        ("https://registry-1.docker.io/v2/", "docker.io/x/y", True),
        ("*.example.com", "eu.example.com/app", True),
        ("*.example.com", "a.b.example.com/app", False),
        ("*.example.com", "example.com/app", False),
        ("*", "quay.io/app", False),
        ("registry:5000", "registry:5000/app", True),
        ("registry", "registry:5000/app", False),
        ("registry:5000", "registry:5001/app", False),
        ("evil.quay.io", "quay.io/app", False),
        ("quay.io.evil.com", "quay.io/app", False),
        ("", "quay.io/app", False),
    ],
)
def test_whose_image_a_key_is_for(key: str, name: str, is_for: bool) -> None:
    assert fits(key, name) is is_for


def test_the_most_specific_key_comes_first_and_none_twice() -> None:
    documents = [
        {"auths": {"quay.io": entry("wide"), "quay.io/team/app": entry("narrow"), "gcr.io": entry("other")}},
        {"quay.io": {"username": "wide", "password": "p"}, "quay.io/team": {"identitytoken": "t"}},
    ]
    found = matching("quay.io/team/app", documents)
    assert [(key.user, key.identity_token) for key in found] == [("narrow", ""), ("", "t"), ("wide", "")]


@pytest.mark.parametrize("broken", [{}, {"auths": []}, {"auths": {"q": 1}}, {"auths": {"q": {"auth": "%"}}}])
def test_what_is_no_credential_is_none(broken: dict[str, object]) -> None:
    assert matching("q/x", [broken]) == []


def test_an_auth_file_holds_one_entry() -> None:
    key = Credential("*.example.com", "u", "p:q")
    assert json.loads(key.auth_file("eu.example.com")) == {"auths": {"eu.example.com": entry("u", "p:q")}}


def test_a_guarded_image_opens_to_its_credentials_alone() -> None:
    own, other = [{"auths": {"q.io": entry("a")}}], [{"auths": {"q.io": entry("b")}}]
    guards = [key.fingerprint for key in matching("q.io/x", own)]
    assert opens(guards, "q.io/x", own) and opens((), "q.io/x", [])
    assert not opens(guards, "q.io/x", other) and not opens(guards, "q.io/x", [])
    assert "p" not in guards[0].split() and len(guards[0]) == 64


def test_the_nodes_own_files_are_read(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {"q.io": entry("node")}}))
    (tmp_path / ".dockercfg").write_text("{no json")
    documents = node_documents({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    assert [key.user for key in matching("q.io/x", documents)] == ["node"]
