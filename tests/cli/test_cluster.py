import argparse
import os
from pathlib import Path
from typing import NoReturn

import pytest

from sampan.cli import cluster as clusters
from sampan.cli import daemon, down, main
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a verb gets to, it makes no cluster and takes none away."""

    def never(*_: object) -> NoReturn:
        raise AssertionError("it went on")

    monkeypatch.setattr(daemon, "detach", never)
    monkeypatch.setattr(down, "_clear", never)


@pytest.mark.usefixtures("harmless")
def test_a_directory_of_somebody_else_is_neither_taken_nor_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("all of it")
    for verb in ("up", "down"):
        assert main.main([verb, "--name", "one", "--data-dir", str(tmp_path)]) == 1
        assert "no cluster's" in capsys.readouterr().err
    assert precious.read_text() == "all of it" and len(list(tmp_path.iterdir())) == 1


def test_a_directory_of_another_cluster_is_named_as_such(tmp_path: Path) -> None:
    Cluster("one", tmp_path).keep(Choices(api_port=1, node_name="one"))
    clusters.check_place(Cluster("one", tmp_path))
    with pytest.raises(UserError, match="is the cluster 'one', not 'two'"):
        clusters.check_place(Cluster("two", tmp_path))


def test_a_file_is_no_place_for_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="is no directory"):
        clusters.check_place(Cluster("one", file))


def test_an_empty_directory_and_one_of_an_up_that_died_early_are_fine(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    clusters.check_place(cluster)
    (tmp_path / "lock").touch()
    (tmp_path / "sampan.log").touch()
    clusters.check_place(cluster)


@pytest.mark.usefixtures("harmless")
def test_a_word_that_is_off_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert main.main(["up", "--name", "one", "--data-dir", str(data), "--registry-mirror", "nonsense"]) == 1
    assert not data.exists()


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    clusters.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "name", "data", "context", "cgroup"),
    [
        ((), "sampan", "/var/lib/sampan/sampan", "sampan", "/sampan-sampan"),
        (("--name", "two"), "two", "/var/lib/sampan/two", "sampan-two", "/sampan-two"),
        (("--name", "a" * 32, "--data-dir", "/x/../y"), "a" * 32, "/x/../y", f"sampan-{'a' * 32}", None),
    ],
)
def test_where_a_cluster_lives_follows_from_its_name(
    words: tuple[str, ...], name: str, data: str, context: str, cgroup: str | None
) -> None:
    cluster = clusters.from_arguments(parsed(*words))
    assert (cluster.name, str(cluster.data), cluster.context) == (name, data, context)
    assert cgroup is None or cluster.cgroup == cgroup


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a/b", "a" * 33, "a\n", "..", "\u00e9"])
def test_a_name_that_no_interface_or_path_can_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be a cluster's name"):
        clusters.from_arguments(parsed(f"--name={name}"))


def test_a_name_alone_leads_to_where_its_cluster_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "DEFAULT_ROOT", tmp_path / "root")
    first, second, usual = (
        Cluster("one", place) for place in (tmp_path / "a", tmp_path / "b", tmp_path / "root" / "one")
    )
    assert clusters.from_arguments(parsed("--name", "one")) == usual
    first.be_found()
    assert clusters.from_arguments(parsed("--name", "one")) == first, "also before it has a directory"
    first.data.mkdir()
    second.be_found()
    second.be_forgotten()
    assert clusters.from_arguments(parsed("--name", "one")) == first, "who came first keeps the name"
    assert clusters.from_arguments(parsed("--name", "one", "--data-dir", str(second.data))) == second
    first.data.rmdir()
    second.be_found()
    assert clusters.from_arguments(parsed("--name", "one")) == second, "a link to nowhere is nobody's"
    second.be_forgotten()
    assert not usual.data.is_symlink()


def test_the_plans_of_all_other_clusters_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "DEFAULT_ROOT", tmp_path / "root")
    here, there = Cluster("one", tmp_path / "root" / "one"), Cluster("two", tmp_path / "elsewhere")
    torn = Cluster("torn", tmp_path / "root" / "torn")
    for cluster, text in ((here, '{"index": 3}'), (there, '{"index": 5}'), (torn, "{")):
        cluster.data.mkdir(parents=True)
        cluster.be_found()
        cluster.address_plan.write_text(text)
    assert clusters.kept_plans(here) == {5}
    assert clusters.kept_plans(there) == {3}
    assert clusters.kept_plans(torn) == {3, 5}


def test_where_it_lives_by_default_no_link_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "DEFAULT_ROOT", tmp_path)
    cluster = Cluster("one", tmp_path / "one")
    cluster.data.mkdir()
    cluster.be_found()
    cluster.be_forgotten()
    assert cluster.data.is_dir() and not cluster.data.is_symlink()


def test_choices_are_the_same_at_the_next_up(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    assert cluster.choices() is None
    choices = Choices(6444, "one", {"docker.io": "http://127.0.0.1:5000"})
    cluster.keep(choices)
    assert cluster.choices() == choices
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"api_port": 1}', '{"unknown": 1}', "null"])
def test_choices_that_cannot_be_read_are_said_to_be_and_how_to_go_on(tmp_path: Path, text: str) -> None:
    cluster = Cluster("one", tmp_path)
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(UserError, match=r"cluster.json cannot be read") as caught:
        cluster.choices()
    assert "sampan down --name one" in caught.value.do


def test_one_process_at_a_time_holds_the_lock_and_is_known_by_its_pid(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path / "deep" / "data")
    assert cluster.running_pid() is None
    lock = cluster.lock()
    assert lock is not None and cluster.running_pid() == 0
    clusters.write_pid(lock)
    assert cluster.running_pid() == os.getpid()
    assert cluster.lock() is None
    os.close(lock)
    assert cluster.running_pid() is None
    again = cluster.lock()
    assert again is not None
    os.close(again)


def test_who_only_asks_for_the_pid_takes_the_lock_from_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster("one", tmp_path)
    asking = cluster.lock()
    assert asking is not None
    monkeypatch.setattr("time.sleep", lambda seconds: os.close(asking))
    descriptor = cluster.lock()
    assert descriptor is not None
    os.close(descriptor)


def test_a_cluster_that_never_was_is_not_made_by_looking(tmp_path: Path) -> None:
    data = tmp_path / "none"
    with pytest.raises(UserError, match="there is no cluster 'one'"):
        clusters.existing(parsed("--name", "one", "--data-dir", str(data)))
    assert not data.exists()


def test_clusters_of_one_name_in_two_places_share_no_cgroup(tmp_path: Path) -> None:
    places = (clusters.DEFAULT_ROOT / "one", tmp_path / "a", tmp_path / "b")
    assert len({Cluster("one", place).cgroup for place in places}) == 3
    assert Cluster("one", places[0]).cgroup == "/sampan-one"


def test_choices_that_are_the_same_are_not_written_again(tmp_path: Path) -> None:
    """A cluster on a full disk comes up again."""
    cluster = Cluster("one", tmp_path)
    cluster.keep(Choices(api_port=1, node_name="one"))
    kept = tmp_path / "cluster.json"
    before = kept.stat().st_ino
    cluster.keep(Choices(api_port=1, node_name="one"))
    assert kept.stat().st_ino == before
    cluster.keep(Choices(api_port=2, node_name="one"))
    assert kept.stat().st_ino != before and cluster.choices() == Choices(api_port=2, node_name="one")
