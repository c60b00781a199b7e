"""What differs between the arms."""

import json
from pathlib import Path

from support.report_tables import write_trial

from segtune.report.page.text import MISSING
from segtune.report.parts.factors import factors
from segtune.results import study_file
from segtune.results.study_rows import load


def test_factors_say_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    arms = {"no_depth": {"depth": False}, "lora": {"method": "lora", "method.rank": 4}}
    study_file.write(tmp_path, "x", {
        "schema_version": 2, "study": "x", "kind": "ablation", "baseline_arm": "base",
        "baseline": {"depth": True, "method": "frozen"}, "arms": arms,
    })  # fmt: skip
    write_trial(tmp_path, "x", "base-s0", 0.5, role="arm", arm="base", seed=0,
                config=json.dumps({"depth": True, "method": {"name": "frozen"}}))  # fmt: skip
    found = factors(load(tmp_path, "x"))
    assert found.fields == ("depth", "method", "method.rank")
    assert [(level.value, level.changed) for level in found.levels["no_depth"]][0] == (False, True)
    assert [level.changed for level in found.levels["base"]] == [False, False, False]
    assert found.levels["base"][2].value is MISSING
    assert [level.value for level in found.levels["lora"]] == [True, "lora", 4]
