"""The files in cluster/ are what Kubernetes, Ray, SLURM, Docker and Prometheus would take.

Nothing here starts a cluster: files are held against schemas, linters and commands' own parsers.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from ray.scripts.scripts import cli as ray_cli
from ray.scripts.symmetric_run import symmetric_run
from support.kuberay_schema import SCHEMAS

from segtune.cli import _parser
from segtune.execution.training.trainable import DRIVER_MEMORY
from segtune.observers.prometheus import BEST_SCORE, SCORE, SHOWN, STATE

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
YAMLS = sorted(str(f.relative_to(CLUSTER)) for f in CLUSTER.rglob("*.y*ml"))
RAY_UP = ["ray-up/aws.yaml", "ray-up/on_premise.yaml"]
PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
README = (CLUSTER / "README.md").read_text()
SBATCH = CLUSTER / "slurm" / "segtune.sbatch"
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
DASHBOARD = CLUSTER / "monitoring" / "grafana-studies.json"


def load(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def faults(schema: Any, value: Any) -> list[str]:
    return [f"{e.json_path}: {e.message}" for e in Draft7Validator(schema).iter_errors(value)]


def version(package: str) -> str:
    found = re.search(rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found.group(1)


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def checks_segtune(command: Sequence[str]) -> None:
    if list(command[1:3]) == ["-m", "segtune"]:
        command = command[2:]
    assert command[0].endswith("segtune")
    filled = [PLACEHOLDER.sub("demo", word) for word in command[1:]]
    try:
        _parser().parse_args(filled)
    except SystemExit:
        pytest.fail(f"segtune does not take {shlex.join(command)}")


def checks_ray(command: Sequence[str]) -> None:
    """Parse a `ray` command line without running it; what follows `--` too."""
    assert command[0].endswith("ray")
    filled = [PLACEHOLDER.sub("demo", word) for word in command[1:]]
    if filled[0] == "symmetric-run":
        end = filled.index("--")
        context = symmetric_run.make_context("symmetric-run", filled[1:end])
        start = ["start", *context.params["ray_args_and_entrypoint"]]
        refused = {"--head", "--node-ip-address", "--port", "--block"}
        assert not refused & {word.partition("=")[0] for word in start}
        ray_cli.commands["start"].make_context("start", start[1:])
        return
    found: Any = ray_cli
    while hasattr(found, "commands"):
        name = filled.pop(0)
        assert name in found.commands, f"ray has no {name!r}: {shlex.join(command)}"
        found = found.commands[name]
    found.make_context(found.name, filled)  # raises what Ray would say


def lines_of_readme() -> Iterator[str]:
    for block in re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()


# YAML and schemas


@pytest.mark.parametrize("name", YAMLS)
def test_every_yaml_file_is_held_against_a_schema(name: str) -> None:
    assert load(name)
    assert name in {*SCHEMAS, *RAY_UP, "monitoring/prometheus.yml"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_kubernetes_objects_have_known_fields_only(name: str) -> None:
    assert faults(SCHEMAS[name], load(name)) == []


@pytest.mark.parametrize(
    ("path", "field"),
    [((), "metdata"), (("spec",), "workerGroupSpec"), (("spec", "workerGroupSpecs", 0), "replica")],
)
def test_a_misspelt_field_is_found(path: tuple[str | int, ...], field: str) -> None:
    cluster = load("kuberay/raycluster.yaml")
    inner = cluster
    for step in path:
        inner = inner[step]
    inner[field] = 1
    assert any(field in fault for fault in faults(SCHEMAS["kuberay/raycluster.yaml"], cluster))


def crd(kind: str) -> Any:
    """The CRD's schema of version v1, unknown fields refused."""
    folder = os.environ.get("SEGTUNE_KUBERAY_CRDS")
    if folder is None:
        pytest.skip("SEGTUNE_KUBERAY_CRDS names no folder with KubeRay's CRDs")
    text = (Path(folder) / f"ray.io_{kind}.yaml").read_text()
    (found,) = [v for v in yaml.safe_load(text)["spec"]["versions"] if v["name"] == "v1"]
    schema = found["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own
    refuse_unknown(schema)
    return schema


def refuse_unknown(node: Any) -> None:
    if isinstance(node, list):
        for one in node:
            refuse_unknown(one)
    elif isinstance(node, dict):
        if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node["additionalProperties"] = False
        if node.get("x-kubernetes-int-or-string"):
            node["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        for one in node.values():
            refuse_unknown(one)


def unknown(ours: Any, theirs: Any, path: str) -> list[str]:
    """Fields of our schema that the CRD has not."""
    out = []
    for field, inner in ours.get("properties", {}).items():
        if field not in theirs["properties"]:
            out.append(f"{path}.{field}")
        elif path or field == "spec":  # not into metadata
            out += unknown(inner, theirs["properties"][field], f"{path}.{field}")
    if "items" in ours:
        out += unknown(ours["items"], theirs["items"], f"{path}[]")
    return out


@pytest.mark.parametrize("kind", ["raycluster", "rayjob"])
def test_against_kuberays_own_crds(kind: str) -> None:
    schema = crd(f"{kind}s")
    name = f"kuberay/{kind}.yaml"
    assert faults(schema, load(name)) == []
    assert unknown(SCHEMAS[name], schema, "") == []


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_takes_its_files(name: str) -> None:
    schema = json.loads((files("ray") / "autoscaler" / "ray-schema.json").read_text())
    config = load(name)
    assert faults(schema, config) == []
    # Ray's schema leaves these two open for clouds that it does not know.
    for field in ("provider", "auth"):
        assert set(config[field]) <= set(schema["properties"][field]["properties"])
    assert faults(schema, config | {"max_worker": 1})
    assert faults(schema, config | {"docker": config["docker"] | {"img": "x"}})


# What the files agree on


def test_a_job_gets_the_cluster_of_the_other_file() -> None:
    job, cluster = load("kuberay/rayjob.yaml"), load("kuberay/raycluster.yaml")
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_versions_are_those_of_the_constraints() -> None:
    assert load("kuberay/raycluster.yaml")["spec"]["rayVersion"] == version("ray")
    shown = re.findall(r"Ray (\d+\.\d+\.\d+)", README)
    assert set(shown) == {version("ray")}
    (python,) = re.findall(r"ARG PYTHON=(\S+)", DOCKERFILE)
    assert f'requires-python = ">={python}"' in (ROOT / "pyproject.toml").read_text()


def test_drivers_fit_on_the_head_and_not_on_spot_nodes() -> None:
    spec = load("kuberay/raycluster.yaml")["spec"]
    head = spec["headGroupSpec"]
    limits = head["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert int(limits["memory"].removesuffix("Gi")) * 2**30 > 8 * DRIVER_MEMORY
    assert head["rayStartParams"]["num-cpus"] == "0"
    groups = {g["groupName"]: g for g in spec["workerGroupSpecs"]}
    assert int(groups["gpu-spot"]["rayStartParams"]["memory"]) < DRIVER_MEMORY
    types = load("ray-up/aws.yaml")["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    for one in types.values():
        is_spot = "InstanceMarketOptions" in one["node_config"]
        assert (one["resources"].get("memory", DRIVER_MEMORY) < DRIVER_MEMORY) == is_spot


def test_a_worker_asks_for_no_more_than_a_pod_has() -> None:
    job = load("kuberay/rayjob.yaml")["spec"]
    args = _parser().parse_args(shlex.split(job["entrypoint"].replace("<STUDY>", "demo"))[1:])
    for group in job["rayClusterSpec"]["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert args.cpus_per_worker <= int(limits["cpu"])
        assert args.gpus_per_worker <= int(limits["nvidia.com/gpu"])
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_shared_storage_is_mounted_where_results_go() -> None:
    spec = load("kuberay/raycluster.yaml")["spec"]
    claim = load("kuberay/storage.yaml")["metadata"]["name"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        (mount,) = pod["containers"][0]["volumeMounts"]
        assert mount == {"name": volume["name"], "mountPath": "/mnt/segtune"}
    for name in RAY_UP:
        assert "--volume /mnt/segtune:/mnt/segtune" in load(name)["docker"]["run_options"]


def test_tokens_are_asked_for_everywhere() -> None:
    assert load("kuberay/raycluster.yaml")["spec"]["authOptions"] == {"mode": "token"}
    for name in RAY_UP:
        config = load(name)
        assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
        assert list(config["file_mounts"].values()) == ["~/.ray/auth_token"]
    assert "export RAY_AUTH_MODE=token" in SBATCH.read_text()


def test_dashboards_listen_on_loopback() -> None:
    texts = [f.read_text() for f in CLUSTER.rglob("*") if f.is_file()]
    hosts = [h for t in texts for h in re.findall(r"dashboard-host[= ](\S+)", t)]
    assert hosts
    assert set(hosts) == {"127.0.0.1"}
    assert not [t for t in texts if "0.0.0.0" in t]


def test_placeholders_are_explained() -> None:
    used = {
        found
        for file in CLUSTER.rglob("*")
        if file.is_file() and file.name != "README.md"
        for found in PLACEHOLDER.findall(file.read_text())
    }
    assert sorted(p for p in used if f"`{p}`" not in README) == []
    assert sorted(set(PLACEHOLDER.findall(README)) - used) == []


def test_the_readme_maps_every_file() -> None:
    names = [str(f.relative_to(CLUSTER)) for f in CLUSTER.rglob("*") if f.is_file()]
    assert [n for n in names if n != "README.md" and f"`{n}`" not in README] == []
    for path in re.findall(r"(?<![\w/.])cluster/[\w./-]+\w", README):
        assert (ROOT / path).exists(), path


# Commands


def test_commands_of_the_readme_are_real() -> None:
    ray = segtune = 0
    for line in lines_of_readme():
        words = shlex.split(line.partition(" #")[0])
        if words and words[0].endswith("bin/ray"):
            ray += 1
            checks_ray(words)
            if "--" in words:
                checks_segtune(words[words.index("--") + 1 :])
        elif words and words[0].endswith("bin/segtune"):
            segtune += 1
            checks_segtune(words)
    assert ray >= 5
    assert segtune >= 4


@pytest.mark.parametrize("name", RAY_UP)
def test_start_commands_of_ray_up_are_real(name: str) -> None:
    config = load(name)
    for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
        checks_ray(shlex.split(line))


def test_the_jobs_command_is_real() -> None:
    checks_segtune(shlex.split(load("kuberay/rayjob.yaml")["spec"]["entrypoint"]))


@pytest.mark.parametrize("command", ["ray symmetric-run --address a:1 --wait 3 -- x", "ray go"])
def test_an_invented_option_is_found(command: str) -> None:
    with pytest.raises(BaseException, match=r"(?i)no such option|has no"):
        checks_ray(shlex.split(command))


# SLURM


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """A place where the script runs as on the first node, up to srun."""
    bin_ = tmp_path / "venv" / "bin"
    bin_.mkdir(parents=True)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("t")
    (bin_ / "activate").write_text(f'export PATH="{bin_}:$PATH"\n')
    script = SBATCH.read_text().replace("<YOUR_VENV>", str(bin_.parent))
    (tmp_path / "job").write_text(script.replace("<SHARED_STORAGE>", "/shared place"))
    return tmp_path


def program(slurm: Path, name: str, text: str) -> None:
    file = slurm / "venv" / "bin" / name
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)


def submitted(slurm: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(slurm), "PATH": os.environ["PATH"], "HEAD_IP": "10.0.0.7"}
    env |= {"SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "32", "SLURM_GPUS_ON_NODE": "4"}
    command = ["bash", str(slurm / "job"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd=slurm)


RUN_ENTRYPOINT = 'while [ "$1" != -- ]; do shift; done; shift; "$@"'


def test_slurm_starts_ray_and_the_study(slurm: Path) -> None:
    program(slurm, "srun", f'printf "%s\\0" "$@" > "$HOME/srun"; {RUN_ENTRYPOINT}')
    program(slurm, "segtune", 'printf "%s\\0" segtune "$@" > "$HOME/segtune"')
    done = submitted(slurm, "demo", "--workers", "2")
    assert done.returncode == 0, done.stderr
    ray = (slurm / "srun").read_text().split("\0")[:-1]
    checks_ray(ray)
    assert ray[ray.index("--address") + 1] == "10.0.0.7:6379"
    assert ray[ray.index("--num-gpus") + 1] == "4"
    segtune = (slurm / "segtune").read_text().split("\0")[:-1]
    checks_segtune(segtune)
    args = _parser().parse_args(segtune[1:])
    assert (args.study, args.workers, args.address) == (["demo"], "2", "10.0.0.7:6379")
    assert str(args.storage) == "/shared place/results"


@pytest.mark.parametrize("srun", ["exit 0", f"{RUN_ENTRYPOINT}; exit 0"])
def test_slurm_sees_a_study_that_did_not_end(slurm: Path, srun: str) -> None:
    program(slurm, "srun", srun)  # Ray's command ends with 0 where Ray did not start
    program(slurm, "segtune", "exit 1")
    done = submitted(slurm, "demo")
    assert done.returncode == 1
    assert "did not run to its end" in done.stderr


def test_slurm_says_what_is_missing(slurm: Path) -> None:
    done = submitted(slurm)
    assert (done.returncode, "usage" in done.stderr) == (2, True)
    (slurm / ".ray" / "auth_token").unlink()
    done = submitted(slurm, "demo")
    assert (done.returncode, "ray get-auth-token --generate" in done.stderr) == (2, True)


def test_slurm_script_passes_shellcheck() -> None:
    done = subprocess.run([tool("shellcheck"), str(SBATCH)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# Docker


def test_dockerfile_passes_hadolint() -> None:
    command = [tool("hadolint"), str(CLUSTER / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_built_from_files_that_are_there_and_let_in() -> None:
    ignore = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_has_the_wheels_packages() -> None:
    (line,) = re.findall(r"^packages = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.M)
    roots = {package.partition("/")[0] for package in json.loads(line)}
    assert roots <= set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))


def test_the_image_has_the_trees_own_optimizer() -> None:
    """Its wheel is built from the tree, and no index is asked for a package of its name."""
    assert (
        "pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . ./model/srft_galore" in DOCKERFILE
    )
    (code,) = re.findall(r'python -c "(.+)"', DOCKERFILE)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    asked = {re.split(r"[^\w-]", line)[0] for line in done.stdout.splitlines()}
    assert {"torch", "ray", "numpy"} <= asked
    assert "srft-galore" not in asked


def test_the_image_runs_as_the_user_that_pods_ask_for() -> None:
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"--uid {user} " in DOCKERFILE
    spec = load("kuberay/raycluster.yaml")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        context = group["template"]["spec"]["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, int(user))


def test_everything_in_the_image_is_pinned() -> None:
    steps = re.split(r"&&|;|\n", DOCKERFILE.replace("\\\n", " "))
    installs = [step for step in steps if "pip install" in step]
    assert len(installs) == 3
    for line in installs:
        assert "constraints.txt" in line or "segtune/wheel" in line
    assert "http" not in DOCKERFILE


def test_the_image_has_what_trains() -> None:
    assert "*p['dependencies'], *p['optional-dependencies']['train']]" in DOCKERFILE


# Monitoring


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_the_dashboard_shows_every_gauge_of_a_trial_and_no_other() -> None:
    shown = {n for e in expressions() for n in re.findall(r"\bray_(segtune_\w+)", e)}
    assert shown == {*SHOWN, SCORE, BEST_SCORE, STATE}


def test_the_dashboard_shows_metrics_that_ray_has() -> None:
    """Ray's own dashboards, which come with it, name every metric but segtune's."""
    folder = files("ray") / "dashboard" / "modules" / "metrics" / "dashboards"
    text = "".join(f.read_text() for f in folder.iterdir() if f.name.endswith("_panels.py"))
    names = r"\b(?!ray_segtune)(?:ray|autoscaler)_\w+"
    shown = {n for e in expressions() for n in re.findall(names, e)}
    assert len(shown) > 15
    assert sorted(n for n in shown if not re.search(rf"\b{n}\b", text)) == []


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["targets"]
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]+)", json.dumps(panels))) <= variables


def test_prometheus_takes_its_files(tmp_path: Path) -> None:
    promtool = tool("promtool")
    config = CLUSTER / "monitoring" / "prometheus.yml"
    subprocess.run([promtool, "check", "config", str(config)], check=True, capture_output=True)
    rules = [{"record": f"panel:{i}", "expr": e} for i, e in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
