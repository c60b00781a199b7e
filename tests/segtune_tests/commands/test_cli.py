"""The command line: one message for bad input, exit code 2, nothing written."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from segcore.data import DATASETS
from segcore.methods import METHODS
from segcore.systems import SYSTEMS
from segtune.cli import main
from segtune.results import study_file, tables
from segtune.study import definition

FEW = ("--set", "data.train=8", "--set", "data.val=2", "--set", "data.test=2")
"""Scenes, for what looks at the data set."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The message of a command that must fail and write nothing."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(command) == 2
    assert sorted(Path.cwd().rglob("*")) == before
    message = capsys.readouterr().err
    assert message.startswith("segtune: ")
    assert "Traceback" not in message
    return message


def test_list_shows_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for word in ("demo_search", "dual_encoder", "srft_galore", "synthetic_liver", "l3d"):
        assert word in shown


def test_list_shows_what_goes_with_which_system() -> None:
    """In a process of its own, where the tables have our rows alone."""
    command = [sys.executable, "-m", "segtune", "list", "pairs"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines]
    heads = lines[1 : names.index("methods")]
    column = {line.split()[-1]: line.index(line.split()[-1]) for line in heads}
    assert len(column) > 5
    noted = " ".join(" ".join(lines).split())

    def check(name: str, system: str, reason: str | None) -> None:
        (line,) = (one for one in lines if one.split()[0] == name)
        mark = line[column[system] :].split()[0]
        told = mark == "yes" if reason is None else f"{mark} {reason}" in noted
        assert told, (name, system)

    for system in column:
        for name in METHODS.keys() & {*names}:
            check(name, system, METHODS[name].refusal(SYSTEMS, system))
        for name in DATASETS.keys() & {*names}:
            check(name, system, SYSTEMS[system].refusal(DATASETS, name))


def test_show_tells_what_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "demo", *FEW]) == 0
    shown = capsys.readouterr().out
    assert "5 arms x 3 seeds = 15 trials" in shown
    assert "method.rank = 16" in shown
    assert not list(Path.cwd().iterdir())


def test_unknown_study_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "run", "dmeo")
    assert "demo_search" in message
    assert "my_study.py" in message


def test_all_bad_fields_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(
        capsys,
        "run",
        "demo",
        "--set",
        "schedule.epocs=3",
        "--set",
        "optim.lr=-1.0",
        "--set",
        "method=loar",
        "--set",
        "schedule.batch_size='8'",
    )
    assert "Did you mean epochs?" in message
    assert "optim.lr = -1.0" in message
    assert "unknown method 'loar': choose one of" in message
    assert "schedule.batch_size = '8'" in message


def test_unknown_dataset_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "run", "demo", "--set", "data=l4d")
    assert "unknown data set 'l4d': choose one of" in message
    assert all(f" {name}" in message for name in DATASETS)


def test_a_change_without_a_value_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert "schedule.epochs=3" in refused(capsys, "run", "demo", "--set", "epochs")


def test_a_storage_of_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_file.write(tmp_path, "demo", {"study": "demo", "schema_version": 9})
    for command in ("run", "status", "show"):
        message = refused(capsys, command, "demo", "--storage", str(tmp_path))
        assert "study.json and the tables beside it are of version 9" in message
    tables.write(tmp_path, "demo", "trials", [{"trial_id": "frozen-s0", "attempt": 1}])
    out = str(tmp_path / "report.html")
    message = refused(capsys, "report", "demo", "--storage", str(tmp_path), "--out", out)
    assert "this segtune reads and writes version 2" in message


def test_more_cpus_than_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert "give a number, such as 2, or two" in refused(capsys, "run", "demo", "--workers", "1-4")
    for wrong in ("4:2", "2:0"):
        assert f"{wrong}: give the least first" in refused(
            capsys, "run", "demo", "--workers", wrong
        )
    message = refused(capsys, "run", "demo", "--workers", "999")
    assert "999 CPU" in message
    assert "wait for ever" in message


def test_gpus_where_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "run", "demo", "--gpus-per-worker", "64")
    assert "64 GPU" in message


