"""A real Prometheus finds a trial's numbers through the file that Ray writes for it."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ray_head import BIN, OFF, free_ports, head_node
from support.studies.tiny_studies import JOB_STUDY

from segtune.observers.prometheus import SHOWN
from segtune.results import tables

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
DISCOVERY = "/tmp/ray/prom_metrics_service_discovery.json"
"""What the configuration in `cluster/monitoring` reads: of a Ray without `--temp-dir`."""

OFTEN = {"RAY_metrics_report_interval_ms": "1000"}
LONG = ("--set", "schedule.epochs=8")  # a trial of a second would be gone before it is scraped


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server on loopback with our configuration; its address, and what it reads in Ray's place.

    It scrapes every second here.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    text = (ROOT / "cluster" / "monitoring" / "prometheus.yml").read_text()
    nodes = tmp_path / "nodes.json"
    assert DISCOVERY in text
    config = yaml.safe_load(text.replace(DISCOVERY, str(nodes)))
    config["global"]["scrape_interval"] = "1s"
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            *(program, f"--config.file={tmp_path / 'prometheus.yml'}"),
            *(f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path / 'db'}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}", nodes
    finally:
        process.terminate()
        process.wait(30)


DICE = 'segtune_trial_score{metric="dice"}'


def query(address: str, expression: str) -> dict[str, float]:
    """A value per trial."""
    asked = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{address}/api/v1/query?{asked}", timeout=10) as reply:
        answer: Any = json.load(reply)
    return {r["metric"]["trial"]: float(r["value"][1]) for r in answer["data"]["result"]}


def test_prometheus_finds_a_trials_dice(prometheus: tuple[str, Path], tmp_path: Path) -> None:
    address, nodes = prometheus
    (tmp_path / "mine.py").write_text(JOB_STUDY)
    with head_node(OFF | OFTEN) as head:
        run = subprocess.Popen(
            [str(BIN / "segtune"), "run", "mine.py", "--concurrent", "1", *LONG],
            env={**head.environment, "RAY_ADDRESS": head.gcs},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        seen: dict[str, dict[str, float]] = {}
        states: dict[str, float] = {}
        while run.poll() is None:  # the gauges go with the process
            _bring(head.temp / "prom_metrics_service_discovery.json", nodes)
            for name in (*SHOWN, DICE):
                seen.setdefault(name, {}).update(_last(address, f"max by (trial) (ray_{name})"))
            ended = 'max by (trial) (ray_segtune_trial_state{state="finished"} == 1)'
            states.update(_last(address, ended))
            time.sleep(0.5)
        output = run.stdout.read()
    assert run.returncode == 0, output
    assert "prom_metrics_service_discovery.json" in output
    assert set(seen[DICE]) == {"frozen-s0", "srft_galore-s0"}
    assert "frozen-s0" in states
    scores = tables.read(tmp_path / "results", "mine", "scores").to_pylist()
    dice = [
        s["value"]
        for s in scores
        if (s["trial_id"], s["split"], s["class_name"], s["metric"])
        == ("frozen-s0", "val", "macro", "dice")
    ]
    assert any(seen[DICE]["frozen-s0"] == pytest.approx(d) for d in dice)
    for name in SHOWN:
        assert "frozen-s0" in seen[name], name
    assert seen["segtune_trial_peak_memory_bytes"]["frozen-s0"] > 1e6


def _bring(written: Path, read: Path) -> None:
    """Ray lists a node some seconds after it has started: Prometheus is to see that at once, who
    watches the file that it reads, and no other that this one may point to."""
    text = written.read_text() if written.exists() else ""
    if text and (not read.exists() or read.read_text() != text):
        read.with_suffix(".new").write_text(text)
        read.with_suffix(".new").replace(read)


def _last(address: str, expression: str) -> dict[str, float]:
    try:
        return query(address, expression)
    except OSError:  # it is still starting
        return {}
