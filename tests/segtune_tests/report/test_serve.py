"""The live report: asked for over a real socket, from the command line too."""

import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.report_tables import ARMS, COMMON

from segtune.report.serve import HOST, Live, handler, serve
from segtune.results import study_file, tables


def begin(storage: Path, arm: str, status: str = "running") -> Path:
    """The row of a trial that has left no score yet: a page of words, which builds quickly."""
    row = {"trial_id": f"{arm}-s0", "attempt": 1, "role": "arm", "arm": arm, "seed": 0, **COMMON}
    row |= {"status": status, "changes": "{}"}
    return Path(tables.write(storage, "methods", "trials", [row]).path)


@contextmanager
def serving(live: Live) -> Iterator[str]:
    server = ThreadingHTTPServer((HOST, 0), handler(live))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
        return str(reply.read().decode())


def test_the_page_follows_its_tables(tmp_path: Path) -> None:
    begin(tmp_path, "full")
    live = Live(tmp_path, ["methods"])
    with serving(live) as address:
        before, state = get(f"{address}/"), json.loads(get(f"{address}/state"))
        assert state["text"] == "methods: 1 running"
        assert state["version"] in before
        assert "connect-src 'self'" in before
        assert "No finished, tested trial" in before or "No trial was tested yet" in before
        live.look()
        assert json.loads(get(f"{address}/state")) == state
        begin(tmp_path, "full", "failed")
        begin(tmp_path, "later-arm")
        live.look()
        news = json.loads(get(f"{address}/state"))
        assert news["text"] == "methods: 1 running, 1 failed"
        assert news["version"] != state["version"]
        assert "later-arm" not in before
        assert "Trials that did not finish" in get(f"{address}/")


def test_a_study_that_has_just_begun_gets_a_page_that_says_so(tmp_path: Path) -> None:
    study_file.write(tmp_path, "methods", {"schema_version": 2, "arms": ARMS})
    live = Live(tmp_path, ["methods"])
    assert "no trial on record yet" in live.state.page
    begin(tmp_path, "full")
    live.look()
    assert "Differences to the baseline" in live.state.page


def test_a_build_that_fails_keeps_the_last_page_and_says_why(tmp_path: Path) -> None:
    broken = begin(tmp_path, "full")
    live = Live(tmp_path, ["methods"])
    good, whole = live.state.page, broken.read_bytes()
    broken.write_bytes(b"half a file")
    live.look()
    assert live.state.page == good
    assert live.state.error
    assert "could not be built anew" in live.state.text
    broken.write_bytes(whole)
    live.look()
    assert not live.state.error


def test_a_storage_that_is_gone_for_a_moment_is_told_and_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(storage: Path, studies: list[str]) -> str:
        raise OSError("AWS Error NETWORK_CONNECTION")

    begin(tmp_path, "full")
    live = Live(tmp_path, ["methods"])
    good = live.state.page
    with monkeypatch.context() as patch:
        patch.setattr("segtune.report.serve.fingerprint", gone)
        live.look()
        assert live.state.page == good
        assert (live.state.error, "NETWORK_CONNECTION" in live.state.text) == (True, True)
    live.look()
    assert not live.state.error


def test_only_this_machine_by_its_own_name_is_answered(tmp_path: Path) -> None:
    begin(tmp_path, "full")
    with serving(Live(tmp_path, ["methods"])) as address:
        assert address.startswith("http://127.0.0.1:")
        for path, host, code in (("/", "evil.example", 403), ("/study.json", "", 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(f"{address}{path}", **({"Host": host} if host else {}))
            assert refused.value.code == code


def test_what_cannot_be_served_is_refused_at_once(tmp_path: Path) -> None:
    begin(tmp_path, "full")
    with pytest.raises(ValueError, match="studies with trials there: methods"):
        serve(tmp_path, ["method"])
    with serving(Live(tmp_path, ["methods"])) as address:
        taken = int(address.rpartition(":")[2])
        for port in (taken, 70_000):
            with pytest.raises(ValueError, match=f"port {port} cannot be used"):
                serve(tmp_path, ["methods"], port=port)


def segtune(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "segtune", "report", *map(str, arguments)]


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    begin(tmp_path, "full")
    running: Any = subprocess.Popen(
        segtune("methods", "--storage", tmp_path, "--serve"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/", running.stdout.readline())
        assert address is not None
        assert '<h1 dir="auto">methods</h1>' in get(address[0])
        running.send_signal(signal.SIGINT)
        said, complaints = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, said.strip(), complaints) == (0, "Stopped.", "")


@pytest.mark.parametrize("options", [["--serve", "--out", "x.html"], ["--port", "80"]])
def test_options_that_would_do_nothing_are_refused(options: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        segtune("methods", "--storage", tmp_path, *options), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--serve" in done.stderr
