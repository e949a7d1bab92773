"""What was written and not shown yet."""

from __future__ import annotations

from sampan.controllers.replicaset.unseen import DOUBTFUL_S, Unseen


def test_a_create_is_unseen_until_it_is_shown() -> None:
    unseen = Unseen()
    unseen.created("web", "u1", "default/p1", 0)
    assert unseen.any("web")
    assert not unseen.any("other")
    unseen.saw("web", "u1", goes=False)
    assert not unseen.any("web")


def test_a_delete_is_unseen_until_the_pod_is_shown_going() -> None:
    unseen = Unseen()
    unseen.deleting("web", "u1")
    unseen.saw("web", "u1", goes=False)
    assert unseen.any("web"), "a change that came before the delete"
    unseen.saw("web", "u1", goes=True)
    assert not unseen.any("web")


def test_a_create_that_is_not_shown_for_long_is_doubtful() -> None:
    unseen = Unseen()
    unseen.created("web", "u1", "default/p1", 0)
    unseen.created("web", "u2", "default/p2", 1)
    unseen.deleting("web", "u3")
    assert unseen.doubtful("web", DOUBTFUL_S) == [("u1", "default/p1")]
    assert unseen.doubtful("nobody", 100) == []


def test_a_set_that_is_gone_is_forgotten() -> None:
    unseen = Unseen()
    unseen.created("web", "u1", "default/p1", 0)
    unseen.forget("web")
    assert not unseen.any("web")
