"""What only some users install is asked for by name where it is missing."""

import sys
from pathlib import Path

import pytest
from support.report_tables import write_search

from segtune.cli import main


def test_importances_need_scikit_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_search(tmp_path, trials=24)
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as where the extra is not installed
    page = tmp_path / "report.html"
    assert main(["report", "rank", "--storage", str(tmp_path), "--out", str(page)]) == 2
    message = capsys.readouterr().err
    assert message.strip().count("\n") == 0
    assert "pip install 'segtune[importance]'" in message
    assert not page.exists()
