"""What a person sees while a study runs."""

import io
import re
from typing import Any

import pytest
from rich.console import Console
from support.score_kinds import Scored

from segtune.observers.console import ConsoleObserver
from segtune.study.trial import Trial


def trial(**changes: Any) -> Trial:
    return Trial(
        **{
            "trial_id": "a-s0",
            "role": "arm",
            "seed": 0,
            "config": Scored(),
            "changes": {},
            **changes,
        }
    )


def shown(terminal: bool = False) -> tuple[ConsoleObserver, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100)
    return ConsoleObserver(console, "mine"), text


REPORT = {
    "epoch": 1,
    "epochs": 2,
    "loss": 0.5,
    "val/dice": 0.25,
    "val/assd": 3.0,
    "best/dice": 0.25,
}


def test_without_a_terminal_there_is_a_line_per_epoch_and_one_at_the_end() -> None:
    progress, text = shown()
    with progress:
        progress.begin(total=1, done=0, concurrent=1)
        progress.started(trial())
        progress.reported(trial(), REPORT)
        progress.reported(trial(), REPORT | {"final": True})
        progress.ended(trial(), None)
    assert "a-s0: epoch 1/2, loss 0.500, on val: Dice 0.250, ASSD 3.00 px" in text.getvalue()
    assert "a-s0: best val Dice 0.250  (1/1)" in text.getvalue()


def test_a_trial_that_was_stopped_early_is_told_from_one_that_ended() -> None:
    progress, text = shown()
    with progress:
        progress.begin(total=1, done=0, concurrent=1)
        progress.reported(trial(), REPORT | {"final": False})
        progress.ended(trial(), None)
    assert "a-s0: stopped after epoch 1 of 2, best val Dice 0.250  (1/1)" in text.getvalue()


def test_an_error_is_shown_as_it_is() -> None:
    progress, text = shown()
    with progress:
        progress.ended(trial(), "[/__w/gloo/pair.cc:547] Connection closed by peer [x]")
    assert "[/__w/gloo/pair.cc:547] Connection closed by peer [x]" in text.getvalue()


def test_a_repeated_configuration_is_said() -> None:
    progress, text = shown()
    progress.started(trial(trial_id="t4", role="search", seed=1, repeats=1))
    assert "t4 has the configuration of an earlier trial: it runs with seed 1" in text.getvalue()


def test_on_a_terminal_there_is_a_table_with_what_is_left() -> None:
    progress, text = shown(terminal=True)
    with progress:
        progress.begin(total=3, done=1, concurrent=1)
        progress.started(trial())
        progress.reported(trial(), REPORT)
    assert "1/2" in text.getvalue()
    assert "1 of 3 done" in text.getvalue()


def test_the_first_estimate_counts_the_trials_that_run_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten trials of 40 s, two at a time: 200 s in all, of which 40 are over."""
    now = 0.0
    monkeypatch.setattr("segtune.observers.console.time.monotonic", lambda: now)
    progress, _ = shown(terminal=True)
    progress.begin(total=10, done=0, concurrent=2)
    for name in ("a-s0", "b-s0"):
        progress.started(trial(trial_id=name))
    now = 40.0
    progress.ended(trial(trial_id="a-s0"), None)
    progress.started(trial(trial_id="c-s0"))
    (found,) = re.findall(r"about (\d+) s to go", str(progress._summary()))
    assert 0.9 * 160 < int(found) < 1.3 * 160