def test_missing_data_and_weights_are_named_together(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "run", "srft_vs_svd")
    for place in ("data/L3D", "sam2.1_hiera_large.pt", "Depth-Anything-V2-Small-hf"):
        assert message.count(place) >= 1


def test_storage_that_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("mine")
    message = refused(capsys, "run", "demo", "--storage", "taken/results")
    assert "not a folder" in message
    assert Path("taken").read_text() == "mine"


def test_a_name_that_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "can't name a study" in refused(capsys, "run", "demo", "--name", "../up")


def test_samples_are_for_searches(capsys: pytest.CaptureFixture[str]) -> None:
    assert "is an ablation" in refused(capsys, "run", "demo", "--num-samples", "3")


def test_report_of_a_study_that_never_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert "demo" in refused(capsys, "report", "demo")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("x = 1", "no function `study()`"),
        ("def study():\n    return 3", "returned int"),
        ("import nothing_like_this", "nothing_like_this"),
    ],
)
def test_a_file_that_gives_no_study(
    capsys: pytest.CaptureFixture[str], body: str, fault: str
) -> None:
    Path("mine.py").write_text(body)
    assert fault in refused(capsys, "run", "mine.py")


def test_an_arm_like_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(
        textwrap.dedent(
            """
            from segcore.presets import nano
            from segtune.study.spec import Ablation

            def study() -> Ablation:
                return Ablation(
                    question="?",
                    baseline=nano(),
                    arms={"twin": {"method": "srft_galore"}, "odd": {"method.rang": 3}},
                    seeds=(0,),
                )
            """
        )
    )
    message = refused(capsys, "run", "mine.py")
    assert "arm twin is the same as baseline" in message
    assert "Did you mean rank?" in message


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no study file" in refused(capsys, "show", "elsewhere/mine.py")


def test_a_name_in_use_by_another_definition(capsys: pytest.CaptureFixture[str]) -> None:
    from segtune.results import study_file
    from segtune.study import catalog

    storage = Path("results")
    kept = definition.define("demo", catalog.find("demo").study)
    study_file.write(storage, "demo", kept)
    tables.write(storage, "demo", "trials", [{"trial_id": "frozen-s0", "attempt": 1}])
    message = refused(capsys, "run", "demo", "--set", "schedule.epochs=99")
    assert "schedule.epochs was 6, now 99" in message
    assert "--name" in message


ODD_STUDIES = {
    "Search(**S, constraints=(AtMost('assd', float('nan')),))": "constraint assd at most nan: give",
    "Search(**S, constraints=(AtLeast('dice', float('inf')),))": "give a finite number",
    "Search(**{**S, 'space': {'evaluation.select_on': CategoricalDistribution((('a', 'b'),))}})": (
        "can't be drawn from ('a', 'b'): choices are numbers"
    ),
    "Search(**S, sampler='CmaEsSampler')": "needs the package cmaes, which is not installed",
    "Ablation(**A, tune_each_arm={'optim.lr': ()})": "tune_each_arm: optim.lr has no values",
    "Ablation(**A, tune={'lora': {}})": "tune of arm lora has no fields",
    "Ablation(**A, folds=10**9)": "give at most 100,000",
    "Ablation(**{**A, 'arms': {'wide': {'method.rank': 10**9}}})": "less than or equal to 4096",
    "Ablation(**{**A, 'arms': {'large': {'system.image_size': 10**6}}})": (
        "less than or equal to 4096"
    ),
    "Ablation(**{**A, 'baseline': type(nano())})": "baseline: give a configuration, such as nano()",
    "Ablation(**{**A, 'arms': factorial({'method.rank': (8, 4)})})": (
        "`factorial(..., baseline=...)` does"
    ),
    "sys.exit(0)": "ends the program (sys.exit)",
    "(_ for _ in ()).throw(GeneratorExit('gone'))": "can't be read: GeneratorExit: gone",
}


