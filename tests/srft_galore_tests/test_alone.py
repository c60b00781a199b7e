"""The wheel of the optimizer, where nothing else is installed but torch."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.light_install import brought, link

FOLDER = Path(__file__).parents[2] / "model" / "srft_galore"
README = (FOLDER / "README.md").read_text()
_CODE = """
import importlib.metadata as about, json, sys
exec(sys.argv[1])
import srft_galore
packages = sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
print(json.dumps([srft_galore.__file__, about.version("srft-galore"), packages]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("srft_galore-*.whl")
    return built


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    packages = [FOLDER, *(f.parent for f in FOLDER.glob("*/__init__.py"))]
    own = {f for package in packages for f in package.glob("*.py")} | {FOLDER / "py.typed"}
    assert names == {f"srft_galore/{f.relative_to(FOLDER)}" for f in own}


def test_ten_lines_of_the_readme_run_with_torch_alone(wheel: Path, tmp_path: Path) -> None:
    place, torch = tmp_path / "site", tmp_path / "torch"
    zipfile.ZipFile(wheel).extractall(place)
    torch.mkdir()
    needed = importlib.metadata.PathDistribution(next(place.glob("*.dist-info"))).requires or []
    assert [re.split(r"[^\w-]", one)[0] for one in needed] == ["torch"]
    link(torch, brought("torch"))
    (first, *_) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in first.splitlines() if line]) <= 12
    done = subprocess.run(
        [sys.executable, "-S", "-c", _CODE, first],  # -S: no site-packages
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{torch}"},
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    file, version, packages = json.loads(last)
    assert "of state, 0 steps skipped" in said[-1]
    assert file == str(place / "srft_galore" / "__init__.py")
    assert wheel.name.startswith(f"srft_galore-{version}-")
    assert not {"numpy", "segcore", "segtune", "transformers"} & set(packages)
