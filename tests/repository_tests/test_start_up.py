"""The command line answers at once: what a command does not need is not imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from segcore.presets import nano
from segtune.cli import COMMANDS
from segtune.study.overrides import apply
from segtune.study.trial import PackedTrial, Trial

HEAVY = {
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "plotly",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "statsmodels",
    "torch",
    "transformers",
}
"""Packages that take a tenth of a second or more to import."""


_TELL = "import json, sys\nprint('\\n' + json.dumps([*set(sys.modules) - before]))"


def loaded_by_command(*words: str) -> set[str]:
    """Every module that a fresh process has loaded when `segtune <words>` has ended."""
    return loaded_after(
        "from segtune.cli import main\n"
        "try:\n"
        f"    code = main({list(words)!r})\n"
        "except SystemExit as ended:\n"
        "    code = ended.code\n"
        "assert not code, code\n"
    )


def loaded_after(code: str) -> set[str]:
    """Every module that a fresh process has loaded when it has run some code, less those that the
    code has put into the set `before`."""
    done = subprocess.run(
        [sys.executable, "-c", f"before = set()\n{code}{_TELL}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_no_library(words: list[str]) -> None:
    loaded = loaded_by_command(*words)
    assert not loaded & {*HEAVY, "pydantic", "segcore"}


def test_list_imports_no_library_and_no_study() -> None:
    loaded = loaded_by_command("list")
    assert not loaded & {*HEAVY, "pydantic.dataclasses"}
    assert not [m for m in loaded if m.startswith("search_spaces.")]


def test_the_version_imports_no_library() -> None:
    assert not loaded_by_command("--version") & {*HEAVY, "pydantic", "segcore"}


OF_NETWORKS = {
    "hydra",
    "monai",
    "peft",
    "sam2",
    "segmentation_models_pytorch",
    "sklearn",
    "timm",
    "torch._dynamo",
    "torchvision",
    "transformers",
}
"""What networks, losses and optimizers are built with, some of them seconds each."""


@pytest.mark.slow
def test_a_run_that_only_checks_its_study_builds_nothing(tmp_path: Path) -> None:
    """Up to the start of Ray, which is stopped here, the driver builds no network."""
    loaded = loaded_after(
        "import ray\n"
        "def stop(**_): raise KeyboardInterrupt\n"
        "ray.init = stop\n"
        "from segtune.cli import main\n"
        f"assert main(['run', 'demo', '--storage', {str(tmp_path)!r}]) == 130\n"
    )
    assert {"ray", "torch"} <= loaded
    assert not loaded & {*OF_NETWORKS, "jinja2", "matplotlib", "plotly", "ray.train.torch"}


def test_what_passes_a_trial_on_imports_no_torch() -> None:
    """Ray's process of a trial; the one that trains is forked from another one."""
    loaded = loaded_after(
        "import segtune.execution.training.trainable\n"
        f"{_packed()}"
        "assert packed.trial_id == 'a-s0'\n"
    )
    assert not loaded & {*OF_NETWORKS, "segcore", "torch"}


@pytest.mark.slow
def test_what_trainings_are_forked_from_has_imported_what_they_build_with() -> None:
    """Else each trial of a study imports it again."""
    loaded = loaded_after(
        "import importlib, sys\n"
        "import segtune.execution.training.worker\n"
        f"{_packed()}"
        "for name in packed.imports: importlib.import_module(name)\n"
        "before = set(sys.modules)\n"
        "config = packed.unpack().config\n"
        "dataset, _ = config.open_data()\n"
        "system = config.system.build(dataset.classes)\n"
        "config.method.adapt(system)\n"
        "config.method.optimizer(system, config.optim)\n"
    )
    libraries = {name.partition(".")[0] for name in OF_NETWORKS}
    assert not [name for name in loaded if name.partition(".")[0] in libraries]


def _packed() -> str:
    """Python that has a trial as `packed`, in plain values."""
    config = apply(nano(), {"method": "lora"})
    packed = PackedTrial.of(Trial("a-s0", "arm", 0, config, {}, "a"))
    return f"from segtune.study.trial import PackedTrial, Trial\npacked = {packed!r}\n"
