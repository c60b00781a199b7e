"""Every system with every method and data set that go with it, by one small training each.

Refused pairs are refused by the classes too, and rows say of them what is true.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.data_folders import WRITERS
from support.pairs import (
    Run,
    begin,
    covering_array,
    encoder_pairs,
    ours,
    pairs,
    product,
    reported,
    smallest,
    study,
    train_one,
    write_sets,
)

from segcore.config import TrainConfig
from segcore.data import DATASETS
from segcore.data.dataset import DataConfig, Dataset
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.systems import SYSTEMS
from segcore.systems.system import System, SystemConfig
from segcore.tables import Table
from segcore.testing import LANDMARKS, lacking
from segtune.results import tables
from segtune.results.provenance import find_origin

OURS = {"systems": ours(SYSTEMS), "methods": ours(METHODS), "datasets": ours(DATASETS)}
RUNS = covering_array()
QUICK = ("imedsam",)
"""Systems whose runs are trained with the quick tests, too."""


def marked(system: str) -> Any:
    """The mark of what trains all runs of a system."""
    return () if system in QUICK else pytest.mark.slow


class Trained:
    """The runs of the array, a study for each system, since masks are compared at its size: trained
    when the first of a system's is asked for."""

    def __init__(self, storage: Path, sets: Mapping[str, DataConfig]) -> None:
        self.storage, self._sets, self._origin = storage, sets, find_origin()
        self._failures: dict[str, dict[str, str | None]] = {}

    def failures(self, system: str) -> Mapping[str, str | None]:
        """Why a run of a system failed, by its arm; None where it did not."""
        if system not in self._failures:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            ablation = study([run for run in RUNS if run.system == system], self._sets)
            self._failures[system] = {
                str(trial.arm): train_one(self.storage, system, trial, self._origin)
                for trial in begin(self.storage, system, ablation)
            }
            torch.set_num_threads(threads)
        return self._failures[system]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, DataConfig]:
    return write_sets(tmp_path_factory.mktemp("sets"), OURS["datasets"])


@pytest.fixture(scope="module")
def opened(sets: Mapping[str, DataConfig]) -> Mapping[str, Dataset]:
    return {name: config.open() for name, config in sets.items()}


@pytest.fixture(scope="module")
def systems() -> Mapping[str, System]:
    return {name: smallest(name).build(LANDMARKS) for name in OURS["systems"]}


@pytest.fixture(scope="module")
def trained(sets: Mapping[str, DataConfig], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("results"), sets)


