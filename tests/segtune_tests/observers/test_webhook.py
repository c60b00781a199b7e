"""A webhook is told how a run ended, and nobody else is told its address."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from segtune.cli import _parser, main
from segtune.execution import runner
from segtune.execution.launch import StudyStopped
from segtune.observers import webhook
from segtune.observers.webhook import Message

SECRET = "/services/T0/B0/secret"
ENDED = Message("mine is done", "mine", "failed", 3, ("a-s0",))


@contextmanager
def listening(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on this machine: its address, and what it is told."""
    told: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == SECRET
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{SECRET}", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_gets_json() -> None:
    with listening() as (url, told):
        assert webhook.send(url, ENDED) is None
    assert told == [{"text": "mine is done", "study": "mine", "status": "failed", "trials": 3,
                     "failed": ["a-s0"]}]  # fmt: skip


def test_why_nothing_arrived_is_told_without_the_address() -> None:
    with listening(status=404) as (url, _):
        assert webhook.send(url, ENDED) == "the webhook answered with status 404"
    assert "did not answer" in (told := webhook.send("http://127.0.0.1:9/secret", ENDED) or "")
    assert "did not answer" in (odd := webhook.send("http://127.0.0.1:9/a secret", ENDED) or "")
    assert "secret" not in told + odd


def test_what_is_no_address_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("hooks.example/token", "ftp://hooks.example/token", "http://[token"):
        assert main(["run", "demo", "--notify", wrong]) == 2
        said = capsys.readouterr().err
        assert "--notify takes the address of a webhook" in said
        assert "token" not in said


def test_the_address_leaves_the_command_line_and_the_environment(tmp_path: Path) -> None:
    code = (
        "import json, os, sys\n"
        "from segtune.observers import webhook\n"
        "url = webhook.address(sys.argv[2])\n"
        "line = open('/proc/self/cmdline').read()\n"
        "print(json.dumps([url, sys.argv[2], line.count(url), os.environ.get(webhook.VARIABLE)]))"
    )
    url = f"https://hooks.example{SECRET}"
    done = subprocess.run(
        [sys.executable, "-c", code, "--notify", url],
        capture_output=True, text=True, check=True, env={**os.environ},
    )  # fmt: skip
    assert json.loads(done.stdout) == [url, "$SEGTUNE_NOTIFY", 0, None]


@pytest.mark.parametrize("ends", ["finished", "failed", "stopped", "interrupted"])
def test_every_end_of_a_run_is_told(
    ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*args: Any, **options: Any) -> runner.Outcome:
        if ends == "stopped":
            raise StudyStopped("disk full")
        if ends == "interrupted":
            raise KeyboardInterrupt
        return runner.Outcome(0, ("frozen-s0",) if ends == "failed" else (), 2)

    monkeypatch.setattr("segtune.execution.order.look_over", lambda *_: None)
    monkeypatch.setattr(runner, "train", run)
    with listening() as (url, told):
        monkeypatch.setenv("SEGTUNE_NOTIFY", url)
        args = _parser().parse_args(["run", "demo", "--storage", str(tmp_path)])
        try:
            args.command.run(args, Console(file=sys.stderr))
        except KeyboardInterrupt:
            assert ends == "interrupted"
    (message,) = told
    assert (message["study"], message["status"]) == ("demo", ends)
    assert "disk full" in message["text"] or ends != "stopped"
