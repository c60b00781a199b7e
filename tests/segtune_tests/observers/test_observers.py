"""What else watches a study run: gauges, and where everything is."""

import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from support.score_kinds import Scored

from segtune.cli import _parser
from segtune.observers import prometheus
from segtune.observers.composite import CompositeObserver
from segtune.observers.links import LinksObserver, links
from segtune.observers.tensorboard import command
from segtune.results.storage import Place
from segtune.study.trial import Trial

TRIAL = Trial("a-s0", "arm", 0, Scored(), {"method": "lora"}, "a")
NAN = float("nan")
EVENTS = ("begin", "started", "reported", "ended")


def report(epoch: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "epochs": 3, "final": False, "loss": 1 / epoch,
            "val/assd": 9.0, "val/dice": epoch / 10, "best/dice": epoch / 10,
            "training_iteration": 7, **more}  # fmt: skip


class Full:
    """An observer whose disk is full."""

    def begin(self, total: int, done: int, concurrent: int) -> None:
        raise OSError(28, "No space left on device")

    def started(self, trial: Trial) -> None:
        raise OSError(28, "No space left on device")

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    def ended(self, trial: Trial, error: str | None) -> None:
        raise OSError(28, "No space left on device")


def test_an_observer_that_fails_is_named_once_and_ends_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    heard: list[str] = []
    other = SimpleNamespace(**{n: lambda *_, n=n: heard.append(n) for n in EVENTS})
    both = CompositeObserver(Full(), other)
    both.begin(1, 0, 1)
    both.started(TRIAL)
    both.reported(TRIAL, report(1))
    both.ended(TRIAL, None)
    assert heard == list(EVENTS)
    assert capsys.readouterr().err.count("Full: OSError(28, 'No space left on device')") == 1


# Gauges


class Fake:
    """Keeps what a gauge was set to."""

    values: dict[tuple[str, ...], float] = {}

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        self._name, self._keys = name, tag_keys

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert tuple(tags) == self._keys
        Fake.values[self._name, *tags.values()] = value


def test_gauges_hold_the_latest_numbers_and_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "Gauge", Fake)
    monkeypatch.setattr(Fake, "values", {})
    observer = prometheus.PrometheusObserver("mine")
    observer.begin(2, 0, 1)
    observer.started(TRIAL)
    observer.reported(TRIAL, report(1, images_per_second=5.0, peak_memory_bytes=100))
    observer.reported(TRIAL, report(2, **{"val/dice": NAN}))
    observer.reported(TRIAL, report(1, final=True, **{"val/dice": 0.77}))
    tags = ("mine", "a-s0", "a", "0")
    now = Fake.values
    assert now["segtune_trial_score", *tags, "dice"] == 0.1, "no number is no value"
    assert now["segtune_trial_epoch", *tags] == 2
    assert now["segtune_trial_peak_memory_bytes", *tags] == 100
    assert now["segtune_trial_state", *tags, "running"] == 1
    observer.ended(TRIAL, None)
    assert now["segtune_trial_state", *tags, "running"] == 0
    assert now["segtune_trial_state", *tags, "finished"] == 1
    other = Trial("t1", "search", 0, Scored(), {}, None, 1)
    observer.ended(other, None)
    assert now["segtune_trial_state", "mine", "t1", "search", "0", "pruned"] == 1
    observer.ended(other, "lost")
    assert now["segtune_trial_state", "mine", "t1", "search", "0", "failed"] == 1
    assert now["segtune_trial_state", "mine", "t1", "search", "0", "pruned"] == 0


# Places

NO_PLACES = SimpleNamespace(dashboard_url=None, address_info={})


def test_links_are_commands_that_work() -> None:
    storage = Path("/big disk/results")
    found = links(
        storage,
        "mine",
        is_search=True,
        logs={"tensorboard": command(storage, "mine")},
        dashboard="127.0.0.1:8265",
        session="/tmp/s",
    )
    assert found["results"] == "/big disk/results/mine"
    for what in ("now", "report"):
        args = _parser().parse_args(shlex.split(found[what])[1:])
        assert args.storage == Place.of(storage)
    assert shlex.split(found["tensorboard"])[-1] == "/big disk/results/mine/tensorboard"
    assert shlex.split(found["search"])[-1] == "/big disk/results/mine/optuna.journal"
    assert "http://127.0.0.1:8265" in found["jobs, nodes, logs"]
    assert "/tmp/s/prom_metrics_service_discovery.json" in found["metrics"]
    fewer = links(storage, "mine", is_search=False, logs={}, dashboard=None, session=None)
    assert set(found) - set(fewer) == {"tensorboard", "search", "jobs, nodes, logs", "metrics"}


def test_places_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.init", lambda **_: NO_PLACES)
    text = io.StringIO()
    console = Console(file=text, width=40)
    storage = Path("/a/folder/with/a/name/that/is/longer/than/a/line")
    observer = CompositeObserver(LinksObserver(console, storage, "mine", is_search=False, logs={}))
    observer.begin(1, 0, 1)
    once = text.getvalue()
    observer.begin(1, 0, 1)
    assert f"segtune status mine --storage {storage} --watch\n" in once, "in one piece"
    assert "running on this machine already" not in once
    assert text.getvalue() == once


def test_another_ray_on_this_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.init", lambda **_: NO_PLACES)
    text = io.StringIO()
    console = Console(file=text, width=300)
    others = {"10.0.0.1:6379"}
    LinksObserver(console, Path("r"), "mine", is_search=False, logs={}, others=others).begin(
        1, 0, 1
    )
    assert "running on this machine already (10.0.0.1:6379)" in text.getvalue()
    assert "--address 10.0.0.1:6379" in text.getvalue()
