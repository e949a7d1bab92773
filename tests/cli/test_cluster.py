from pathlib import Path

import pytest

from sampan.cli import cluster as clusters
from sampan.cli import main
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError


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


def test_a_word_that_is_off_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert main.main(["up", "--name", "one", "--data-dir", str(data), "--registry-mirror", "nonsense"]) == 1
    assert not data.exists()
