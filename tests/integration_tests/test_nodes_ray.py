"""A cluster that grows while a study runs on it."""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from support.tiny_studies import ABLATION

from segtune.results import tables

pytestmark = [pytest.mark.ray, pytest.mark.slow]
LONGER = ABLATION.replace("seeds=(0,)", "seeds=(0, 1, 2)").replace(
    'apply(TINY, {"method": "frozen"})', 'apply(TINY, {"method": "frozen", "schedule.epochs": 12})'
)


def test_a_node_that_joins_gets_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(LONGER)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        command = [sys.executable, "-m", "segtune", "run", "mine.py", "--address", cluster.address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as study:
            while not tables.table_dir("results", "mine", "trials").files():
                assert study.poll() is None
                time.sleep(0.2)
            cluster.add_node(num_cpus=1)
            out, _ = study.communicate(timeout=300)
    finally:
        cluster.shutdown()
    assert study.returncode == 0
    assert "6 trials; 1 at a time" in out
    rows = tables.read("results", "mine", "trials").to_pylist()
    ran = sorted((row["started"], row["ended"]) for row in rows)
    assert any(after[0] < before[1] for before, after in pairwise(ran)), ran