@pytest.mark.parametrize("made", ODD_STUDIES)
def test_a_study_that_can_not_be(capsys: pytest.CaptureFixture[str], made: str) -> None:
    Path("mine.py").write_text(
        "import sys\n"
        "from optuna.distributions import CategoricalDistribution, IntDistribution\n"
        "from segcore.presets import nano\n"
        "from segtune import *\n"
        "S = dict(question='?', baseline=nano(), num_samples=3,\n"
        "         space={'method.rank': IntDistribution(2, 16)},\n"
        "         objectives=(Objective('dice', 'maximize'),))\n"
        "A = dict(question='?', baseline=nano(), seeds=(0,), arms={'lora': {'method': 'lora'}})\n"
        f"def study():\n    return {made}\n"
    )
    assert ODD_STUDIES[made] in refused(capsys, "run", "mine.py")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--cpus-per-worker", "1e-9"), "CPUs per worker = 1e-09: give at least 0.0001"),
        (("--gpus-per-worker", "1.5"), "above 1 they can't be shared"),
        (("--gpus-per-worker", "0.5", "--workers", "2"), "wants a GPU for each of them"),
        (("--name", ""), "'' can't name a study"),
    ],
)
def test_options_that_can_not_be(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert told in refused(capsys, "run", "demo", *words)


def test_a_storage_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "demo", "--storage", ""])
    assert "give a folder" in capsys.readouterr().err


@pytest.mark.parametrize("held", ["[]", "null", "3", '{"arms": 3}', '{"scores": {"dice": 1}}'])
def test_a_definition_that_is_none(capsys: pytest.CaptureFixture[str], held: str) -> None:
    Path("results/demo").mkdir(parents=True)
    Path("results/demo/study.json").write_text(held)
    assert "study.json is damaged" in refused(capsys, "status", "demo")


def test_what_a_user_wrote_in_brackets_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(
        "{kind: ablation, question: 'Rank in [a, b]? [/lora] :smile:', baseline: {preset: nano},"
        " arms: {lora: {method: lora}}, seeds: [0]}"
    )
    assert main(["show", "mine.yaml", *FEW]) == 0
    assert "Rank in [a, b]? [/lora] :smile:" in capsys.readouterr().out


def test_what_nobody_foresaw_is_one_line_and_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> int:
        raise KeyError("nobody")

    monkeypatch.setattr("segtune.commands.names.run", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["list"]) == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    (log,) = tmp_path.glob("segtune-error-*.log")
    assert str(log) in message
    assert "KeyError: 'nobody'" in message
    assert log.read_text().startswith("$ segtune list\nTraceback")


PART = """
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segtune import Ablation, Sequential, apply

def study():
    return Ablation(
        question="?",
        baseline=apply(nano(), {"data.train": 6, "data.val": 2, "data.test": 2}),
        arms={"lora": {"method": "lora"}, "full": {"method": "full"}},
        tune={"lora": {"optim.lr": (1e-3,)}, "full": {"optim.lr": (1e-3,)},
              "baseline": {"optim.lr": (1e-3,)}},
        seeds=(0, 1),
    )
"""


def test_a_part_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "run", "demo", "--arms", "loar", "lora", "--seeds", "0", "7")
    assert "--arms loar: choose of frozen, full, lora" in message
    assert "--seeds 7: choose of 0, 1, 2" in message
    assert "are for ablations" in refused(capsys, "run", "demo_search", "--arms", "x")
    Path("mine.py").write_text(PART.replace("(0, 1)", "Sequential(at_most=8)"))
    assert "whose verdict is open" in refused(capsys, "run", "mine.py", "--seeds", "0")


def test_a_part_is_what_is_left_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.py").write_text(PART)
    done = {"attempt": 1, "status": "finished", "role": "arm"}
    for trial_id in ("lora-t0", "lora-s0", "lora-s1", "full-s0", "baseline-s0"):
        tables.write("results", "mine", "trials", [{"trial_id": trial_id, **done}])
        score = {"trial_id": trial_id, "attempt": 1, "split": "val", "epoch": 1}
        tables.write("results", "mine", "scores", [score])
    assert main(["run", "mine.py", "--arms", "lora"]) == 0
    assert "This part of mine is finished" in capsys.readouterr().out

    def no_ray(*_: object) -> None:
        raise ValueError("Ray would start")

    monkeypatch.setattr("segtune.execution.ray_cluster.cluster", no_ray)
    for more in (["--arms", "lora", "full"], ["--seeds", "0"], []):
        assert main(["run", "mine.py", *more]) == 2
        assert "Ray would start" in capsys.readouterr().err
