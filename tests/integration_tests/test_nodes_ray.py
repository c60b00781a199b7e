"""A cluster that grows while a study runs on it."""

import threading
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from support.tiny_studies import ABLATION

from segtune.cli import main
from segtune.results import tables

pytestmark = [pytest.mark.ray, pytest.mark.slow]
LONGER = ABLATION.replace("seeds=(0,)", "seeds=(0, 1, 2)").replace(
    'apply(TINY, {"method": "frozen"})', 'apply(TINY, {"method": "frozen", "schedule.epochs": 12})'
)


def test_a_node_that_joins_gets_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(LONGER)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})

    def join() -> None:
        while not tables.table_dir("results", "mine", "trials").files():
            time.sleep(0.2)
        cluster.add_node(num_cpus=1)

    joins = threading.Thread(target=join, daemon=True)
    joins.start()
    try:
        assert main(["run", "mine.py", "--address", cluster.address]) == 0
    finally:
        joins.join(10)
        cluster.shutdown()
    assert "6 trials; 1 at a time" in capsys.readouterr().out
    ran = sorted(
        (r["started"], r["ended"]) for r in tables.read("results", "mine", "trials").to_pylist()
    )
    assert any(after[0] < before[1] for before, after in zip(ran, ran[1:], strict=False)), ran
