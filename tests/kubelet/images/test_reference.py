import pytest

from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.reference import normalise, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("localhost/x", "localhost/x:latest"),
        ("127.0.0.1:5000/x/y", "127.0.0.1:5000/x/y:latest"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1.25@{DIGEST}", f"docker.io/library/nginx:1.25@{DIGEST}"),
        ("a__b-d/e--f", "docker.io/a__b-d/e--f:latest"),
    ],
)
def test_references_are_known_by_their_full_form(text: str, full: str) -> None:
    assert normalise(text) == full
    assert normalise(full) == full


MALFORMED = ["", " ", "nginx:", ":1", "a b", "-x", "x/", "/x", "a//b", "nginx@sha256:12", "nginx@"]
MALFORMED += ["nginx:" + "x" * 129, "a_-b", "ngin\nx", "nginx\n", "http://nginx", "../x", "a__b.c/d"]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_reference_is_named(text: str) -> None:
    with pytest.raises(ImageFault) as caught:
        parse(text)
    assert caught.value.reason == "InvalidImageName"
    assert caught.value.message == (
        f'Failed to apply default image tag "{text}": '
        f'couldn\'t parse image name "{text}": invalid reference format'
    )


def test_an_upper_case_repository_is_explained() -> None:
    with pytest.raises(ImageFault, match=r"repository name \(library/Nginx\) must be lowercase"):
        parse("Nginx")


def test_a_too_long_name_is_explained() -> None:
    with pytest.raises(ImageFault, match="must not be more than 255 characters"):
        parse("a" * 300)


def test_the_digest_alone_is_asked_of_the_registry() -> None:
    assert parse(f"nginx:1@{DIGEST}").docker == f"docker.io/library/nginx@{DIGEST}"
