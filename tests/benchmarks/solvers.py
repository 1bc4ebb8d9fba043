"""Time to the optimum: smreg against scikit-learn's solvers.

From the root of the repository: ``python tests/benchmarks/solvers.py``.

Every solver fits every data set from scratch at tolerances from 1e-1 to 1e-9, until the relative gap
``(F - F*) / (F(start) - F*)`` is at most 1e-6. F* is the exact minimum, of which the row *optimum* tells the
relative Newton decrement in place of a gap. The fits that got there are then timed in rounds, with one fit of
each solver in every round: the seconds are their median, and a ratio is the median of the rounds' ratios to
smreg. A solver that does not get there is a miss and counts as the time limit of a fit: no fit within that
limit got there, nor any in twice the limit altogether. The objective of a miss is the best of its fits, or if
none ended in time that after 1000 iterations. Above 10000 coefficients newton-cholesky, which stores their
square, is not run.

All solvers may use the same number of threads. Those of scikit-learn use them in BLAS alone, where on small
data several are often slower than one: each has the better of one BLAS thread and all. Fits run in a process
in which all libraries are loaded and warm; one that takes too long is killed.
"""

import argparse
import sys
from dataclasses import dataclass, field, replace
from statistics import geometric_mean, median
from time import perf_counter

import numpy as np
import tables
from environment import describe, pinned
from fits import SOLVERS, Fit, Setting, Worker
from reference import Optimum, Problem, minimum

TOLERANCES = [10.0**-i for i in range(1, 10)]
MAX_HESSIAN = 10_000  # coefficients up to which newton-cholesky, which stores their square, is run
SOME = 1000  # iterations of a solver that ends at no tolerance
LARGE = 900  # rows from which a data set counts in the mean
BELOW = -1e-12  # a gap that proves the reference wrong


@dataclass
class Result:
    """How near a solver came to the optimum, and if near enough, the seconds of every timed fit."""

    solver: str
    objective: float = np.inf
    count: str = ""
    rounds: dict[Setting, list[float]] = field(default_factory=dict)

    @property
    def missed(self) -> bool:
        """Whether the solver did not reach the goal."""
        return not self.rounds

    @property
    def setting(self) -> Setting:
        """The fastest setting that reached the goal."""
        return min(self.rounds, key=lambda setting: median(self.rounds[setting]))

    def seconds(self, limit: float) -> list[float]:
        """Of every round; the limit for a miss."""
        return [limit] if self.missed else self.rounds[self.setting]

    def ratio(self, ours: "Result", limit: float) -> float:
        """Median of the rounds' ratios to ours."""
        theirs, own = self.seconds(limit), ours.seconds(limit)
        if self.missed or ours.missed:
            return median(theirs) / median(own)
        return median(a / b for a, b in zip(theirs, own, strict=False))


def climb(worker: Worker, solver: str, problem: Problem, goal: float) -> Result:
    """Fit at falling tolerances until the objective is at most `goal`.

    The end is also where something other than its tolerance ends a fit, or two limits of time are spent.
    """
    result, began = Result(solver), perf_counter()
    blas = worker.threads if solver == "smreg" else 1  # smreg holds BLAS to one thread itself
    for tol in TOLERANCES:
        setting, fitted = _attempt(worker, Setting(solver, tol, worker.threads, blas))
        if fitted is None and tol == TOLERANCES[0]:  # to show at least where it stands after some iterations
            fitted = worker.fit(replace(setting, blas=1, max_iter=SOME))
        if fitted is None:
            break
        blas, value = setting.blas, problem.value(fitted.coef, fitted.intercept)
        if value < result.objective:
            result.objective, result.count = value, fitted.count
        if value <= goal:
            result.rounds = {setting: []}
            other = replace(setting, blas=worker.threads)
            if setting != other and _reaches(worker, other, problem, goal, limit=max(fitted.seconds, 2.0)):
                result.rounds[other] = []
            break
        if not fitted.converged or perf_counter() - began > 2 * worker.limit:
            break
    return result


def _attempt(worker: Worker, setting: Setting) -> tuple[Setting, Fit | None]:
    """Fit, with all threads in BLAS if one is too slow."""
    fitted = worker.fit(setting)
    if fitted is None and setting.blas < worker.threads:
        setting = replace(setting, blas=worker.threads)
        fitted = worker.fit(setting)
    return setting, fitted


def _reaches(worker: Worker, setting: Setting, problem: Problem, goal: float, limit: float) -> bool:
    """Whether a fit reaches the goal within the limit."""
    fitted = worker.fit(setting, limit)
    return fitted is not None and problem.value(fitted.coef, fitted.intercept) <= goal


