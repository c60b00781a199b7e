"""The layout holds: nothing shadows the standard library, and imports point one way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import imports

ROOT = Path(__file__).parents[2]


def loaded_by(module: str, cwd: Path = ROOT) -> set[str]:
    """Top-level packages that are loaded once `module` is imported in a fresh process."""
    code = (
        f"import sys, json, {module}; print(json.dumps(sorted({{m.partition('.')[0] "
        "for m in sys.modules if sys.modules[m] is not None})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def modules(package: str, root: str) -> list[str]:
    files = sorted((ROOT / root / package).rglob("*.py"))
    names = [".".join(f.relative_to(ROOT / root).with_suffix("").parts) for f in files]
    return [n.removesuffix(".__init__") for n in names if not n.endswith("__main__")]


@pytest.mark.parametrize("folder", ["platform", "model"])
def test_source_roots_are_not_packages(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


def test_platform_is_the_standard_librarys() -> None:
    code = "import platform, sys; print(platform.__file__, platform.system())"
    for command in ([sys.executable, "-c", code], [sys.executable, "-m", "platform"]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert str(ROOT / "platform") not in done.stdout


def test_srft_galore_imports_torch_and_the_standard_library() -> None:
    """Its wheel, that is; examples show others' trainers, and are not in it."""
    own = {"srft_galore", "torch"}
    for name in modules("srft_galore", "model"):
        if name.startswith("srft_galore.examples."):
            continue
        path = ROOT / "model" / Path(*name.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        foreign = {i.partition(".")[0] for i in imports(file)} - own - sys.stdlib_module_names
        assert not foreign, f"{name} imports {foreign}"


def test_segcore_knows_no_ray() -> None:
    loaded = loaded_by(", ".join(modules("segcore", "model")))
    assert not loaded & {"ray", "optuna", "plotly", "pyarrow", "segtune", "search_spaces"}


@pytest.mark.parametrize(
    "module",
    [
        "segtune.study.overrides",
        "segtune.study.spec",
        "segtune.study.validate",
        "segtune.search.trial_history",
    ],
)
def test_specs_work_without_torch(module: str) -> None:
    assert not loaded_by(module) & {"ray", "torch", "segcore"}


@pytest.mark.parametrize("module", ["segcore.data", "segcore.systems", "segcore.methods"])
def test_tables_of_names_load_no_implementation(module: str) -> None:
    assert not loaded_by(module) & {"torch", "transformers", "sam2", "peft"}


@pytest.mark.parametrize("module", ["segtune.report", "segtune.results.status.study"])
def test_results_are_read_without_what_made_them(module: str) -> None:
    assert not loaded_by(module) & {"ray", "torch", "segcore"}


MAY_IMPORT = {
    "study": set(),
    "results": {"study"},
    "search": {"study", "results"},
    "execution": {"study", "results", "search"},
    "report": {"study", "results"},
    "observers": {"study", "results", "search", "execution"},
    "jobs": {"study", "results", "execution"},
    "doctor": {"study", "results", "execution"},
}
"""Package of segtune -> the others that it may import; all may import `extras`, and `commands` may
import all."""


def test_imports_go_one_way() -> None:
    """What a study is knows nothing of how it is stored, searched or run; and so on."""
    for package, others in MAY_IMPORT.items():
        for file in (ROOT / "platform" / "segtune" / package).rglob("*.py"):
            for name in imports(file):
                parts = name.split(".")
                if parts[0] == "segtune" and len(parts) > 1:
                    assert parts[1] in {package, "extras", *others}, f"{file} imports {name}"


REPORT_MAY_IMPORT = {
    "evidence": ("segtune.report.evidence", "segtune.report.page.text"),
    "page": ("segtune.report.page", "segtune.report.evidence.estimate"),
    "parts": ("segtune.report.parts", "segtune.report.evidence", "segtune.report.page"),
}
"""Package of the report -> what of the report it may import."""


def test_a_reports_conclusions_know_no_part_and_its_page_no_study() -> None:
    for package, allowed in REPORT_MAY_IMPORT.items():
        for file in (ROOT / "platform" / "segtune" / "report" / package).rglob("*.py"):
            for name in imports(file):
                if name.startswith("segtune.report."):
                    assert name.startswith(allowed), f"{file} imports {name}"


def test_every_package_has_its_rule() -> None:
    packages = {f.parent.name for f in (ROOT / "platform" / "segtune").glob("*/__init__.py")}
    assert packages == {*MAY_IMPORT, "commands"}


def test_ray_stays_in_its_packages() -> None:
    allowed = {"ray.tune": {"search", "execution"}, "ray.train": {"execution"}}
    segtune = ROOT / "platform" / "segtune"
    for file in segtune.rglob("*.py"):
        package = file.relative_to(segtune).parts[0]
        for name in imports(file):
            for library, packages in allowed.items():
                if name == library or name.startswith(f"{library}."):
                    assert package in packages, f"{file} imports {name}"


def test_only_the_cli_knows_search_spaces() -> None:
    for root in ("platform", "model"):
        for file in (ROOT / root).rglob("*.py"):
            found = [i for i in imports(file) if i.partition(".")[0] == "search_spaces"]
            assert not found, f"{file} imports {found}"


OPERATORS_SEEN_BY = (
    "torch._subclasses.fake_tensor",
    "torch.utils._python_dispatch",
    "torch.utils._pytree",
)
"""How torch lets operators be seen, for which it has no other names; `constraints.txt` pins it."""


def test_no_private_name_of_a_dependency() -> None:
    own = {"srft_galore", "segcore", "segtune", "search_spaces"}
    for root in ("platform", "model", "search_spaces", "tests"):
        for file in (ROOT / root).rglob("*.py"):
            for name in imports(file):
                if file.parent.name == "fake_cuda" and name.startswith(OPERATORS_SEEN_BY):
                    continue
                parts = name.split(".")
                private = [p for p in parts if p.startswith("_") and not p.startswith("__")]
                assert parts[0] in own or not private, f"{file} imports {name}"
