"""Studies as jobs of a real head node, with token authentication and without."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ray_head import BIN, OFF, Head, head_node
from support.studies.tiny_studies import JOB_STUDY

from segtune.results import tables

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A study's file outside the repository."""
    folder = tmp_path / "far" / "away"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(JOB_STUDY)
    return folder


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with head_node(OFF) as started:
        yield started


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Head]:
    """A head that asks for a token."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    with head_node({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}) as started:
        yield started


def segtune(
    head: Head, folder: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "segtune"), *words, "--address", head.address],
        env={**head.environment, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
    )


def run_on(head: Head, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`segtune run` as a driver of the cluster."""
    return subprocess.run(
        [str(BIN / "segtune"), "run", "mine.py", "--address", head.gcs],
        env={**head.environment, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
    )


def submit(head: Head, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    storage = ("--storage", str(folder / "results"), "--python", sys.executable)
    return segtune(head, folder, "submit", "mine.py", *storage, *words)


def trials(folder: Path) -> dict[str, dict[str, Any]]:
    found = tables.read(folder / "results", "mine", "trials").to_pylist()
    return {row["trial_id"]: row for row in found}


def test_a_study_from_elsewhere_runs_as_a_job_and_is_followed(head: Head, away: Path) -> None:
    done = submit(head, away)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine-1 is submitted" in done.stdout
    assert done.stdout.count("frozen-s0: epoch 1/2, loss") == 1, "its log is shown, once"
    assert "mine-1: succeeded, exit code 0" in done.stdout
    line = next(
        x for x in done.stdout.splitlines() if x.startswith("SHIPPED") and str(ROOT) not in x
    )
    assert "working_dir_files" in line, "the code that was uploaded ran"
    assert {t: r["status"] for t, r in trials(away).items()} == {
        "frozen-s0": "finished",
        "srft_galore-s0": "finished",
    }
    again = submit(head, away)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "mine-2" in again.stdout
    assert "Nothing to do" in again.stdout
    output = segtune(head, away, "status", "mine").stdout
    assert "mine-2: succeeded" in output
    assert "Nothing to do" in output
    failed = submit(head, away, "--set", "schedule.epochs=99")
    assert failed.returncode == 2, "the job's own exit code"
    assert "schedule.epochs was 2, now 99" in failed.stdout


def test_a_job_is_stopped_and_the_same_submit_goes_on(guarded: Head, away: Path) -> None:
    wrong = segtune(guarded, away, "stop", "mine", RAY_AUTH_TOKEN_PATH="", RAY_AUTH_TOKEN="no")
    assert (wrong.returncode, "refuses the token" in wrong.stderr) == (2, True)
    driver = run_on(guarded, away, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_TOKEN="no")
    assert (driver.returncode, driver.stderr.count("\n")) == (2, 1), driver.stderr
    assert f"the cluster at {guarded.gcs} refuses the token" in driver.stderr
    long = ("--concurrent", "1", "--set", "schedule.epochs=30")
    detached = submit(guarded, away, *long, "--detach")
    assert detached.returncode == 0, detached.stdout + detached.stderr
    assert "segtune status mine-1" in detached.stdout
    second = submit(guarded, away, *long)
    assert (second.returncode, "already, by job mine-1" in second.stderr) == (2, True)
    end = time.monotonic() + 300
    while trials(away).get("frozen-s0", {}).get("status") != "finished":
        assert time.monotonic() < end, segtune(guarded, away, "status", "mine").stdout
        time.sleep(1)
    stopped = segtune(guarded, away, "stop", "mine-1")
    assert stopped.returncode == 0, stopped.stderr
    assert "mine-1: stopped. The same submit goes on" in stopped.stdout
    assert "mine-1: stopped" in segtune(guarded, away, "status", "mine-1").stdout
    again = submit(guarded, away, *long)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 of them finished before" in again.stdout
    rows = trials(away)
    assert {r["status"] for r in rows.values()} == {"finished"}
    assert rows["frozen-s0"]["attempt"] == 1


def test_the_plain_line_of_the_readme_does_the_same(head: Head, tmp_path: Path) -> None:
    readme = (ROOT / "cluster" / "README.md").read_text()
    lines = [x for x in readme.splitlines() if "--target job" in x or "--working-dir job" in x]
    assert len(lines) == 2
    check = (
        "import platform, ray, segtune; ray.init(); "
        "where = ray.remote(lambda: (__import__('platform').__file__, "
        "__import__('segtune').__file__)); "
        "print('FILES', platform.__file__, segtune.__file__, *ray.get(where.remote()))"
    )
    head_line, _, _ = lines[1].partition(" -- ")
    script = "\n".join([lines[0], f'{head_line} -- {sys.executable} -c "{check}"'])
    for here, there in (
        ("http://127.0.0.1:8265", head.address),
        ("--target job", f"--target {tmp_path}"),
        ("--working-dir job", f"--working-dir {tmp_path}"),
    ):
        assert here in script
        script = script.replace(here, there)
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        env=dict(head.environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = next(x for x in done.stdout.splitlines() if x.startswith("FILES")).split()[1:]
    for platform, segtune in (found[:2], found[2:]):
        assert platform.endswith("/platform.py")
        assert "working_dir_files" not in platform, "the standard library's"
        assert "working_dir_files" in segtune, "the code that was uploaded"
