"""`segtune run` with budgets and with several studies, as far as it goes without Ray."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.studies.tiny_studies import ABLATION, SEARCH

from segtune.cli import main
from segtune.commands import one_study
from segtune.execution import ray_cluster, runner
from segtune.execution.order import Order
from segtune.execution.ray_cluster import SharedCluster
from segtune.execution.resources import Resources
from segtune.results import study_file, tables
from segtune.study import catalog
from segtune.study.definition import define

OUTCOME = runner.Outcome(1, (), 2)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name, text in (("a", ABLATION), ("b", ABLATION), ("c", SEARCH)):
        Path(f"{name}.py").write_text(text)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the studies that were trained, in their order; nothing is."""
    names: list[str] = []
    monkeypatch.setattr("segtune.execution.order.look_over", lambda order, _: order)

    def train(order: Order, *_: object) -> runner.Outcome:
        names.append(order.name)
        if order.name == "b":
            raise ValueError("b is being run already")
        return OUTCOME

    monkeypatch.setattr(runner, "train", train)
    monkeypatch.setattr(one_study, "describe_once", lambda *_: None)
    return names


def test_a_study_that_can_not_be_run_does_not_stop_the_others(
    trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "a.py", "b.py", "c.py"]) == 2
    assert trained == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert "segtune: b: b is being run already" in err
    assert "3 studies: a finished, b was not run, c finished." in out


def test_the_exit_code_is_the_worst(trained: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {
        "a": OUTCOME,
        "b": runner.Outcome(1, ("lora-s0",), 2),
        "c": runner.Outcome(1, (), 2, lacking=1),
    }
    monkeypatch.setattr(runner, "train", lambda order, *_: outcomes[order.name])
    assert main(["run", "a.py", "b.py", "c.py"]) == 1
    assert main(["run", "a.py", "c.py"]) == 0
    outcomes["a"] = runner.Outcome(1, (), 2, out_of_budget=True)
    assert main(["run", "a.py", "c.py", "--budget", "1h"]) == 4
    assert main(["run", "a.py", "b.py", "--budget", "1h"]) == 1


def test_what_nobody_foresaw_in_one_is_reported_after_the_others(
    trained: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(order: Order, *_: object) -> runner.Outcome:
        trained.append(order.name)
        if order.name == "a":
            raise RuntimeError("surprise")
        return OUTCOME

    monkeypatch.setattr(runner, "train", train)
    assert main(["run", "a.py", "c.py"]) == 3
    assert trained == ["a", "c"]
    last = capsys.readouterr().err.strip().splitlines()[-1]
    Path(last.split("with ")[1].split(",")[0]).unlink()
    assert "unforeseen: RuntimeError: surprise" in last


def test_all_faults_of_all_studies_are_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_cluster, "cluster", lambda *_: pytest.fail("Ray was started"))
    given = ["run", "a.py", "b.py", "c.py", "nowhere", "a.py", "--name", "n", "--budget", "1EUR"]
    assert main([*given, "--arms", "lora", "--set", "optim.lr=x"]) == 2
    told = capsys.readouterr().err
    for fault in ("--budget 1.00 EUR", "--name: several studies", "nowhere: ", "a.py: optim.lr"):
        assert fault in told
    capsys.readouterr()
    assert main(["run", "a.py", "c.py", "a.py", "--arms", "lora"]) == 2
    told = capsys.readouterr().err
    for fault in (
        "two studies are called a",
        "a: --arms lora: choose of",
        "c: --arms and --seeds are for",
    ):
        assert fault in told
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--budget", "50EUR"), "add --price-per-hour"),
        (("--budget", "50EUR", "--price-per-hour", "2USD"), "give both in one currency"),
        (("--price-per-hour", "2EUR", "--workers", "1:2"), "its workers come and go"),
    ],
)
def test_budgets_that_can_not_be(
    options: tuple[str, ...], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "a.py", *options]) == 2
    assert fault in capsys.readouterr().err


def test_a_budget_that_is_spent_starts_nothing_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_cluster, "cluster", lambda *_: pytest.fail("Ray was started"))
    monkeypatch.setattr("segtune.execution.order.check_data_and_weights", lambda *_: None)
    study = catalog.find("a.py").study
    study_file.write(Path("results"), "a", define("a", study))
    now = datetime.now(UTC)
    row = {"trial_id": "frozen-s0", "attempt": 1, "role": "arm", "arm": "frozen", "seed": 0,
           "config": "{}", "changes": "{}", "versions": "{}", "status": "failed", "epochs": 2,
           "started": now, "ended": now, "seconds": 7200.0, "price_per_hour": 2.0,
           "currency": "EUR"}  # fmt: skip
    tables.write("results", "a", "trials", [row])
    tables.write("results", "a", "steps", [
        {"trial_id": "frozen-s0", "attempt": 1, "epoch": 1, "step": 1}
    ])  # fmt: skip
    for budget in ("2h", "4EUR"):
        assert main(["run", "a.py", "--budget", budget, "--price-per-hour", "2EUR"]) == 4
        told = capsys.readouterr().out
        assert "is spent: 2 h 00, 4.00 EUR." in told
        assert "that are missing: 2, some" in told
        assert "larger --budget goes on" in told
    monkeypatch.setattr(ray_cluster, "cluster", _refuse)
    assert main(["run", "a.py", "--budget", "4.01EUR", "--price-per-hour", "2EUR"]) == 2
    assert "Ray is asked for" in capsys.readouterr().err


def _refuse(*_: object) -> None:
    raise ValueError("Ray is asked for")


def test_a_cluster_is_connected_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @contextmanager
    def cluster(*_: object) -> Iterator[list[dict[str, float]]]:
        events.append("up")
        yield [{"CPU": 1.0}]
        events.append("down")

    monkeypatch.setattr(ray_cluster, "cluster", cluster)
    monkeypatch.setattr(ray_cluster, "LOOK", 0.0)
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [{"CPU": 1.0}, {"CPU": 2.0}])
    with SharedCluster(None) as shared:
        assert events == []
        shared.connect(Resources())
        shared.connect(Resources(workers=3))
        assert len(shared.nodes()) == 2, "one has joined"
        assert events == ["up"]
    assert events == ["up", "down"]
