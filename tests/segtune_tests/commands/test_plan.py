"""`segtune plan`: what it says, what it counts, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.studies.known_study import write_study

from segtune.cli import main
from segtune.commands.planning.shown import _enough

FILE = """
from dataclasses import replace

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune.study.overrides import apply
from segtune.study.spec import Ablation

def study():
    tiny = replace(
        nano(),
        data=SyntheticLiver(train=6, val=2, test=2),
        schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
    )
    return Ablation(
        question="?",
        baseline=apply(tiny, {"method": "frozen"}),
        arms={"full": {"method": "full"}, "lora": {"method": "lora"}},
        tune_each_arm={"optim.lr": (1e-3, 1e-2)},
        margin={"dice": 0.02},
        seeds=(0, 1, 2),
    )
"""
STATED = ("--seed-sd", "0.01", "--patient-sd", "0.005")


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE)


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["plan", "mine.py", *options, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_plan_from_a_stated_spread(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, *STATED, "--patients", "20", "--hours-per-trial", "0.5",
                    "--price-per-hour", "2EUR", "--difference", "0.02")  # fmt: skip
    [arm] = found["arms"]
    advised = arm["seeds"]["number"]
    assert arm["seeds"] == {"number": advised, "low": advised, "high": advised}
    assert found["arms_compared"] == 2
    rows = {row["seeds"]: row for row in found["table"]}
    assert rows[advised]["power"]["20"] >= 0.8
    # Three arms with each seed, and two tuning trials of each.
    assert rows[advised]["trials"] == 3 * advised + 6
    assert rows[advised]["hours"] == pytest.approx(0.5 * rows[advised]["trials"])
    assert rows[advised]["money"] == {
        "amount": pytest.approx(rows[advised]["trials"]),
        "currency": "EUR",
    }
    powers = [row["power"]["20"] for row in found["table"]]
    assert powers == sorted(powers)


def test_the_studys_margin_is_planned_for_unless_a_difference_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = (*STATED, "--patients", "20", "--seeds", "5")
    no_worse = planned(capsys, *at)
    as_good = planned(capsys, *at, "--verdict", "as-good")
    better = planned(capsys, *at, "--difference", "0.02")
    assert [p["verdict"] for p in (no_worse, as_good, better)] == ["no worse", "as good", "better"]
    assert (no_worse["margin"], no_worse["truth"], better["margin"]) == (0.02, 0.0, None)
    powers = [p["table"][0]["power"]["20"] for p in (no_worse, better, as_good)]
    assert powers[0] > max(powers[1:])
    truly_better = planned(capsys, *at, "--truth", "0.005")
    assert truly_better["table"][0]["power"]["20"] > powers[0]


def test_a_plan_from_the_tables_of_an_earlier_study(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arms = {"base": (0.70, 0.71, 0.69), "quiet": (0.70, 0.712, 0.689), "loud": (0.72, 0.68, 0.7)}
    write_study(tmp_path / "results", arms, study="pilot")
    found = planned(capsys, "--from", "pilot", "--difference", "0.02", "--seeds", "3", "5")
    loud, quiet = found["arms"]
    assert (loud["arm"], quiet["arm"], loud["patients"]) == ("loud", "quiet", 8)
    assert loud["seeds"]["low"] < loud["seeds"]["number"] < (loud["seeds"]["high"] or math.inf)
    assert found["pace_from"] == "by the pace of the trials of pilot"
    alone = planned(capsys, "--from", "pilot", "--difference", "0.02", "--arm", "quiet",
                    "--seeds", "3")  # fmt: skip
    assert [a["arm"] for a in alone["arms"]] == ["quiet"]
    capsys.readouterr()
    assert main(["plan", "mine.py", "--from", "pilot", "--difference", "0.02"]) == 0
    shown = capsys.readouterr().out
    for told in ("with 8 test patients", "(likely ", "in 8 of 10 such pilots", "of loud, the arm"):
        assert told in shown


def test_patients_that_differ_too_much_ask_for_more_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--seed-sd", "0.01", "--patient-sd", "0.05", "--patients", "8", "--seeds", "3")
    [arm] = planned(capsys, *options)["arms"]
    assert arm["seeds"]["number"] is None
    assert arm["together"]["patients"]["number"] > 40
    assert main(["plan", "mine.py", *options]) == 0
    shown = capsys.readouterr().out
    assert "no number of seeds up to 1,000 is enough with 8 test patients" in shown
    assert "hours" not in shown.splitlines()[1]


def test_all_faults_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ("--power", "2", "--truth", "0.1", "--difference", "-1", "--seed-sd", "-1",
             "--from", "x", "--seeds", "2", "--patients", "1")  # fmt: skip
    assert main(["plan", "mine.py", *wrong]) == 2
    told = capsys.readouterr().err
    for fault in ("--power 2", "--truth goes with", "--difference -1", "--seed-sd -1",
                  "--from: --seed-sd state the spread", "--seed-sd and --patient-sd together",
                  "--seeds 2", "--patients 1"):  # fmt: skip
        assert fault in told


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ((), "no results of mine under"),
        (("--metric", "nonsense"), "--metric nonsense: arms are compared in dice, assd"),
        (("--metric", "assd"), "the study has no margin for assd"),
        (("--verdict", "better"), "say how much better with --difference D"),
        (("--truth", "-0.02"), "would not be true there"),
        ((*STATED, "--price-per-hour", "2EUR"), "add --hours-per-trial"),
        (("--seed-sd", "0", "--patient-sd", "0"), "where nothing varies there is no test"),
    ],
)
def test_what_cannot_be_planned_is_told(
    options: tuple[str, ...], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "mine.py", *options]) == 2
    assert fault in capsys.readouterr().err


def test_a_search_has_nothing_to_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "demo_search", "--difference", "0.01"]) == 2
    assert "demo_search is a search" in capsys.readouterr().err


def test_of_several_looks_the_power_is_told_to_be_that_of_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = ("plan", "mine.py", *STATED, "--patients", "20", "--seeds", "5")
    assert main([*at]) == 0
    assert "looked at" not in capsys.readouterr().out
    text = FILE.replace("seeds=(0, 1, 2)", "seeds=Sequential(at_least=3, at_most=8)")
    Path("mine.py").write_text(
        text.replace("import apply", "import apply\nfrom segtune import Sequential", 1)
    )
    assert main([*at]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "looked at after 3, 5 and 8 seeds, and its tests are stricter" in out


@pytest.mark.parametrize(("size", "shown"), [(0.01016, "0.011"), (0.01, "0.01"), (1.234, "1.3")])
def test_what_seeds_are_enough_for_is_rounded_up(size: float, shown: str) -> None:
    assert _enough(size) == shown
