"""What a query asks of a container."""

from types import SimpleNamespace

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver.streams.options import container_of, exec_options


def pod(*names: str, phase: str = "Running", **spec):
    containers = [{"name": name} for name in names]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}, "status": {"phase": phase}}


def asked(query, subject=None, subresource: str = "exec", named: str = ""):
    return exec_options(SimpleNamespace(query=query), subject or pod("c"), subresource, named)


def test_words_come_one_by_one_and_in_order() -> None:
    found = asked([("command", "sh"), ("command", "-c"), ("command", "a b"), ("stdout", "true")])
    assert (found.container, found.command, found.stdout, found.stdin) == (
        "c",
        ("sh", "-c", "a b"),
        True,
        False,
    )


def test_a_terminal_has_no_stderr_of_its_own() -> None:
    query = [("command", "sh"), ("tty", "1"), ("stdin", "1"), ("stdout", "1"), ("stderr", "1")]
    assert not asked(query).stderr


def test_a_container_may_be_named_in_the_path() -> None:
    query = [("command", "x"), ("stdout", "1"), ("container", "a")]
    assert asked(query, pod("a", "b"), named="b").container == "b"
    assert asked(query, pod("a", "b")).container == "a"


@pytest.mark.parametrize(
    ("query", "subject", "message"),
    [
        ([("stdout", "1")], pod("c"), "you must specify at least 1 command"),
        ([("command", "x")], pod("c"), "you must specify at least 1 of stdin, stdout, stderr"),
        ([("command", "x"), ("stdout", "1")], pod("c", phase="Failed"), "current phase is Failed"),
        ([("command", "x"), ("stdout", "1")], pod("a", "b"), r"choose one of: \[a b\]"),
        (
            [("command", "x"), ("stdout", "1"), ("container", "z")],
            pod("a"),
            "container z is not valid for pod p",
        ),
    ],
)
def test_what_cannot_be_done(query, subject, message: str) -> None:
    with pytest.raises(StatusError, match=message):
        asked(query, subject)


def test_the_default_container_is_meant_without_asking() -> None:
    several = pod("a", "b")
    several["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "b"}
    assert container_of(several, "") == "b"
