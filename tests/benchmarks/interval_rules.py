"""Which rule should decide a difference over seeds and patients: level and power of each.

    .venv/bin/python tests/benchmarks/interval_rules.py \
        --json tests/benchmarks/results/interval_rules.json

Studies of 15 kinds without a true difference, with 3 to 10 seeds and 5 to 60 patients; each rule is
given the same differences by seed and patient. `report` is the report's own (`two_way`); what the
others are stands beside them in `RULES`. Level: the share of studies that a rule tells at 5 % and
at 1 % (several arms ask for such levels). Power: the share that it tells at 5 % where there is a
difference that a t test with the degrees of freedom of the fewer, seeds or patients, finds in some
80 %; mean of both directions. Rules that draw are given a fifth of the studies.

Shape suffixes: N studies, S seeds, P patients, B draws.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import special, stats

from segtune.report.evidence.crossed.two_way import Term, over_patients, two_way
from segtune.report.evidence.stats import Values, effective

sys.path.insert(0, str(Path(__file__).parents[1]))  # support

from support.crossed_effects import KINDS, weights  # noqa: E402

STUDIES, RESAMPLED, DRAWS = 2000, 400, 399
SEEDS, PATIENTS = (3, 5, 10), (5, 8, 20, 60)


@dataclass(frozen=True, eq=False)
class Studies:
    """Differences by seed and patient, and what tests ask of them."""

    cells_NSP: Values
    weights_P: Values

    @cached_property
    def mean_N(self) -> Values:
        return np.asarray((self.cells_NSP @ self.weights_P).mean(axis=1))

    @cached_property
    def a(self) -> Term:
        """The square of the standard error over seeds."""
        per_seed_NS = self.cells_NSP @ self.weights_P
        n, s = per_seed_NS.shape
        return Term(per_seed_NS.var(axis=1, ddof=1) / s, np.full(n, s - 1.0))

    @cached_property
    def patients(self) -> tuple[Term, Values]:
        return over_patients(self.cells_NSP.mean(axis=1), self.weights_P)

    @property
    def b(self) -> Term:
        """Over patients."""
        return self.patients[0]

    @cached_property
    def e(self) -> Term:
        """Of what is left of either."""
        n, s, p = self.cells_NSP.shape
        left = self.cells_NSP - self.cells_NSP.mean(axis=2, keepdims=True)
        left -= left.mean(axis=1, keepdims=True)
        free = (s - 1.0) * (p - 1)
        square_N = (left**2).sum(axis=(1, 2)) / free / s * (self.weights_P**2).sum()
        return Term(square_N, np.full(n, free))

    def chunk(self, n: int) -> "Studies":
        """The first n."""
        return Studies(self.cells_NSP[:n], self.weights_P)


P = Callable[[Studies, Values], Values]
"""p of each study, given how far its mean is from 0."""


def t_test(m_N: Values, square_N: Values, freedom_N: Values | float) -> Values:
    return np.asarray(2 * special.stdtr(freedom_N, -np.abs(m_N) / np.sqrt(square_N)))


def freedom(square_N: Values, *terms: Term) -> Values:
    return np.asarray(square_N**2 / sum(t.square_N**2 / t.freedom_N for t in terms))


def report(s: Studies, m_N: Values) -> Values:
    found = two_way(s.a, s.b, s.e, s.patients[1])
    return np.asarray(2 * np.minimum(found.p_above(m_N), found.p_below(-m_N)))


def reml(s: Studies, m_N: Values) -> Values:
    """The first of the report's three tests."""
    found = two_way(s.a, s.b, s.e, s.patients[1])
    return t_test(m_N, found.errors_TN[0] ** 2, found.freedoms_TN[0])


def both_alone(s: Studies, m_N: Values) -> Values:
    return np.maximum(t_test(m_N, *s.a), t_test(m_N, *s.b))