def rows(trained: Trained, run: Run, table: tables.TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(
        trained.storage, run.system, table, trial_id=f"{run.arm}-s0"
    ).to_pylist()
    return found


def test_the_array_holds_every_allowed_pair_and_no_other() -> None:
    allowed = set().union(*map(pairs, product()))
    assert set().union(*map(pairs, RUNS)) == allowed
    assert set(RUNS) <= set(product())
    others = {*OURS["methods"], *OURS["datasets"]}
    every = {(s, other) for s in OURS["systems"] for other in others}
    assert every - allowed == {(s, other) for s, other, _ in refused()}
    assert {one for one, _ in allowed} == set(OURS["systems"])
    assert {other for _, other in allowed} == others
    assert set().union(*map(encoder_pairs, RUNS)) == set().union(*map(encoder_pairs, product()))
    least = sum(
        max(
            len({(r.rgb, r.method) for r in of}),
            len({(r.rgb, r.data) for r in of}),
            len({(r.depth, r.method) for r in of}),
        )
        for of in ([r for r in product() if r.system == s] for s in OURS["systems"])
    )
    assert len(RUNS) == least, "no array that holds them all is shorter"


@pytest.mark.parametrize(
    "run", [pytest.param(run, id=run.arm, marks=marked(run.system)) for run in RUNS]
)
def test_a_run_trains_is_scored_and_has_its_row_in_the_tables(
    run: Run, trained: Trained, sets: Mapping[str, DataConfig]
) -> None:
    assert trained.failures(run.system)[run.arm] is None
    (trial,) = rows(trained, run, "trials")
    assert trial["status"] == "finished"
    assert 0 < trial["trainable_parameters"] <= trial["total_parameters"]
    assert trial["microbatch_size"] is None, "its whole share of a batch"
    (step,) = rows(trained, run, "steps")
    assert math.isfinite(step["loss"])
    scores = rows(trained, run, "scores")
    assert {s["split"] for s in scores} == {"val", "test"}
    keys = {f"{s['metric']}.{s['protocol']}" for s in scores if s["split"] == "test"}
    assert keys == set(sets[run.data].metrics)


@pytest.mark.parametrize(
    "system", [pytest.param(name, marks=marked(name)) for name in OURS["systems"]]
)
def test_every_run_has_its_row_in_the_report(system: str, trained: Trained) -> None:
    arms = [run.arm for run in RUNS if run.system == system]
    assert list(trained.failures(system)) == arms
    found = reported(trained.storage, system)
    assert list(found) == arms
    for arm, value in found.items():
        assert value is not None, arm
        assert 0 <= value <= 1, arm


def refused() -> list[tuple[str, str, str]]:
    """System, the method or data set that does not go with it, and why."""
    systems, methods, sets = (OURS[name] for name in ("systems", "methods", "datasets"))
    every = [(s, m, METHODS[m].refusal(SYSTEMS, s)) for s in systems for m in methods]
    every += [(s, d, SYSTEMS[s].refusal(DATASETS, d)) for s in systems for d in sets]
    return [(s, other, reason) for s, other, reason in every if reason is not None]


@pytest.mark.parametrize(
    ("system", "other", "reason"), refused(), ids=[f"{s}-{other}" for s, other, _ in refused()]
)
def test_what_the_rows_refuse_no_configuration_has_and_the_classes_refuse_too(
    system: str,
    other: str,
    reason: str,
    sets: Mapping[str, DataConfig],
    opened: Mapping[str, Dataset],
) -> None:
    chosen = SystemConfig.named(system)
    able = study([next(run for run in product() if run.system == system)], sets).baseline
    if other in METHODS:
        with pytest.raises(ValueError, match="method .* refuses the system") as told:
            TrainConfig(data=able.data, system=chosen, method=Method.named(other))
        with pytest.raises(ValueError, match="the system has no"):
            Method.named(other).adapt(chosen.build(LANDMARKS))
    else:
        with pytest.raises(ValueError, match="system .* refuses the data set") as told:
            TrainConfig(data=sets[other], system=chosen, method=able.method)
        with pytest.raises(ValueError, match="data has no depth maps"):
            able.check_sets(opened[other], None)
    assert reason in str(told.value)


@pytest.mark.parametrize("name", OURS["systems"])
def test_a_systems_row_lacks_what_the_network_does(
    name: str, systems: Mapping[str, System]
) -> None:
    lacks = lacking(systems[name])
    assert lacks == set(SYSTEMS[name].lacks), f"the row of {name} must say lacks={lacks}"
    needs = ("depth maps",) if SystemConfig.named(name).needs_depth else ()
    assert tuple(SYSTEMS[name].needs) == needs, f"the row of {name} must say needs={needs}"


@pytest.mark.parametrize("name", OURS["datasets"])
def test_a_data_sets_row_lacks_what_its_folders_do(
    name: str, opened: Mapping[str, Dataset]
) -> None:
    lacks = () if opened[name].has_depth else ("depth maps",)
    assert tuple(DATASETS[name].lacks) == lacks, f"the row of {name} must say lacks={lacks}"


def test_every_data_set_has_a_folder() -> None:
    assert set(WRITERS) == set(OURS["datasets"])


def test_a_row_may_refuse_by_name_and_needs_what_there_is() -> None:
    systems, methods = Table("SYSTEMS", "none", "system"), Table("METHODS", "none", "method")
    systems.add("bare", "a:B", "nothing", lacks=("layers to adapt",))
    systems.add("plain", "a:C", "something")
    methods.add("picky", "a:D", "no", needs={"layers to adapt": "go"}, refuses={"plain": "ugly"})
    row = methods["picky"]
    assert row.refusal(systems, "bare") == "it has no layers to adapt; go"
    assert row.refusal(systems, "bare", unneeded=("layers to adapt",)) is None
    assert row.refusal(systems, "plain") == "ugly"
    with pytest.raises(ValueError, match="lacks wings: choose of pretrained weights"):
        systems.add("odd", "a:E", "no", lacks=("wings",))  # type: ignore[arg-type]
