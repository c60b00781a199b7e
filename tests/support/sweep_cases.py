# ruff: noqa: E501
"""Generated wrong uses of the command line, each from its own number: see `test_sweep.py`.

A case is (what is written beforehand, the command). The number draws everything, so that a case
that failed once is the same case again.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segtune.results import tables

STUDY = "methods"
"""Name of the study whose tables are damaged."""
READERS = ("status", "report", "run", "show", "plan", "bundle", "data noise", "data describe")
HEAD = """
import sys
from dataclasses import replace
from optuna.distributions import *
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune import *

TINY = replace(
    nano(),
    data=SyntheticLiver(train=6, val=2, test=2, root="scenes"),
    schedule=Schedule(epochs=4, batch_size=4, warmup_steps=1),
)
"""
ODD = (
    "float('nan')", "float('inf')", "-1", "0", "1", "1.5", "10**9", "10**30", "1e308", "-0.0",
    "''", "' '", "'[/x]'", "'[a, b]'", "'../up'", "'a b'", "'\\u00fc'", "'\\x00'", "'x' * 300",
    "None", "True", "()", "[]", "{}", "set()", "(1, 2)", "('a',)", "((1, 2),)", "[[]]", "{'': ()}",
    "{'a': 1}", "{1: 2}", "b'x'", "object()", "object", "len", "TINY", "type(TINY)", "range(3)",
    "(x for x in ())", "lambda: 0", "...", "1j", "nano",
)  # fmt: skip
"""Values that no field, or few, are meant for."""
ABLATION: Mapping[str, str] = {
    "question": "'?'",
    "baseline": "TINY",
    "arms": "{'lora': {'method': 'lora'}, 'rank': {'method.rank': 4}}",
    "seeds": "(0, 1, 2)",
    "baseline_arm": "'base'",
    "folds": "None",
    "tune": "{}",
    "tune_each_arm": "{}",
    "tune_seed": "1000",
    "margin": "{'dice': 0.01}",
    "weights": "'images'",
    "contrasts": "(('lora', 'rank'),)",
    "reported": "()",
}
SEARCH: Mapping[str, str] = {
    "question": "'?'",
    "baseline": "TINY",
    "space": "{'method.rank': IntDistribution(2, 16)}",
    "num_samples": "4",
    "objectives": "(Objective('dice', 'maximize'),)",
    "constraints": "(AtMost('peak_memory_bytes', 8e9),)",
    "sampler": "'TPESampler'",
    "sampler_options": "{}",
    "scheduler": "None",
    "seed": "0",
    "finalists": "1",
    "finalist_seeds": "(100,)",
    "margin": "{}",
}
INNER: Mapping[str, Sequence[str]] = {
    "arms": (
        "{'x': {'method.rank': ODD}}", "{'x': {'method': ODD}}", "{'x': {ODD: 1}}", "{ODD: {}}",
        "{'x': ODD}", "{'x': {'seed': ODD}}", "factor(ODD, (1, 2))", "factor('method.rank', ODD)",
        "factorial({'method.rank': ODD})", "factorial(ODD)", "{'x': {'system.image_size': ODD}}",
        "{'x': {'data': ODD}}", "{'x': {'evaluation.select_on': ODD}}", "{'x': {'fold': ODD}}",
        "{'x': {'schedule.epochs': ODD}}", "{'x': {'optim.lr': ODD}}",
    ),
    "seeds": ("(ODD,)", "(0, ODD)", "Sequential(at_least=ODD)", "Sequential(at_most=ODD)"),
    "tune": ("{'lora': ODD}", "{'lora': {'method.lr': ODD}}", "{ODD: {'method.lr': (1e-3,)}}"),
    "tune_each_arm": ("{'optim.lr': ODD}", "{'optim.lr': (ODD,)}", "{ODD: (1, 2)}"),
    "margin": ("{'dice': ODD}", "{ODD: 0.1}"),
    "contrasts": ("(ODD,)", "(('lora', ODD),)"),
    "reported": (
        "(Reported(ODD, 'dice', 0.5, 'x', 'y'),)", "(Reported('a', 'dice', ODD, 'x', 'y'),)",
    ),
    "space": (
        "{ODD: IntDistribution(1, 2)}", "{'method.rank': ODD}",
        "{'method.rank': CategoricalDistribution(ODD)}",
        "{'method.rank': CategoricalDistribution((ODD, 4))}",
        "{'method.rank': IntDistribution(1, ODD)}", "{'optim.lr': FloatDistribution(ODD, 1.0)}",
        "{'optim.lr': FloatDistribution(1e-5, ODD, log=True)}",
        "{'method.rank': When(ODD, (1,), IntDistribution(1, 2))}",
        "{'method.rank': When('method', ODD, IntDistribution(1, 2))}",
    ),
    "objectives": ("(Objective(ODD, 'maximize'),)", "(Objective('dice', ODD),)", "(ODD,)"),
    "constraints": ("(AtMost('assd', ODD),)", "(AtLeast(ODD, 0.5),)", "(ODD,)"),
    "sampler_options": ("{'n_startup_trials': ODD}", "{ODD: 1}", "{'seed': ODD}"),
    "sampler": ("'CmaEsSampler'", "'GridSampler'", "'PartialFixedSampler'"),
    "scheduler": (
        "Asha(metric=ODD)", "Asha(grace_period=ODD)", "Asha(reduction_factor=ODD)",
        "MedianStopping(min_trials=ODD)",
    ),
    "finalist_seeds": ("(ODD,)", "Sequential(first=ODD)"),
}  # fmt: skip
"""Field -> what it may be made of, with an odd value in the place of ODD."""
RAISED = (
    "sys.exit(0)", "sys.exit('bye')", "raise SystemExit", "raise GeneratorExit", "raise StopIteration",
    "raise MemoryError", "raise RecursionError('deep')", "raise KeyError('k')", "1 / 0", "assert False",
    "raise BaseException('b')", "raise OSError(28, 'full')", "raise UnicodeDecodeError('a', b'', 0, 1, 'r')",
    "raise ValueError", "raise ExceptionGroup('g', [ValueError('v')])", "import nothing_like_it",
    "def f(): return f()\nf()", "return 1", "x = (", "\x00", "  x = 1", "from segtune import Nothing",
    "import asyncio; raise asyncio.CancelledError", "raise ValueError('[/red]\\nsecond line')",
)  # fmt: skip
"""Lines of a study's file."""
JSONS = (
    "[]", "null", "3", "{}", "", "{", '"x"', "true", "1e999", "NaN", '{"arms": 3}', '{"arms": []}',
    '{"seeds": {}}', '{"kind": "search"}', '{"kind": 7}', '{"schema_version": "2"}',
    '{"schema_version": null}', '{"baseline": [1]}', '{"scores": {"dice": 1}}', '{"scores": []}',
    '{"arms": {"a": 1}, "seeds": [0]}', '{"arms": {"a": {}}, "seeds": ["x"]}', '{"tune": {"a": 1}}',
    '{"objectives": [1]}', '{"margin": {"dice": "x"}}', '{"folds": "x"}', "[" * 2000, '{"study": 5}',
    '{"kind": "search", "num_samples": "x"}', '{"kind": "search", "num_samples": 3, "space": {"a": 1}}',
    '{"contrasts": [1]}', '{"sequential": 1}', '{"selection": 1}', '{"reported": [1]}', "\ufeff{}",
)  # fmt: skip
NUMBERS = (
    "nan", "inf", "-1", "0", "1e-9", "1e9", "", " ", "x", "1,5", "0x10", "1:2", "2:1", ":", "-0",
    "99999999999999999999", "[/b]", "+3", "\u0663",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One use of the command line."""

    command: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Written into the working folder beforehand."""
    spoil: Callable[[Path], None] | None = None
    """What becomes of finished tables below `results`; None: there are none."""


def cases() -> dict[str, Callable[[], Case]]:
    """Every case by its name: the kind, and the number that draws it."""
    return {
        f"{kind}-{number}": partial(_drawn, kind, number)
        for kind, (count, _) in KINDS.items()
        for number in range(count)
    }


def _drawn(kind: str, number: int) -> Case:
    return KINDS[kind][1](random.Random(f"{kind}-{number}"))


def _study_file(dice: random.Random) -> Case:
    kind, fields = dice.choice((("Ablation", ABLATION), ("Search", SEARCH)))
    given = dict(fields)
    for name in dice.sample(list(given), dice.choice((1, 1, 1, 2))):
        form = dice.choice(("ODD", *INNER.get(name, ()), *INNER.get(name, ())))
        given[name] = form.replace("ODD", dice.choice(ODD))
    if dice.random() < 0.1:
        del given[dice.choice(list(given))]
    if dice.random() < 0.1:
        given[dice.choice(("qestion", "Seeds", "arm", "fold", "metric"))] = dice.choice(ODD)
    made = ", ".join(f"{name}={value}" for name, value in given.items())
    text = f"{HEAD}\ndef study():\n    return {kind}({made})\n"
    return Case(
        (dice.choice(("run", "run", "show", "plan")), "mine.py"), {"mine.py": text.encode()}
    )


def _raising(dice: random.Random) -> Case:
    line, inside = dice.choice(RAISED), dice.random() < 0.5
    body = "\n    ".join(line.splitlines())
    text = f"{HEAD}\ndef study():\n    {body}\n" if inside else f"{HEAD}\n{line}\n"
    content = text.encode(dice.choice(("utf-8", "utf-8", "utf-16")))
    command = dice.choice(("run", "show", "plan", "data describe"))
    return Case((*command.split(), "mine.py"), {"mine.py": content})


def _yaml(dice: random.Random) -> Case:
    fields: dict[str, Any] = {
        "kind": "ablation",
        "question": "?",
        "baseline": {"preset": "nano", "set": {"method": "frozen"}},
        "baseline_arm": "frozen",
        "arms": {"lora": {"method": "lora", "method.rank": 8}},
        "seeds": [0, 1, 2],
    }
    odd: tuple[Any, ...] = (
        None, "", "x", -1, 0, 1e400, 10**30, True, [], {}, [[]], [None], {"a": None}, {"": 1},
        "[/x]", "\u00fc", {"preset": "nanno"}, {"preset": "nano", "set": {"method.rang": 1}},
        {"preset": "nano", "set": []}, {"at_least": 1}, {"lora": {"method": None}}, {"x": {"": 1}},
    )  # fmt: skip
    for name in dice.sample([*fields, "margin", "tune", "folds", "space"], dice.choice((1, 2))):
        fields[name] = dice.choice(odd)
    text = json.dumps(fields)
    if dice.random() < 0.3:
        place = dice.randrange(len(text))
        text = (
            text[:place]
            + dice.choice(("", "{", "]", ":", "\t", "&a *a", "!!python/x", "\x01"))
            + text[place + 1 :]
        )
    return Case((dice.choice(("run", "show")), "mine.yaml"), {"mine.yaml": text.encode()})


def _set(dice: random.Random) -> Case:
    fields = (
        "method", "method.rank", "method.lr", "system", "system.image_size", "system.rgb",
        "system.fusion.mode", "data", "data.size", "data.train", "data.root", "schedule.epochs",
        "schedule.batch_size", "optim.lr", "augment", "augment.transforms", "evaluation.every",
        "evaluation.select_on", "evaluation.external", "fold", "train_share", "seed", "precision", "",
        "nothing", "method.", ".", "data..size", "system.loss", "prompts", "__class__", "data.classes",
    )  # fmt: skip
    values = (
        *NUMBERS,
        *ODD,
        "lora",
        "l3d",
        "(0, 1)",
        "('dice', 'x')",
        "sam2",
        "frozen",
        "/nowhere",
    )
    given = [
        f"--set={dice.choice(fields)}={dice.choice(values)}" for _ in range(dice.choice((1, 1, 2)))
    ]
    if dice.random() < 0.1:
        given.append(f"--set={dice.choice(fields)}")
    return Case((dice.choice(("run", "run", "show")), "mine.py", *given), _tiny())


def _options(dice: random.Random) -> Case:
    options: Mapping[str, Sequence[str]] = {
        "run": ("--workers", "--cpus-per-worker", "--gpus-per-worker", "--concurrent", "--patience",
                "--num-samples", "--name", "--storage", "--address", "--price-per-hour", "--budget"),
        "show": ("--name", "--storage", "--num-samples", "--price-per-hour"),
        "status": ("--storage",),
        "plan": ("--difference", "--seed-sd", "--patient-sd", "--power", "--seeds", "--patients",
                 "--hours-per-trial", "--price-per-hour", "--metric", "--from", "--arm", "--truth"),
        "report": ("--storage", "--out", "--tables", "--port"),
        "predict": ("--precision", "--device", "--out"),
        "evaluate": ("--data", "--set", "--split", "--resolutions"),
        "export": ("--out",),
        "submit": ("--storage", "--address", "--workers", "--cpus-per-worker"),
        "stop": ("--address",),
        "verify": ("--expect", "--retrain"),
    }  # fmt: skip
    command = dice.choice(list(options))
    # Addresses that no cluster can have are refused at once; others would be waited for.
    odd = [n for n in NUMBERS if n not in ("1e9",)]
    given = [
        f"{o}={dice.choice(odd)}"
        for o in dice.sample(
            options[command], dice.choice((1, 1, 2)) if len(options[command]) > 1 else 1
        )
    ]
    study = dice.choice(
        ("mine.py", "mine.py", "mine", "", "demoo", "../x", "mine.yaml", "nowhere/", "\u00fc")
    )
    return Case((command, study, *given), _tiny())


def _tables(dice: random.Random) -> Case:
    command = dice.choice(READERS)
    which = dice.choice(tables.TRIAL_TABLES)
    how = dice.choice(list(DAMAGES))

    def spoil(storage: Path) -> None:
        folder = storage / STUDY / "tables" / which
        files = sorted(folder.glob("*.parquet"))
        DAMAGES[how](dice.choice(files))

    return Case(_reading(command), _tiny(), spoil)


def _study_json(dice: random.Random) -> Case:
    content = dice.choice(JSONS)
    partly = dice.random() < 0.5

    def spoil(storage: Path) -> None:
        path = storage / STUDY / "study.json"
        try:
            told = json.loads(content)
        except (ValueError, RecursionError):
            told = None
        if partly and isinstance(told, dict):
            path.write_text(json.dumps({**json.loads(path.read_text()), **told}))
        else:
            path.write_text(content)

    return Case(_reading(dice.choice(READERS)), _tiny(), spoil)


def _reading(command: str) -> tuple[str, ...]:
    """A command about the study whose tables are there."""
    words = command.split()
    of_file = words[0] in ("run", "show", "plan", "data")
    named = ["mine.py", "--name", STUDY] if of_file else [STUDY]
    more = ["--shift", "1"] if words[-1] == "noise" else []
    return (*words, *named, "--storage", "results", *more)


def _tiny() -> dict[str, bytes]:
    made = ", ".join(f"{name}={value}" for name, value in ABLATION.items())
    return {"mine.py": f"{HEAD}\ndef study():\n    return Ablation({made})\n".encode()}


def _other_columns(file: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), file)