def quasi_f(floor: str) -> P:
    def rule(s: Studies, m_N: Values) -> Values:
        low_N = {
            "rest": s.e.square_N,
            "larger": np.maximum(s.a.square_N, s.b.square_N),
            "fewer": np.maximum(s.a.square_N, s.b.square_N),
        }[floor]
        v_N = np.maximum(s.a.square_N + s.b.square_N - s.e.square_N, low_N)
        if floor == "fewer":
            return t_test(m_N, v_N, np.minimum(s.a.freedom_N, s.b.freedom_N))
        return t_test(m_N, v_N, freedom(v_N, s.a, s.b, s.e))

    return rule


def hall(s: Studies, m_N: Values, square_N: Values, freedom_N: Values) -> Values:
    """Hall's transformation of t over patients, by the plain skewness of the sample."""
    k_N = s.patients[1] / (1 + 8 / s.weights_P.size)
    t_N = m_N / np.sqrt(square_N)
    free_N = t_N + k_N * (t_N**2 / 3 + 1 / 6) + k_N**2 * t_N**3 / 27
    return np.asarray(2 * special.stdtr(freedom_N, -np.abs(free_N)))


def min_f(s: Studies, m_N: Values) -> Values:
    v_N = s.a.square_N + s.b.square_N
    return t_test(m_N, v_N, freedom(v_N, s.a, s.b))


def before(s: Studies, m_N: Values) -> Values:
    """With the jackknife's square over patients."""
    n, w_P = s.weights_P.size, s.weights_P
    moved_NP = w_P / (1 - w_P) * (s.cells_NSP.mean(axis=1) - s.mean_N[:, None])
    b = Term((n - 1) ** 2 / n * moved_NP.var(axis=1, ddof=1), np.array([effective(w_P) - 1]))
    k_N = stats.kstat((n - 1) * moved_NP, 3, axis=1) / n**2 / b.square_N**1.5
    old = Studies(s.cells_NSP, w_P)
    old.__dict__["patients"] = b, k_N * (1 + 8 / n)
    p_N = np.maximum(min_f(old, m_N), both_alone(old, m_N))
    return np.maximum(p_N, hall(old, m_N, *b))


def pivotal(s: Studies, m_N: Values) -> Values:
    """Weerahandi's: variances are what chi-squares make of the squares, at least the larger."""
    at_B = (np.arange(DRAWS) + 0.5) / DRAWS
    points = at_B, (at_B * DRAWS * 0.75488) % 1, (at_B * DRAWS * 0.56984) % 1
    a, b, e = (
        t.square_N[:, None] * f / special.chdtri(f, 1 - u_B)
        for t, u_B in zip((s.a, s.b, s.e), points, strict=True)
        for f in [t.freedom_N[:, None]]
    )
    v_NB = np.maximum(a + b - e, np.maximum(a, b))
    return np.asarray((2 * special.ndtr(-np.abs(m_N[:, None]) / np.sqrt(v_NB))).mean(axis=1))


def pigeonhole(s: Studies, m_N: Values) -> Values:
    """Seeds and patients drawn with replacement; p by percentiles."""
    rng, (_, n, p) = np.random.default_rng(0), s.cells_NSP.shape
    seeds_BS = rng.multinomial(n, np.full(n, 1 / n), DRAWS) / n
    patients_BP = rng.multinomial(p, np.full(p, 1 / p), DRAWS) * s.weights_P
    patients_BP /= patients_BP.sum(axis=1, keepdims=True)
    drawn_NB = np.einsum("nsb,bs->nb", s.cells_NSP @ patients_BP.T, seeds_BS)
    below_N = (drawn_NB <= (s.mean_N - m_N)[:, None]).sum(axis=1)
    return np.asarray(2 * np.minimum(below_N + 1, DRAWS - below_N + 1) / (DRAWS + 1))


def sign_flips(s: Studies, m_N: Values) -> Values:
    """Signs of the seeds' and of the patients' differences flipped at random, their means added."""
    rng, (_, n, p) = np.random.default_rng(0), s.cells_NSP.shape
    seeds_NS = s.cells_NSP @ s.weights_P + (m_N - s.mean_N)[:, None]
    patients_NP = s.cells_NSP.mean(axis=1) + (m_N - s.mean_N)[:, None]
    u_BS, v_BP = rng.choice([-1.0, 1.0], (DRAWS, n)), rng.choice([-1.0, 1.0], (DRAWS, p))
    flipped_NB = seeds_NS @ u_BS.T / n + patients_NP @ (v_BP * s.weights_P).T
    as_far_N = (np.abs(flipped_NB) >= np.abs(m_N)[:, None] - 1e-12).sum(axis=1)
    return np.asarray((as_far_N + 1) / (DRAWS + 1))


