"""The result tables."""

import multiprocessing
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from support.score_kinds import KINDS

from segtune.results import tables


def score(
    trial_id: str, attempt: int, epoch: int, value: float, **more: object
) -> dict[str, object]:
    row = {
        "trial_id": trial_id,
        "attempt": attempt,
        "step": epoch,
        "epoch": epoch,
        "split": "val",
        "resolution": "128x128",
        "class_name": "macro",
        "metric": "dice",
        "protocol": "per_image",
        "value": value,
        "n": 4,
        "prompts": "none",
        **KINDS["dice"],
    }
    return {**row, **more}


def test_what_is_written_is_read_with_every_column(tmp_path: Path) -> None:
    tables.write(tmp_path, "s", "scores", [score("a-s0", 1, 1, 0.5)])
    rows = tables.read(tmp_path, "s", "scores")
    assert rows.schema == tables.SCHEMAS["scores"]
    assert rows.to_pylist() == [{**score("a-s0", 1, 1, 0.5), "study": "s"}]


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_study_that_never_ran_has_empty_tables(tmp_path: Path, name: tables.TableName) -> None:
    rows = tables.read(tmp_path, "none", name)
    assert rows.num_rows == 0
    assert rows.schema == tables.SCHEMAS[name]


def test_a_later_attempt_replaces_the_rows_it_repeats(tmp_path: Path) -> None:
    first = [score("a-s0", 1, epoch, 0.1 * epoch) for epoch in (1, 2, 3)]
    second = [score("a-s0", 2, epoch, 0.2 * epoch) for epoch in (3, 4)]  # went on from epoch 2
    tables.write(tmp_path, "s", "scores", first)
    tables.write(tmp_path, "s", "scores", second)
    rows = tables.read(tmp_path, "s", "scores").to_pylist()
    assert [(r["epoch"], r["attempt"]) for r in rows] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert rows[2]["value"] == pytest.approx(0.6)


def test_attempts_count_up(tmp_path: Path) -> None:
    assert tables.next_attempt(tmp_path, "s", "a-s1") == 1
    for attempt in (1, 2, 10):
        row = {"trial_id": "a-s1", "attempt": attempt, "status": "running"}
        tables.write(tmp_path, "s", "trials", [row])
    tables.write(tmp_path, "s", "trials", [{"trial_id": "a-s11", "attempt": 50}])
    assert tables.next_attempt(tmp_path, "s", "a-s1") == 11


def test_a_half_written_file_is_not_read(tmp_path: Path) -> None:
    path = Path(tables.write(tmp_path, "s", "scores", [score("a-s0", 1, 1, 0.5)]).path)
    path.with_name(".b-s0-a1.parquet.77").write_bytes(path.read_bytes()[:40])
    assert tables.read(tmp_path, "s", "scores").num_rows == 1


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="scores has no column colour"):
        tables.write(tmp_path, "s", "scores", [score("a-s0", 1, 1, 0.5, colour="red")])


def test_rows_of_an_older_schema_are_filled_with_nulls(tmp_path: Path) -> None:
    path = Path(tables.write(tmp_path, "s", "scores", [score("a-s0", 1, 1, 0.5)]).path)
    pq.write_table(pq.read_table(path).drop_columns(["n"]), path)
    assert tables.read(tmp_path, "s", "scores")["n"].to_pylist() == [None]


def test_wide_has_a_column_for_each_metric_and_protocol(tmp_path: Path) -> None:
    rows = [
        score("a-s0", 1, 1, 0.5),
        score("a-s0", 1, 1, 3.0, metric="assd", protocol="per_class_px"),
        score("a-s0", 1, 2, 0.6),
    ]
    tables.write(tmp_path, "s", "scores", rows)
    wide = tables.read(tmp_path, "s", "scores", wide=True).to_pandas()
    assert list(wide["dice.per_image"]) == [0.5, 0.6]
    assert wide["assd.per_class_px"][0] == 3.0
    with pytest.raises(ValueError, match="no metrics to widen"):
        tables.read(tmp_path, "s", "steps", wide=True)


def _write(storage: Path, trial: int) -> None:
    for epoch in range(1, 4):
        rows = [score(f"t{trial}", 1, e, 0.1) for e in range(1, epoch + 1)]
        tables.write(storage, "s", "scores", rows)


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_write, [(tmp_path, trial) for trial in range(16)])
    rows = tables.read(tmp_path, "s", "scores")
    assert rows.num_rows == 48
    assert len(pc.unique(rows["trial_id"])) == 16


def test_one_trial_is_read_without_the_others(tmp_path: Path) -> None:
    for trial, attempt, epoch in (("a", 1, 1), ("a", 2, 2), ("a-a1", 1, 1), ("b", 1, 1)):
        tables.write(tmp_path, "s", "scores", [score(trial, attempt, epoch, 0.5)])
    (tables.table_dir(tmp_path, "s", "scores") / "b-a1.parquet").write(b"spoilt")
    found = tables.read(tmp_path, "s", "scores", trial_id="a").to_pylist()
    assert [(r["trial_id"], r["epoch"]) for r in found] == [("a", 1), ("a", 2)]
    assert tables.read(tmp_path, "s", "scores", trial_id="c").num_rows == 0
