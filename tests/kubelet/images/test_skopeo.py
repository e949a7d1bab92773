from __future__ import annotations

import pytest

from sampan.kubelet.images.skopeo import explain, registries_conf

REF = "docker.io/library/nope:latest"


@pytest.mark.parametrize(
    ("last_words", "sentence", "absent"),
    [
        (
            'level=fatal msg="Error parsing image name \\"docker://docker.io/library/nope:latest\\": reading '
            'manifest latest in 127.0.0.1:5000/library/nope: manifest unknown: manifest unknown"',
            f"{REF}: not found",
            True,
        ),
        (
            'level=fatal msg="Error parsing image name \\"docker://x\\": pinging container registry '
            '127.0.0.1:59999: Get \\"http://127.0.0.1:59999/v2/\\": dial tcp 127.0.0.1:59999: connect: '
            'connection refused"',
            'Get "http://127.0.0.1:59999/v2/": dial tcp 127.0.0.1:59999: connect: connection refused',
            False,
        ),
        (
            'level=fatal msg="Error parsing image name \\"docker://x\\": reading manifest latest in '
            "docker.io/x/y: errors:\\ndenied: requested access to the resource is denied\\nunauthorized: "
            'authentication required"',
            "pull access denied, repository does not exist or may require authorization: errors: denied: "
            "requested access to the resource is denied unauthorized: authentication required",
            False,
        ),
        ("panic: something else", "panic: something else", False),
        ("", "skopeo failed without a word", False),
    ],
)
def test_the_cause_is_one_sentence(last_words: str, sentence: str, absent: bool) -> None:
    fault = explain(f'time="2026-01-01T00:00:00Z" {last_words}' if "fatal" in last_words else last_words, REF)
    assert (str(fault), fault.absent) == (sentence, absent)


def test_a_mirror_replaces_its_host() -> None:
    assert registries_conf("docker.io", "http://127.0.0.1:5000/cache/") == (
        "unqualified-search-registries = []\n[[registry]]\n"
        'prefix = "docker.io"\nlocation = "127.0.0.1:5000/cache"\ninsecure = true\n'
    )
    assert "insecure = false" in registries_conf("quay.io", "mirror.example")