def _other_types(file: Path) -> None:
    table = pq.read_table(file)
    columns = {
        name: pa.array([f"x{i}" for i in range(len(table))])
        if pa.types.is_floating(kind) or pa.types.is_integer(kind)
        else pa.array(range(len(table)))
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
    }
    pq.write_table(pa.table(columns), file)


def _lists(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(pa.table({n: [[1]] * len(table) for n in table.schema.names}), file)


def _nulls(file: Path) -> None:
    table = pq.read_table(file)
    nothing = {
        n: pa.nulls(len(table), t)
        for n, t in zip(table.schema.names, table.schema.types, strict=True)
    }
    pq.write_table(pa.table(nothing), file)


def _no_rows(file: Path) -> None:
    pq.write_table(pq.read_table(file)[:0], file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:200]),
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("no parquet"),
    "other columns": _other_columns,
    "other types": _other_types,
    "lists": _lists,
    "nulls": _nulls,
    "no rows": _no_rows,
    "folder": _folder,
    "a name": lambda file: file.rename(file.with_name("x.parquet")),
    "another name": lambda file: file.rename(file.with_name("x-ax.parquet")),
}
KINDS: Mapping[str, tuple[int, Callable[[random.Random], Case]]] = {
    "study": (150, _study_file),
    "raising": (40, _raising),
    "yaml": (50, _yaml),
    "set": (80, _set),
    "options": (80, _options),
    "tables": (60, _tables),
    "json": (60, _study_json),
}
"""Kind -> how many, and what draws one."""
