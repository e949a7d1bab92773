from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from sampan.client import kubeconfig
from sampan.client.kubeconfig import Access, KubeconfigError

ACCESS = Access("https://127.0.0.1:6443", b"ca pem", b"cert pem", b"key pem", namespace="default")

OTHERS = """
apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: work
clusters:
- name: work
  cluster: {server: "https://work:443", certificate-authority: work.crt}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: team, extensions: [{name: x, extension: {y: 1}}]}
users:
- name: me
  user: {exec: {command: get-token, apiVersion: client.authentication.k8s.io/v1}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kube" / "config"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [("/x/one:/x/two", "/x/one"), (":/x/two", "/x/two"), ("", "~/.kube/config"), ("~/mine", "~/mine")],
)
def test_default_path_is_where_kubectl_writes(listed: str, expected: str) -> None:
    assert kubeconfig.default_path({"KUBECONFIG": listed}) == Path(expected).expanduser()


def test_what_was_added_is_read_back(path: Path) -> None:
    kubeconfig.add_context(path, "sampan-x", ACCESS)
    assert kubeconfig.access(path) == kubeconfig.access(path, "sampan-x") == ACCESS
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


def test_a_token_is_read_back(path: Path) -> None:
    access = Access("https://h", token="secret")
    kubeconfig.add_context(path, "c", access)
    assert kubeconfig.access(path) == access


def test_the_rest_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OTHERS)
    before = yaml.safe_load(OTHERS)
    kubeconfig.add_context(path, "sampan-x", ACCESS)
    assert kubeconfig.load(path)["current-context"] == "sampan-x"
    kubeconfig.add_context(path, "sampan-x", ACCESS, current=False)
    assert len(kubeconfig.load(path)["contexts"]) == 2
    kubeconfig.remove_context(path, "sampan-x")
    after = kubeconfig.load(path)
    assert after == before | {"current-context": ""}


def test_another_current_context_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OTHERS)
    kubeconfig.add_context(path, "sampan-x", ACCESS, current=False)
    kubeconfig.remove_context(path, "sampan-x")
    assert kubeconfig.load(path) == yaml.safe_load(OTHERS)


def test_removing_what_is_not_there(path: Path) -> None:
    kubeconfig.remove_context(path, "sampan-x")
    assert not path.exists()


def test_files_named_in_the_config_are_relative_to_it(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OTHERS)
    (path.parent / "work.crt").write_bytes(b"work ca")
    found = kubeconfig.access(path, "work")
    assert (found.ca, found.server, found.namespace) == (b"work ca", "https://work:443", "team")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- a", "holds a list"),
        ("clusters: 3", "its clusters are no list"),
        ("clusters: [3]", "its clusters are no list of objects"),
        ("{}", "has no current context"),
        ("current-context: x", "has no context 'x'; it has: none"),
        (OTHERS.replace("user: me", "user: you"), "has no user 'you'; it has: me"),
        (OTHERS, "certificate-authority: .*No such file"),
        (OTHERS.replace("certificate-authority:", "certificate-authority-data:"), "is not base64"),
    ],
)
def test_a_broken_file_is_explained(path: Path, text: str, message: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.access(path)
    assert path.read_text() == text


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    kubeconfig.add_context(path, "c", ACCESS)
    assert path.is_symlink() and (tmp_path / "elsewhere").exists()


def test_writers_at_once_lose_nothing(path: Path) -> None:
    threads = [
        threading.Thread(target=kubeconfig.add_context, args=(path, f"c{number}", ACCESS))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kubeconfig.load(path)["contexts"]) == 8


def test_a_lock_left_behind_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "LOCK_WAIT_S", 0.05)
    path.parent.mkdir()
    (path.parent / "config.lock").touch()
    with pytest.raises(KubeconfigError, match=r"remove .*config\.lock"):
        kubeconfig.add_context(path, "c", ACCESS)


def test_a_lock_that_a_killed_process_left_is_nobodys(path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from sampan.client import kubeconfig\n"
        "with kubeconfig._locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    path.parent.mkdir()
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert (path.parent / "config.lock").exists()
    kubeconfig.add_context(path, "c", ACCESS)
    assert kubeconfig.access(path).server == ACCESS.server
    assert not (path.parent / "config.lock").exists()


@pytest.mark.root
def test_a_file_of_another_user_stays_theirs(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    subprocess.run(["chown", "12345:23456", path], check=True)
    kubeconfig.add_context(path, "c", ACCESS)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
