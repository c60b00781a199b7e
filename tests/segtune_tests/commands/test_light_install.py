"""What segtune does, and says, where it is installed without the extra `train`."""

import sys
from pathlib import Path

import pytest
from support.light_install import Done, LightInstall
from support.report_tables import write_search
from support.studies.known_study import STEADY, write_study

from segtune.cli import COMMANDS, main

HEAD = ("--address", "http://127.0.0.1:9")
READ = {
    "report": ("report", "known", "--out", "light.html", "--tables", "tables"),
    "report of a search": ("report", "rank", "--out", "light-search.html"),
    "status": ("status", "known"),
    "bundle": ("bundle", "known", "--out", "light.zip"),
    "verify": ("verify", "light.zip"),
    "list": ("list",),
    "doctor": ("doctor",),
    "help": ("--help",),
    "schema": ("show", "--schema"),
    "logs": ("logs", "known", "up-s0"),
}
"""What needs no extra."""
NEED = {
    "show": ("show", "demo"),
    "plan": ("plan", "demo"),
    "run": ("run", "demo"),
    "submit": ("submit", "demo", "--storage", "/results", *HEAD),
    "stop": ("stop", "demo-1", *HEAD),
    "status": ("status", "demo-1", *HEAD),
    "data": ("data", "check", "synthetic_liver"),
    "evaluate": ("evaluate", "results/known/train/up-s0"),
    "predict": ("predict", "results/known/train/up-s0", "image.png"),
    "export": ("export", "results/known/train/up-s0", "--out", "weights"),
    "verify": ("verify", "light.zip", "--retrain", "1"),
    "sync": ("sync", "known", "--to", "tensorboard"),
    "weights": ("weights", "demo"),
    "publish": ("publish", "results/known/train/up-s0", "--to", "out"),
}
"""What needs `train`."""
ROOT = Path(__file__).parents[3]
TRAIN = f"pip install {ROOT / 'model' / 'srft_galore'} 'segtune[train]'"
"""The optimizer comes from the tree that segtune was installed from, and from no index."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are given: the results of two studies."""
    here = tmp_path_factory.mktemp("here")
    write_study(here / "results", {arm: values[:3] for arm, values in STEADY.items()})
    write_search(here / "results")
    log = here / "results" / "known" / "train" / "up-s0" / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("what it printed\n")
    return here


@pytest.fixture(scope="module")
def done(here: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What the commands did, those that need an extra by `needs NAME`."""
    install = LightInstall(tmp_path_factory.mktemp("light"))
    commands = {**READ, **{f"needs {name}": words for name, words in NEED.items()}}
    return dict(zip(commands, install.run(here, *commands.values()), strict=True))


def test_every_command_is_tried() -> None:
    assert {words[0] for words in (*READ.values(), *NEED.values())} - {"--help"} == {*COMMANDS}


@pytest.mark.parametrize("name", READ)
def test_what_reads_needs_no_extra(done: dict[str, Done], name: str) -> None:
    # What doctor finds odd about this machine, as another Ray on it, it does in either install.
    code = main(["doctor"]) if name == "doctor" else 0
    assert (done[name].code, done[name].err) == (code, "")


@pytest.mark.parametrize("name", NEED)
def test_a_missing_extra_is_one_message(done: dict[str, Done], name: str) -> None:
    code, _, err = done[f"needs {name}"]
    assert code == 2
    assert err.startswith("segtune: this needs ")
    assert err.count("\n") == 1
    assert err.endswith(f"{TRAIN}\n")


@pytest.mark.parametrize(
    ("module", "told"),
    [("monai", "pip install 'segtune[train]'"), ("no_such_module", "can't be read")],
)
def test_a_study_whose_file_imports_what_is_not_there(
    module: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As where torch and Ray were installed by hand, and no more."""
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "mine.py").write_text(f"import {module}\n")
    assert main(["show", str(tmp_path / "mine.py")]) == 2
    message = capsys.readouterr().err
    assert module in message
    assert told in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("name", ["list", "doctor", "help"])
def test_it_says_what_is_not_there(done: dict[str, Done], name: str) -> None:
    assert TRAIN in " ".join(done[name].out.split())


def test_reports_are_those_of_a_full_install(
    here: Path, done: dict[str, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    assert {name for name in READ if done[name].code} <= {"doctor"}
    assert main(["report", "known", "--out", "full.html"]) == 0
    assert main(["report", "rank", "--out", "full-search.html"]) == 0
    assert main(["bundle", "known", "--out", "full.zip"]) == 0
    for file in ("{}.html", "{}-search.html", "{}.zip"):
        full, light = (Path(file.format(kind)).read_bytes() for kind in ("full", "light"))
        assert full == light, file


def test_a_full_install_lacks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "pip install" not in capsys.readouterr().out


def test_figures_as_files_name_their_extra(done: dict[str, Done]) -> None:
    assert "pip install 'segtune[figures]'" in done["report"].out
