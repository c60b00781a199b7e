"""Which code a trial ran: the commit of segtune, and apart from it that of the study's file."""

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from segtune.results import provenance
from segtune.results.provenance import commit_of_code, commit_of_study, find_origin

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = Path("segtune", "results", "provenance.py")


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def repository(folder: Path, *files: Path | str) -> str:
    """Make a repository in which these files are committed; its commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("committed\n")
        git(folder, "add", str(file))
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


def installed(site: Path, record: dict[str, Any] | None = None) -> importlib.metadata.Distribution:
    """A wheel of segtune as pip leaves it in a folder; `record` is its direct_url.json."""
    (site / CODE).parent.mkdir(parents=True, exist_ok=True)
    (site / CODE).write_text("installed\n")
    info = site / "segtune-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: segtune\nVersion: 0.1.0\n")
    if record is not None:
        (info / "direct_url.json").write_text(json.dumps(record))
    return importlib.metadata.PathDistribution(info)


FROM_GIT = {
    "url": "https://example.com/segtune",
    "vcs_info": {"vcs": "git", "commit_id": COMMIT},
}


def test_a_checkout_has_its_own_commit(tmp_path: Path) -> None:
    commit = repository(tmp_path / "checkout", CODE)
    elsewhere = installed(tmp_path / "site", FROM_GIT)
    file = tmp_path / "checkout" / CODE
    assert commit_of_code(file, elsewhere) == (commit, False)
    file.write_text("changed\n")
    assert commit_of_code(file, elsewhere) == (commit, True)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (None, (None, None)),  # from a package index
        ({"url": "file:///somewhere", "dir_info": {}}, (None, None)),
        ({"url": "file:///somewhere/segtune.whl", "archive_info": {}}, (None, None)),
        (FROM_GIT, (COMMIT, False)),
    ],
)
def test_an_installed_copy_has_not_the_commit_of_the_repository_around_it(
    tmp_path: Path, record: dict[str, Any] | None, found: tuple[str | None, bool | None]
) -> None:
    """A virtual environment in a user's own repository."""
    repository(tmp_path, "study.py")
    site = tmp_path / ".venv" / "site-packages"
    assert commit_of_code(site / CODE, installed(site, record)) == found


def test_code_from_elsewhere_has_not_the_commit_of_the_wheel(tmp_path: Path) -> None:
    (tmp_path / "unpacked" / CODE).parent.mkdir(parents=True)
    (tmp_path / "unpacked" / CODE).write_text("unpacked\n")
    wheel = installed(tmp_path / "site", FROM_GIT)
    assert commit_of_code(tmp_path / "unpacked" / CODE, wheel) == (None, None)


def test_versions_are_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGES", ("optuna", "no-such-package"))
    assert find_origin().versions == {"optuna": importlib.metadata.version("optuna")}


def test_the_commit_is_known_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_GIT_COMMIT", "abc123")
    assert (find_origin().git_commit, find_origin().git_dirty) == ("abc123", None)
    for text, dirty in (("1", True), ("0", False)):
        monkeypatch.setenv("SEGTUNE_GIT_DIRTY", text)
        assert find_origin().git_dirty is dirty
    monkeypatch.setenv("SEGTUNE_GIT_COMMIT", "")
    assert find_origin().git_commit != "abc123"


def test_a_study_file_has_the_commit_of_its_own_repository(tmp_path: Path) -> None:
    commit = repository(tmp_path, "study.py")
    assert commit_of_study(tmp_path / "study.py") == commit
    assert find_origin(tmp_path / "study.py").study_commit == commit
    (tmp_path / "study.py").write_text("changed\n")
    assert commit_of_study(tmp_path / "study.py") == f"{commit}-dirty"


def test_a_study_file_without_a_commit(tmp_path: Path) -> None:
    repository(tmp_path / "repository")
    for folder in (tmp_path, tmp_path / "repository"):  # in no repository; not tracked by its own
        (folder / "study.py").write_text("new\n")
        assert commit_of_study(folder / "study.py") is None
    assert find_origin().study_commit is None


def test_a_study_in_segtunes_own_checkout_has_no_commit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path, CODE, "search_spaces/mine.py")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / CODE))
    assert find_origin(tmp_path / "search_spaces" / "mine.py").study_commit is None


def test_a_job_is_told_the_commit_of_the_study_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_STUDY_COMMIT", "def456-dirty")
    assert find_origin().study_commit == "def456-dirty"


def test_the_command_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["/usr/bin/segtune", "run", "mine", "--set", "data.root=my data"]
    )
    assert find_origin().command == "segtune run mine --set 'data.root=my data'"
