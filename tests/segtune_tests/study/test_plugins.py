"""A user's file as a module: its name, its text in another process, its rows."""

import copy
import json
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from segcore.config import TrainConfig, from_json, to_json
from segcore.methods import METHODS
from segcore.presets import nano
from segcore.transforms.smoke import Smoke
from segtune.study import catalog, plugins
from segtune.study.definition import check_grown, define
from segtune.study.overrides import (
    SpecError,
    apply,
    config_hash,
    flatten,
    nested,
    non_default,
    plain,
)
from segtune.study.spec import Ablation
from segtune.study.trial import PackedTrial

TEXT = """
from typing import ClassVar
from pydantic.dataclasses import dataclass
from segcore.methods import METHODS
from segcore.methods.frozen import Frozen
from segcore.registry import STRICT

@METHODS.register("NAME", "a user's own")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mine(Frozen):
    twice: bool = False
"""
STUDY = (
    TEXT
    + """
from segcore.presets import nano
from segtune import Ablation, apply

def study():
    return Ablation(question="?", baseline=apply(nano(), {"method": "frozen"}),
                    arms={"mine": {"method": "NAME"}}, seeds=(0,))
"""
)


def written(path: Path, text: str, name: str) -> Path:
    """A file that registers a method of this name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("NAME", name))
    return path


def test_a_trial_takes_its_file_to_another_process(tmp_path: Path) -> None:
    study = catalog.find(str(written(tmp_path / "v1.2.py", STUDY, "travels"))).study
    assert isinstance(study, Ablation)
    frozen, mine = study.trials({})
    assert len(pickle.dumps(frozen)) < len(pickle.dumps(mine)), "what needs no file brings none"
    (tmp_path / "v1.2.py").unlink()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        told = attrgetter("trial_id", "config.method.name", "config.method.twice")
        assert elsewhere.submit(told, mine).result() == ("mine-s0", "travels", False)
        assert elsewhere.submit(copy.copy, mine).result() == mine, "there and back"
        packed = PackedTrial.of(mine)
        assert packed.files
        assert elsewhere.submit(PackedTrial.unpack, packed).result().config == mine.config


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    first = catalog.load_file(written(tmp_path / "a" / "mine.py", TEXT, "first_of_two"))
    second = catalog.load_file(written(tmp_path / "b" / "mine.py", TEXT, "second_of_two"))
    assert first.__name__ != second.__name__
    assert METHODS.choose("first_of_two") is not METHODS.choose("second_of_two")
    with pytest.raises(SpecError, match="there is a method 'first_of_two' already"):
        catalog.load_file(written(tmp_path / "c" / "mine.py", TEXT, "first_of_two"))


def test_a_file_that_is_loaded_again_replaces_its_own_row(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.py", TEXT, "again")
    catalog.load_file(path)
    path.write_text(path.read_text().replace("class Mine", "class Renamed"))
    catalog.load_file(path)
    assert METHODS.choose("again").__name__ == "Renamed"


def test_a_file_that_raises_leaves_no_module(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import not_there")
    before = set(sys.modules)
    with pytest.raises(SpecError, match="not_there"):
        catalog.load_file(path)
    assert not [m for m in set(sys.modules) - before if m.startswith(plugins.PREFIX)]


def test_a_row_of_ours_or_of_a_package_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is a method 'lora' already"):
        catalog.load_file(written(tmp_path / "mine.py", TEXT, "lora"))


TRANSFORM = """
from dataclasses import field
from pydantic.dataclasses import dataclass
from segcore.registry import STRICT
from segcore.transforms import TRANSFORMS
from segcore.transforms.transform import Transform
from segcore.presets import nano
from segtune import Ablation, apply

@TRANSFORMS.register("NAME", "a user's own")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pasted(Transform):
    strength: float = 0.5
    textures: str = field(default="textures", metadata={"location": True})

    def apply(self, sample, rng):
        return sample

