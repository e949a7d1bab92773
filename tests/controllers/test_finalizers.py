from sampan.controllers.finalizers import with_finalizer, without_finalizer

BARE = {"metadata": {"name": "a"}}
HELD = {"metadata": {"name": "a", "finalizers": ["x/y", "x/z"]}}


def test_put_on_once_and_taken_off_once() -> None:
    assert with_finalizer(BARE, "x/y") == {"metadata": {"name": "a", "finalizers": ["x/y"]}}
    assert with_finalizer(HELD, "x/y") is None
    assert without_finalizer(HELD, "x/y") == {"metadata": {"name": "a", "finalizers": ["x/z"]}}
    assert without_finalizer(BARE, "x/y") is None
    assert HELD["metadata"]["finalizers"] == ["x/y", "x/z"]