RULES: dict[str, tuple[str, P]] = {
    "report": ("the most careful of REML, seeds alone, and patients alone by Johnson", report),
    "before": ("the most careful of min F', both alone, and patients alone by Hall", before),
    "min F'": ("both squares added", min_f),
    "quasi-F": ("both squares less the rest's, at least the rest's", quasi_f("rest")),
    "quasi-F, high": ("both squares less the rest's, at least the larger", quasi_f("larger")),
    "two-way cluster": ("that with the degrees of freedom of the fewer", quasi_f("fewer")),
    "REML": ("mixed model: parts that do not vary are dropped", reml),
    "REML and alone": (
        "and seeds alone and patients alone",
        lambda s, m: np.maximum(reml(s, m), both_alone(s, m)),
    ),
    "REML and Hall": (
        "and seeds alone, and patients alone by Hall",
        lambda s, m: np.maximum.reduce([reml(s, m), both_alone(s, m), hall(s, m, *s.b)]),
    ),
    "pivotal": ("generalized pivotal quantity", pivotal),
    "bootstrap": ("of seeds and patients (pigeonhole)", pigeonhole),
    "sign flips": ("of seeds and patients", sign_flips),
    "seeds alone": ("paired t test over seeds", lambda s, m: t_test(m, *s.a)),
    "patients alone": ("paired t test over patients", lambda s, m: t_test(m, *s.b)),
}
SLOW = ("bootstrap", "sign flips", "pivotal")


def measure(kind: str, seeds: int, patients: int) -> dict[str, list[float]]:
    """Rule -> level at 5 % and at 1 %, and power, in %."""
    w_P = weights(kind, patients)
    many_NSP = KINDS[kind](np.random.default_rng(1), 4000, seeds, patients)
    many = (many_NSP @ w_P).mean(axis=1)
    rng = np.random.default_rng(100 * seeds + patients)
    cells_NSP = KINDS[kind](rng, STUDIES, seeds, patients) - many.mean()
    fewer = min(seeds, effective(w_P)) - 1
    size = float(special.stdtrit(fewer, [0.975, 0.8]).sum() * many.std())
    out = {}
    for name, (_, rule) in RULES.items():
        s = Studies(cells_NSP, w_P).chunk(RESAMPLED if name in SLOW else STUDIES)
        p_N = rule(s, s.mean_N)
        found = np.mean([rule(s, s.mean_N + sign * size) < 0.05 for sign in (1, -1)])
        shares = (p_N < 0.05).mean(), (p_N < 0.01).mean(), found
        out[name] = [round(100 * float(x), 2) for x in shares]
    return out


def main() -> None:
    """Print for each kind every rule's worst level and mean power; write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begun = time.perf_counter()
    rows = []
    for kind in KINDS:
        found = {}
        for seeds, patients in itertools.product(SEEDS, PATIENTS):
            found[seeds, patients] = measure(kind, seeds, patients)
            rows.append({"kind": kind, "seeds": seeds, "patients": patients,
                         "rules": found[seeds, patients]})  # fmt: skip
        print(kind)
        for name in RULES:
            every = np.array([of[name] for of in found.values()])
            worst, mean = every.max(axis=0), every.mean(axis=0)
            print(f"  {name:16} {mean[0]:5.1f} to {worst[0]:5.1f}, at 1 % {worst[1]:5.1f}, "
                  f"power {mean[2]:5.1f}", flush=True)  # fmt: skip
    print(f"{time.perf_counter() - begun:.0f} s")
    if args.json:
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        told = json.dumps({name: words for name, (words, _) in RULES.items()})
        head = f'"studies": {STUDIES}, "resampled": {RESAMPLED}, "rules": {told}'
        args.json.write_text(f'{{{head}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
