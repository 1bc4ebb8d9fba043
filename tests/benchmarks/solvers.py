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
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import tables
from environment import describe, pinned
from fits import SOLVERS, Fit, Setting, Worker
from races import TOLERANCES, Entry, affordable, report_means, seconds_and_ratio, time_rounds
from races import Table as AnyTable
from reference import Optimum, Problem, minimum

SOME = 1000  # iterations of a solver that ends at no tolerance
LARGE = 900  # rows from which a data set counts in the mean
BELOW = -1e-12  # a gap that proves the reference wrong


@dataclass
class Result(Entry):
    """How near a solver came to the optimum, and if near enough, the seconds of every timed fit."""

    objective: float = np.inf


def climb(worker: Worker[Fit], solver: str, problem: Problem, goal: float, threads: int) -> Result:
    """Fit at falling tolerances until the objective is at most `goal`.

    The end is also where something other than its tolerance ends a fit, or two limits of time are spent.
    """
    result, began = Result(solver), perf_counter()
    blas = threads if solver == "smreg" else 1  # smreg holds BLAS to one thread itself
    for tol in TOLERANCES:
        setting, fitted = _attempt(worker, Setting(solver, tol, threads, blas))
        if fitted is None and tol == TOLERANCES[0]:  # to show at least where it stands after some iterations
            fitted = worker.fit(replace(setting, blas=1, max_iter=SOME))
        if fitted is None:
            break
        blas, value = setting.blas, problem.value(fitted.coef, fitted.intercept)
        if value < result.objective:
            result.objective, result.count = value, fitted.count
        if value <= goal:
            result.rounds = {setting: []}
            other = replace(setting, blas=threads)
            if setting != other and _reaches(worker, other, problem, goal, limit=max(fitted.seconds, 2.0)):
                result.rounds[other] = []
            break
        if not fitted.converged or perf_counter() - began > 2 * worker.limit:
            break
    return result


def _attempt(worker: Worker[Fit], setting: Setting) -> tuple[Setting, Fit | None]:
    """Fit, with all threads in BLAS if one is too slow."""
    fitted = worker.fit(setting)
    if fitted is None and setting.blas < setting.threads:
        setting = replace(setting, blas=setting.threads)
        fitted = worker.fit(setting)
    return setting, fitted


def _reaches(worker: Worker[Fit], setting: Setting, problem: Problem, goal: float, limit: float) -> bool:
    """Whether a fit reaches the goal within the limit."""
    fitted = worker.fit(setting, limit)
    return fitted is not None and problem.value(fitted.coef, fitted.intercept) <= goal


def compare(problem: Problem, best: Optimum, options: argparse.Namespace) -> list[Result]:
    """The results of all solvers on a data set."""
    n_coefficients = problem.n_classes * (problem.X.shape[1] + 1)
    goal = best.value + options.gap * (problem.start_value - best.value)
    warm_up = [Setting(solver, 1e-1, options.threads, blas=1) for solver in SOLVERS]
    worker = Worker((problem.X, problem.y), warm_up, options.limit)
    try:
        results = [
            climb(worker, solver, problem, goal, options.threads)
            for solver in affordable(SOLVERS, n_coefficients)
        ]
        time_rounds(worker, results, options.rounds)
    finally:
        worker.stop()
    return results


class Table(AnyTable):
    """The table of the solvers."""

    heads = ("data", "n", "p", "K", "solver", "objective", "tol", "BLAS", "count", "seconds", "gap", "ratio")
    widths = (13, 5, 5, 2, 15, 18, 5, 4, 8, 8, 8, 6)
    to_the_right = frozenset({"count", "seconds", "ratio"})

    def optimum(self, name: str, problem: Problem, best: Optimum, seconds: float) -> None:
        """The row of the reference."""
        n, p = problem.X.shape
        what = name, str(n), str(p), str(problem.n_classes), "optimum", f"{best.value:.16f}"
        self.row(*what, "", "", f"{best.steps} it", f"{seconds:.3g}", f"{best.decrement:.0e}", "")

    def result(self, result: Result, gap: float, ours: Result, limit: float) -> None:
        """The row of a solver."""
        tol = "miss" if result.missed else f"{result.setting.tol:.0e}"
        blas = "" if result.missed or result is ours else str(result.setting.blas)
        seconds, ratio = seconds_and_ratio(result, ours, limit)
        cells = tol, blas, result.count, seconds, f"{gap:.1e}", ratio
        self.row("", "", "", "", result.solver, f"{result.objective:.16f}", *cells)


def run(options: argparse.Namespace, compare: Callable[..., list[Result]]) -> bool:
    """Print the table; whether nobody went below the reference."""
    ratios: dict[str, list[tuple[float, bool]]] = {}
    table, sound = Table(markdown=options.markdown), True
    for name in options.data:
        problem = Problem(*tables.ALL[name]())
        began = perf_counter()
        with pinned(1, 1):
            best = minimum(problem)
        table.optimum(name, problem, best, perf_counter() - began)
        results = compare(problem, best, options)
        for result in results:
            gap = problem.gap(result.objective, best.value)
            sound = sound and gap >= BELOW
            table.result(result, gap, results[0], options.limit)
            if result.solver != "smreg" and len(problem.y) >= LARGE:
                pair = result.ratio(results[0], options.limit), result.missed
                ratios.setdefault(result.solver, []).append(pair)
    report_means(ratios, f"data with n >= {LARGE}", options.limit)
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


def main(arguments: list[str] | None = None, compare: Callable[..., list[Result]] = compare) -> int:
    """Run the benchmark; 1 if a solver went below the reference, which must not be."""
    options = parse(arguments)
    print(f"{describe()}\n{options.threads} threads, relative gap to reach: {options.gap:g}\n")
    if run(options, compare):
        return 0
    print(f"\nA solver lies below the reference optimum by more than {-BELOW:g}: the reference is wrong.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
