"""`segtune bundle` and `segtune verify`: what is in a bundle, what is found in a changed one."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.report_tables import write_finalists, write_search, write_trial
from support.studies.known_study import STEADY, write_study

from segtune.cli import main
from segtune.commands.bundling.archive import unpack
from segtune.commands.bundling.bundle import make
from segtune.commands.bundling.check import Checked, check
from segtune.commands.bundling.manifest import NAME
from segtune.commands.bundling.rows import differences, hash_rows, sha256
from segtune.report import summarize
from segtune.results.storage import Place

SCORES = "known/tables/scores/up-s1-a1.parquet"
Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("results")
    write_study(storage, {arm: values[:3] for arm, values in STEADY.items()})
    return storage


@pytest.fixture(scope="module")
def bundle(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "known.segtune.zip"
    make(Place.of(storage), "known", out)
    return out


@pytest.fixture
def changed(bundle: Path, tmp_path: Path) -> Callable[[Change], Checked]:
    """Check a bundle with changed contents."""

    def changed(change: Change) -> Checked:
        file = rezip(bundle, tmp_path / "changed.zip", change)
        into = tmp_path / "unpacked"
        into.mkdir()
        return check(file, into)

    return changed


def contents(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as file:
        return {name: file.read(name) for name in file.namelist()}


def rezip(bundle: Path, to: Path, change: Change) -> Path:
    """The bundle with other contents, as somebody with an ordinary zip program makes it."""
    files = contents(bundle)
    change(files)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return to


def with_rows(content: bytes, change: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """A Parquet file with other rows."""
    table = pq.read_table(io.BytesIO(content))
    rows = table.to_pylist()
    change(rows)
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), out)
    return out.getvalue()


def raise_test_score(rows: list[dict[str, Any]]) -> None:
    (row,) = (r for r in rows if (r["split"], r["metric"]) == ("test", "dice"))
    row["value"] += 0.1


def test_a_bundle_holds(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    said = capsys.readouterr().out
    digest = sha256(contents(bundle)[NAME])
    assert "It holds." in said
    assert digest in said
    assert main(["verify", str(bundle), "--expect", f"sha256:{digest}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["holds"]
    assert not found["files"] + found["claims"]


def test_what_is_in_it(bundle: Path, storage: Path, tmp_path: Path) -> None:
    manifest = json.loads(contents(bundle)[NAME])
    claims = manifest["claims"]
    of_up = claims["up against base on test, dice (per_image, 96x96)"]
    assert of_up["verdict"] == "better"
    assert of_up["mean over seeds"] == pytest.approx(0.06, abs=0.01)
    assert of_up["seeds"] == [0, 1, 2]
    assert of_up["low over seeds and patients"] < of_up["mean over seeds"]
    assert claims["made with"]["commit of segtune"] == "0123456789abcdef"
    assert claims["made with"]["torch"] == "2.15.0"
    assert {"python", "segtune", "pyarrow"} <= manifest["written_with"].keys()
    assert manifest["trials"] == {"finished": 6}
    unpack(bundle, tmp_path)  # it is a storage then
    assert summarize(tmp_path, "known").answer == summarize(storage, "known").answer


def test_a_search_and_its_finalists(tmp_path: Path) -> None:
    storage, into = tmp_path / "results", tmp_path / "unpacked"
    write_search(storage, "rank", trials=6)
    write_finalists(storage, "rank", {1: (0.7, 0.71), 2: (0.75, 0.76)})
    manifest, _ = make(Place.of(storage), "rank", tmp_path / "rank.zip")
    into.mkdir()
    assert check(tmp_path / "rank.zip", into).holds
    assert manifest.claims["search trial t3"]["status"] == "failed"
    assert manifest.claims["search trial t0"]["Dice"] == pytest.approx(0.7, abs=0.2)
    assert "test dice_macro per_image, mean" in manifest.claims["scores of t1"]


def test_the_same_results_give_the_same_bytes(bundle: Path, storage: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    make(Place.of(storage), "known", again)
    assert again.read_bytes() == bundle.read_bytes()


def test_a_changed_score_is_named(changed: Callable[[Change], Checked]) -> None:
    def change(files: dict[str, bytes]) -> None:
        files[SCORES] = with_rows(files[SCORES], raise_test_score)

    found = changed(change)
    (told,) = found.files
    assert told.startswith(
        "table scores, up-s1-a1.parquet: row 7: trial up-s1, epoch 5, split test"
    )
    assert "class macro, metric dice, protocol per_image: value was changed (now 0.8" in told
    assert found.claims[0].startswith(
        "up against base on test, dice (per_image, 96x96): verdict is"
    )
    assert any('answer: sentence 1 is "' in c and len(c) < 300 for c in found.claims)


def test_a_changed_score_with_new_hashes_contradicts_the_claims(
    changed: Callable[[Change], Checked],
) -> None:
    def change(files: dict[str, bytes]) -> None:
        files[SCORES] = with_rows(files[SCORES], raise_test_score)
        manifest = json.loads(files[NAME])
        manifest["files"][SCORES]["sha256"] = sha256(files[SCORES])
        files[NAME] = json.dumps(manifest).encode()

    found = changed(change)
    assert not found.files
    assert any(claim.startswith("scores of up: test dice_macro") for claim in found.claims)


def test_a_changed_claim_is_named(changed: Callable[[Change], Checked]) -> None:
    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files[NAME])
        of_up = manifest["claims"]["up against base on test, dice (per_image, 96x96)"]
        of_up["p after Holm"] = 1e-9
        files[NAME] = json.dumps(manifest).encode()

    found = changed(change)
    (told,) = found.claims
    assert told.startswith(
        "up against base on test, dice (per_image, 96x96): p after Holm is 1e-09"
    )
    assert not found.files


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.pop(2), "row 3 of 7 is gone or was changed"),
        (lambda rows: rows.append(rows[0] | {"epoch": 9}), "row 8 is new or was changed: trial up"),
        (lambda rows: rows.reverse(), "another order"),
        (lambda rows: [r.update(value=0.0, n=1) for r in rows[:2]], "changed among value, n"),
        (lambda rows: None, "written anew; its rows are the same"),
    ],
)
def test_other_changes_of_rows(
    bundle: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], told: str
) -> None:
    files = contents(bundle)
    rows = pq.read_table(io.BytesIO(files[SCORES])).to_pylist()
    assert len(rows) == 7
    other = io.BytesIO()
    schema = pq.read_table(io.BytesIO(files[SCORES])).schema
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), other, compression="zstd")
    recorded = hash_rows(pq.read_table(io.BytesIO(files[SCORES])))
    found = differences(recorded, pq.read_table(io.BytesIO(other.getvalue())), "scores")
    assert any(told in text for text in found), found


def test_files_that_are_missing_added_or_broken(changed: Callable[[Change], Checked]) -> None:
    steps = SCORES.replace("scores", "steps")

    def change(files: dict[str, bytes]) -> None:
        del files[SCORES]
        files[steps] = b"no parquet"
        files["known/tables/scores/up-s9-a1.parquet"] = files[SCORES.replace("s1", "s0")]
        files["note.txt"] = b"hello"

    found = changed(change)
    assert f"{SCORES} is missing" in found.files
    assert any("up-s9-a1.parquet was added" in text for text in found.files)
    assert any(t.startswith("note.txt was added") and "no bundle" in t for t in found.files)
    assert any("steps, up-s1-a1.parquet: was changed and can't be read" in t for t in found.files)
    assert not found.holds


def test_another_bundle_than_the_printed_one(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle), "--expect", "0" * 64]) == 1
    assert "this is another bundle" in capsys.readouterr().out
    assert main(["verify", str(bundle), "--expect", "abc"]) == 2


def hostile(name: str) -> tuple[Any, bytes]:
    link = zipfile.ZipInfo("known/study.json")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    entries: Mapping[str, tuple[Any, bytes]] = {
        "a path above": ("../evil.txt", b"x"),
        "an absolute path": ("/tmp/evil.txt", b"x"),
        "a Windows path": ("C:\\evil.txt", b"x"),
        "a link": (link, b"/etc/passwd"),
        "a bomb": ("known/bomb.bin", bytes(50_000_000)),
        "a hidden file": ("known/.ssh/authorized_keys", b"x"),
    }
    return entries[name]


@pytest.mark.parametrize(
    "name",
    ["a path above", "an absolute path", "a Windows path", "a link", "a bomb", "a hidden file"],
)
def test_a_hostile_zip_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, into = tmp_path / "hostile.zip", tmp_path / "into"
    entry, content = hostile(name)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(NAME, b"{}")
        made.writestr(entry, content, zipfile.ZIP_DEFLATED)
    assert main(["verify", str(file)]) == 2
    assert "is refused" in capsys.readouterr().err
    into.mkdir()
    with pytest.raises(ValueError, match="is refused"):
        unpack(file, into)
    assert not list(into.iterdir())


def test_what_is_no_bundle(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.zip"
    text.write_text("no zip")
    empty = rezip(bundle, tmp_path / "empty.zip", dict.clear)

    def newer(files: dict[str, bytes]) -> None:
        files[NAME] = json.dumps({**json.loads(files[NAME]), "version": 2}).encode()

    def unlike(files: dict[str, bytes]) -> None:
        files[NAME] = json.dumps({**json.loads(files[NAME]), "files": 3}).encode()

    def evil(files: dict[str, bytes]) -> None:
        files[NAME] = json.dumps({**json.loads(files[NAME]), "study": "../x"}).encode()

    for file, told in (
        (tmp_path / "nowhere.zip", "nowhere.zip"),
        (text, "is no bundle"),
        (empty, "no readable manifest.json"),
        (rezip(bundle, tmp_path / "newer.zip", newer), "version 2, and this segtune reads"),
        (rezip(bundle, tmp_path / "unlike.zip", unlike), "manifest.json is damaged"),
        (rezip(bundle, tmp_path / "evil.zip", evil), "names no study"),
    ):
        assert main(["verify", str(file)]) == 2
        assert told in capsys.readouterr().err


def test_an_unfinished_study_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "results", {"base": (0.7,), "up": (0.8,)})
    write_trial(tmp_path / "results", "known", "up-s1", 0.8, role="arm", arm="up", seed=1,
                status="failed", git_dirty=True)  # fmt: skip
    assert main(["bundle", "known"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 failed" in said
    assert "The study is not finished: 1 trials" in said
    assert "nobody can run that again" in said
    assert main(["verify", "known.segtune.zip"]) == 0
    assert "was not finished when it was bundled" in capsys.readouterr().out
    assert main(["bundle", "nothing"]) == 2
    assert "no study 'nothing'" in capsys.readouterr().err


def test_verify_imports_neither_torch_nor_ray(bundle: Path) -> None:
    """Where they are installed; where they are not, test_light_install.py has it run."""
    code = (
        "import sys\n"
        "from segtune.cli import main\n"
        "code = main(['verify', sys.argv[1]])\n"
        "print({'torch', 'ray', 'segcore', 'transformers', 'cv2'} & sys.modules.keys())\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