def study():
    return Ablation(question="?", baseline=nano(), seeds=(0,), arms={
        "pasted": {"augment.transforms": ("NAME",)},
        "weak": {"augment.transforms": (Pasted(strength=0.25),)},
    })
"""


def test_a_users_transform_travels_is_hashed_and_is_changed_by_its_place(tmp_path: Path) -> None:
    study = catalog.find(str(written(tmp_path / "own.py", TRANSFORM, "pasted"))).study
    assert isinstance(study, Ablation)
    plain_, pasted, weak = (trial.config for trial in study.trials({}))
    assert plugins.needed(plain_) == ()
    (file,) = plugins.needed(pasted)
    assert file.source == (tmp_path / "own.py").read_text()
    assert len({config_hash(config) for config in (plain_, pasted, weak)}) == 3
    where = "augment.transforms"
    assert flatten(weak)[where] == ("pasted",)
    assert flatten(weak)[f"{where}.0.strength"] == 0.25
    assert non_default(weak)[f"{where}.0.strength"] == 0.25
    assert f"{where}.0.strength" not in non_default(pasted)
    assert plain(study.arms["weak"]) == {where: ("pasted",), f"{where}.0.strength": 0.25}
    assert flatten(apply(pasted, {f"{where}.0.strength": 0.25})) == flatten(weak)
    # Where its files lie is made absolute for the trial, and does not count.
    assert Path(weak.augment.transforms[0].textures).is_absolute()
    assert f"{where}.0.textures" not in flatten(weak, locations=False)
    told = {"name": "pasted", "strength": 0.25}
    assert nested(weak, locations=False)["augment"]["transforms"] == [told]
    assert to_json(weak, locations=False)["augment"]["transforms"] == [told]
    assert from_json(TrainConfig, to_json(weak)) == weak
    check_grown(json.loads(json.dumps(define("own", study))), define("own", study))
    with pytest.raises(SpecError, match=r"augment.transforms.1: choose one of 0"):
        apply(weak, {f"{where}.1.strength": 0.5})
    with pytest.raises(SpecError, match=r"augment.transforms has no fields: it is \(\)"):
        apply(plain_, {f"{where}.0.strength": 0.5})


def test_transforms_are_named_and_changed_in_one_go() -> None:
    where = "augment.transforms"
    for rows in (("smoke",), ({"name": "smoke", "density": 0.9},), (Smoke(density=0.9),)):
        config = apply(nano(), {f"{where}.0.density": 0.4, where: rows})
        assert config.augment.transforms == (Smoke(density=0.4),)
    twice = apply(nano(), {where: (Smoke(), "smoke"), f"{where}.1.density": 0.4})
    assert twice.augment.transforms == (Smoke(), Smoke(density=0.4))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"": ({"name": "smoke", "density": 7},)}, "augment.transforms.0.density = 7: Input sho"),
        ({"": ("smoke",), ".0.density": 7}, "augment.transforms.0.density = 7: Input should be le"),
        ({"": (Smoke(),), ".0.density": 7}, "augment.transforms.0.density = 7: Input should be le"),
        ({"": ("smoke",), ".0.dense": 0.4}, "augment.transforms.0.dense = 0.4: Unexpected keyword"),
        (
            {"": ("smoke",), ".1.density": 0.4},
            "unknown field augment.transforms.1: choose one of 0",
        ),
        ({"": ("fog",), ".0.density": 0.4}, "unknown transform 'fog': choose one of "),
        ({"": ("fog",)}, "augment.transforms.0 = {'name': 'fog'}: unknown transform 'fog'"),
        ({"": "smoke"}, "augment.transforms = 'smoke': write a tuple, such as"),
    ],
)
def test_faults_of_transforms_say_where_they_are(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError) as caught:
        apply(nano(), {f"augment.transforms{field}": value for field, value in changes.items()})
    (found,) = caught.value.faults
    assert fault in found
    assert "validation error" not in found
