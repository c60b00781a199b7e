"""Jobs of a cluster: what is in the way is said in one message, before anything is sent."""

import importlib.metadata
import json
import shlex
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import ray
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient, JobType

from segtune.cli import _parser, main
from segtune.execution.ray_cluster import authorization
from segtune.jobs import job as jobs
from segtune.jobs.request import Request
from segtune.jobs.upload import archive, check_size
from segtune.study.overrides import SpecError

TOKEN = "0" * 32
SERVED = Callable[[str, str | None], tuple[int, str]]


@pytest.fixture(autouse=True)
def _no_token_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))


@pytest.fixture
def serve() -> Iterator[Callable[[SERVED], str]]:
    """Start a server on loopback that answers as it is told; its address."""
    servers = []

    def start(answer: SERVED) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", body)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def cluster(version: str = ray.__version__, token: str | None = None) -> SERVED:
    """Answers as the dashboard of a Ray cluster does."""

    def answer(path: str, authorized: str | None) -> tuple[int, str]:
        if token is not None and authorized is None:
            return 401, "Unauthorized: Missing authentication token"
        if token is not None and authorized != f"Bearer {token}":
            return 403, "Forbidden: Invalid authentication token"
        return 200, json.dumps({"ray_version": version} if path == "/api/version" else [])

    return answer


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(command) == 2
    message = capsys.readouterr().err
    assert message.startswith("segtune: ")
    assert "Traceback" not in message
    return message


def submit(capsys: pytest.CaptureFixture[str], address: str, *more: str) -> str:
    return refused(capsys, "submit", "demo", "--address", address, "--storage", "/shared", *more)


def test_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    message = submit(capsys, "http://127.0.0.1:1")
    assert "no Ray cluster answers at http://127.0.0.1:1" in message
    assert "8265" in message


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "ray://127.0.0.1:10001", "auto", "http://"])
def test_an_address_that_is_no_dashboard(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert "give http://HOST:8265" in submit(capsys, address)


@pytest.mark.parametrize("answer", [(404, "nothing"), (200, "<html>"), (200, "[]"), (200, "{}")])
def test_another_server(
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[SERVED], str],
    answer: tuple[int, str],
) -> None:
    assert "no Ray dashboard" in submit(capsys, serve(lambda path, token: answer))