def time_rounds(worker: Worker, results: list[Result], rounds: int) -> None:
    """Time those that reached the goal, in turn, for a number of rounds, or for a second up to five times it.

    Who would use up half the limit in all has no further round.
    """
    began = perf_counter()
    for number in range(5 * rounds):
        if number >= rounds and perf_counter() - began > 1:
            break
        for setting, seconds in ((s, r) for result in results for s, r in result.rounds.items()):
            if not seconds or sum(seconds) + seconds[-1] < worker.limit / 2:
                fitted = worker.fit(setting)
                seconds.append(fitted.seconds if fitted else worker.limit)


def compare(name: str, problem: Problem, best: Optimum, options: argparse.Namespace) -> list[Result]:
    """The results of all solvers on a data set."""
    n_coefficients = problem.n_classes * (problem.X.shape[1] + 1)
    solvers = [s for s in SOLVERS if s != "newton-cholesky" or n_coefficients <= MAX_HESSIAN]
    goal = best.value + options.gap * (problem.start_value - best.value)
    worker = Worker(name, options.threads, options.limit)
    try:
        results = [climb(worker, solver, problem, goal) for solver in solvers]
        time_rounds(worker, results, options.rounds)
    finally:
        worker.stop()
    return results


class Table:
    """A table, aligned or in Markdown, printed as its rows come."""

    heads = ("data", "n", "p", "K", "solver", "objective", "tol", "BLAS", "count", "seconds", "gap", "ratio")
    widths = (13, 5, 5, 2, 15, 18, 5, 4, 8, 8, 8, 6)

    def __init__(self, *, markdown: bool) -> None:
        self.markdown = markdown
        self.row(*self.heads)
        if markdown:
            self.row(*("---:" if head in ("count", "seconds", "ratio") else "---" for head in self.heads))

    def row(self, *cells: str) -> None:
        """Print a row."""
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, self.widths, strict=True)]
        print(f"| {' | '.join(cells)} |" if self.markdown else "  ".join(padded).rstrip(), flush=True)

    def optimum(self, name: str, problem: Problem, best: Optimum, seconds: float) -> None:
        """The row of the reference."""
        n, p = problem.X.shape
        what = name, str(n), str(p), str(problem.n_classes), "optimum", f"{best.value:.16f}"
        self.row(*what, "", "", f"{best.steps} it", f"{seconds:.3g}", f"{best.decrement:.0e}", "")

    def result(self, result: Result, gap: float, ours: Result, limit: float) -> None:
        """The row of a solver."""
        sign = ">" * result.missed
        tol = "miss" if result.missed else f"{result.setting.tol:.0e}"
        blas = "" if result.missed or result is ours else str(result.setting.blas)
        cells = tol, blas, result.count, f"{sign}{median(result.seconds(limit)):.3g}", f"{gap:.1e}"
        ratio = f"{sign}{_number(result.ratio(ours, limit))}"
        self.row("", "", "", "", result.solver, f"{result.objective:.16f}", *cells, ratio)


def _number(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def report_means(ratios: dict[str, list[tuple[float, bool]]], limit: float) -> None:
    """Geometric means of the ratios, and the misses, of every solver on the larger sets."""
    if not ratios:
        return
    print(f"\ngeometric mean of the ratios to smreg, on data with n >= {LARGE}:")
    for solver, pairs in ratios.items():
        misses = sum(missed for _, missed in pairs)
        text = f"{misses} missed, counted as {limit:g} s" if misses else "none missed"
        mean = geometric_mean(ratio for ratio, _ in pairs)
        print(f"  {solver:<15}  {_number(mean):>5}  {len(pairs)} sets, {text}")


def run(options: argparse.Namespace) -> bool:
    """Print the table; whether nobody went below the reference."""
    ratios: dict[str, list[tuple[float, bool]]] = {}
    table, sound = Table(markdown=options.markdown), True
    for name in options.data:
        problem = Problem(*tables.ALL[name]())
        began = perf_counter()
        with pinned(1, 1):
            best = minimum(problem)
        table.optimum(name, problem, best, perf_counter() - began)
        results = compare(name, problem, best, options)
        for result in results:
            gap = problem.gap(result.objective, best.value)
            sound = sound and gap >= BELOW
            table.result(result, gap, results[0], options.limit)
            if result.solver != "smreg" and len(problem.y) >= LARGE:
                pair = result.ratio(results[0], options.limit), result.missed
                ratios.setdefault(result.solver, []).append(pair)
    report_means(ratios, options.limit)
    return sound


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0].split(",")[0])
    parser.add_argument("--data", nargs="+", choices=tables.ALL, default=list(tables.ALL), metavar="NAME")
    parser.add_argument("--quick", dest="data", action="store_const", const=list(tables.SMALL))
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--gap", type=float, default=1e-6, help="relative gap to reach")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a fit")
    parser.add_argument("--rounds", type=int, default=5, help="timed fits of each solver")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 if a solver went below the reference, which must not be."""
    options = parse(arguments)
    print(f"{describe()}\n{options.threads} threads, relative gap to reach: {options.gap:g}\n")
    if run(options):
        return 0
    print(f"\nA solver lies below the reference optimum by more than {-BELOW:g}: the reference is wrong.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