def test_tokens(
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[SERVED], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    address = serve(cluster(token=TOKEN))
    assert "asks for a token, and none was found" in submit(capsys, address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    assert "refuses the token" in submit(capsys, address)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "none").write_text(f"{TOKEN}\n")  # where RAY_AUTH_TOKEN_PATH points
    message = refused(capsys, "stop", "demo", "--address", address)
    assert "knows no job demo" in message, "the token was taken"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert "asks for a token" in submit(capsys, address)


def test_the_token_goes_to_no_other_host(
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[SERVED], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    sent: list[str | None] = []

    def other(path: str, token: str | None) -> tuple[int, str]:
        sent.append(token)
        return 200, "{}"

    elsewhere = serve(other)
    submit(capsys, serve(lambda path, token: (302, elsewhere)))
    assert sent == [None]


def test_the_token_is_found_where_ray_looks(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    (tmp_path / "other").write_text("other")
    path = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}
    assert authorization({}, tmp_path) == {"Authorization": "Bearer home"}
    assert authorization(path, tmp_path) == {"Authorization": "Bearer other"}
    assert (
        authorization(path | {"RAY_AUTH_TOKEN": "given"}, tmp_path)["Authorization"][7:] == "given"
    )
    assert authorization({"RAY_AUTH_MODE": "disabled"}, tmp_path) == {}
    assert authorization({}, tmp_path / "nobody") == {}


def test_another_ray(capsys: pytest.CaptureFixture[str], serve: Callable[[SERVED], str]) -> None:
    message = submit(capsys, serve(cluster(version="2.9.0")))
    assert "runs Ray 2.9.0" in message
    assert f"this machine has {ray.__version__}" in message
    assert "pip install" in message


def test_what_the_cluster_could_not_find_is_told_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = refused(
        capsys,
        *("submit", "srft_vs_svd", "--address", "http://127.0.0.1:1", "--storage", "/shared"),
    )
    for field in ("data.root", "system.rgb.checkpoint", "system.depth.checkpoint"):
        assert f"--set {field}=PATH" in message
    message = refused(
        capsys,
        *("submit", "demo", "--address", "http://127.0.0.1:1", "--storage", "results"),
        *("--workers", "0", "--name", "../up"),
    )
    for fault in ("--storage results is relative", "workers = 0", "can't name a study"):
        assert fault in message


def test_every_option_reaches_the_job() -> None:
    from segtune.commands.submit import run_options

    given = [
        *("mine.py", "--storage", "/shared", "--name", "n", "--set", "optim.lr=0.1"),
        *("--set", "data.patient=^(a b)", "--workers", "2", "--cpus-per-worker", "3"),
        *("--gpus-per-worker", "0.5", "--concurrent", "4", "--num-samples", "+9"),
        *("--patience", "7", "--arms", "a", "b", "--seeds", "1", "2", "--log", "mlflow"),
        *("--price-per-hour", "1234.5678EUR", "--budget", "0.25h"),
    ]
    args = _parser().parse_args(["submit", *given, "--address", "http://a"])
    request = Request("n", "/far/away/mine.py", "/shared", run_options(args), "python3")
    python, m, segtune, *words = shlex.split(request.entrypoint)
    assert (python, m, segtune) == ("python3", "-m", "segtune")
    ran, asked = (vars(_parser().parse_args(w)) for w in (words, ["run", *given]))
    assert ran.pop("study") == ["studies/mine.py"]
    asked.pop("study")
    assert ran == asked
    default = vars(_parser().parse_args(["run", "x"]))
    untested = [name for name in asked if asked[name] == default[name]]
    # The address of a webhook is a secret: the job's environment has it, not its command line.
    assert untested == ["address", "notify", "command"], "give every option of run above"


# What is uploaded


def test_a_checkout_needs_hatchling(
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[SERVED], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "hatchling", None)  # as where the extra is not installed
    message = submit(capsys, serve(cluster()))
    assert message.strip().count("\n") == 0
    assert "pip install 'segtune[submit]'" in message


@pytest.mark.slow
def test_the_archive_runs_without_anything_installed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    study = tmp_path / "elsewhere" / "statistics.py"  # a name that could shadow a module
    study.write_text("from search_spaces.demo import study")
    packed = archive(tmp_path, study)
    assert zipfile.ZipFile(packed).testzip() is None
    names = zipfile.ZipFile(packed).namelist()
    assert len(names) == len(set(names))
    assert "segcore/weights/nano_sam2.safetensors" in names
    assert "segtune/report/page/report.html.j2" in names
    assert not [n for n in names if n.partition("/")[0] in ("platform", "model", "tests")]
    folder = tmp_path / "job"
    zipfile.ZipFile(packed).extractall(folder)
    own = ("segtune", "segcore", "srft_galore")
    code = f"import {', '.join(own)}, statistics as s; print(s.__file__)"
    code += "".join(f"; print({name}.__file__)" for name in own)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    standard, *found = done.stdout.split()
    assert found == [str(folder / name / "__init__.py") for name in own]
    assert not standard.startswith(str(folder))
    show = [sys.executable, "-m", "segtune", "show", "studies/statistics.py"]
    shown = subprocess.run(show, cwd=folder, capture_output=True, text=True, check=True)
    assert "5 arms x 3 seeds" in shown.stdout


def test_the_same_code_is_uploaded_once_and_other_code_anew(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text("1" if name != "c" else "2")
    a, b, c = (archive(tmp_path / n, tmp_path / n / "mine.py").read_bytes() for n in "abc")
    assert a == b
    assert a != c


def test_installed_wheels_are_packed_again(tmp_path: Path) -> None:
    """As for someone who has segtune from a package index, and no checkout."""
    from segtune.jobs import upload

    (tmp_path / "built").mkdir()
    built = archive(tmp_path / "built", None)
    place = tmp_path / "site"
    zipfile.ZipFile(built).extractall(place)
    packed: list[str] = []
    for info in place.glob("*.dist-info"):
        (info / "direct_url.json").write_text('{"url": "file:///secret/place", "archive_info": {}}')
        with (info / "RECORD").open("a") as record:
            record.write("../../bin/segtune,,\nsegtune/__pycache__/cli.cpython-311.pyc,,\n")
            record.write(f"{info.name}/direct_url.json,,\n")
        installed = importlib.metadata.PathDistribution(info)
        wheel = upload._wheel(tmp_path / installed.name, installed)
        packed += zipfile.ZipFile(wheel).namelist()
    assert sorted(packed) == sorted(zipfile.ZipFile(built).namelist())


def test_what_is_taken_along_must_be_installed(
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[SERVED], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a checkout whose environment is from before the optimizer was a package of its own."""
    monkeypatch.setattr("segtune.jobs.upload.TAKEN", ("no-such-package",))
    message = submit(capsys, serve(cluster()))
    assert message.strip().count("\n") == 0
    assert "no-such-package along, which is not installed" in message
    assert "make install" in message


def test_too_large_an_archive_names_its_largest_files(tmp_path: Path) -> None:
    packed = tmp_path / "segtune.zip"
    with zipfile.ZipFile(packed, "w") as out:
        out.writestr("segcore/weights/huge.safetensors", bytes(3 * 2**20))
        out.writestr("segtune/cli.py", "x")
    check_size(packed, cap=4 * 2**20)
    with pytest.raises(SpecError, match=r"3\.0 MiB, Ray takes 2\.0 MiB.*huge\.safetensors"):
        check_size(packed, cap=2 * 2**20)


def test_the_cap_is_rays() -> None:
    from ray.dashboard import http_server_head  # what refuses a request that is too large

    from segtune.jobs.upload import CAP

    assert vars(http_server_head)["ray_constants"].DASHBOARD_CLIENT_MAX_SIZE == CAP


# The job


class Cluster:
    """Remembers jobs as a cluster does."""

    def __init__(self, *jobs: JobDetails) -> None:
        self.jobs = list(jobs)

    def list_jobs(self) -> list[JobDetails]:
        return self.jobs

    def submit_job(self, **given: Any) -> str:
        assert given["submission_id"] not in {j.submission_id for j in self.jobs}
        return str(given["submission_id"])


def job(job_id: str, status: str, study: str = "demo", storage: str = "/shared") -> JobDetails:
    return JobDetails(
        type=JobType.SUBMISSION,
        submission_id=job_id,
        entrypoint="x",
        status=JobStatus(status),
        start_time=int(job_id.rpartition("-")[2]),
        metadata={jobs.STUDY: study, jobs.STORAGE: storage},
    )


def client(*there: JobDetails) -> JobSubmissionClient:
    return cast(JobSubmissionClient, Cluster(*there))


REQUEST = Request("demo", "demo", "/shared", (), "python")


def test_a_study_that_is_submitted_again_gets_the_next_number() -> None:
    before = client(job("demo-1", "STOPPED"), job("demo-2", "FAILED"))
    assert jobs.submit_job(before, REQUEST, Path("x.zip"), {}) == "demo-3"
    assert jobs.submit_job(client(), REQUEST, Path("x.zip"), {}) == "demo-1"


def test_a_study_is_run_by_one_job_at_a_time() -> None:
    with pytest.raises(SpecError, match="already, by job demo-1"):
        jobs.submit_job(client(job("demo-1", "RUNNING")), REQUEST, Path("x.zip"), {})
    elsewhere = client(job("demo-1", "RUNNING", storage="/other"))
    assert jobs.submit_job(elsewhere, REQUEST, Path("x.zip"), {}) == "demo-2"


def test_a_job_is_found_by_its_id_or_its_study() -> None:
    there = client(job("demo-1", "STOPPED"), job("demo-2", "RUNNING"), job("b-3", "RUNNING", "b"))
    assert jobs.find_job(there, "demo-1").submission_id == "demo-1"
    assert jobs.find_job(there, "demo").submission_id == "demo-2"
    with pytest.raises(SpecError, match="jobs: demo-1, demo-2, b-3"):
        jobs.find_job(there, "dmeo")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 1, 1), ("FAILED", 2, 2), ("FAILED", None, 1),
     ("FAILED", -9, 1), ("STOPPED", None, 130)],
)  # fmt: skip
def test_the_exit_code_is_the_jobs(status: str, code: int | None, expected: int) -> None:
    ended = job("demo-1", status)
    ended.driver_exit_code = code
    assert jobs.exit_code(ended) == expected


def test_a_log_that_is_read_again_is_shown_once() -> None:
    shown: list[str] = []
    log = jobs._Log(shown.append)
    for reading in (["epoch 1\n", "epo"], ["epoch 1\nepoch 2\n"], ["epoch 1\n", "epoch 2\nend\n"]):
        log.begin()
        for part in reading:
            log.add(part)
    assert "".join(shown) == "epoch 1\nepoch 2\nend\n"
