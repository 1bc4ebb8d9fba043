"""Time to choose C by cross-validation: smreg against scikit-learn's solvers.

From the root of the repository: ``python tests/benchmarks/paths.py``, with ``--only`` for some of them:

- *memory*: the most memory that a search on 200000 x 50 numbers takes beyond X;
- *searches*: 10 Cs from 1e-4 to 1e4, five stratified folds and a refit, in raw units, by
  `SoftmaxRegressionCV` and by `LogisticRegressionCV` with two solvers;
- *threads*: the search on the letters, and on data that are named, with all threads against one.

smreg runs at its default tolerance, whose gap is shown. The others run at tolerances from 1e-1 to 1e-9, until
the mean over folds and Cs of their fits' relative gaps ``(F - F*) / (F(start) - F*)`` is at most 1e-6. Each
F* is the minimum for the training part of one fold and one C, found by another search of smreg at the
tolerance 1e-8. Its row, *optimum*, shows in place of the worst gap how far it is, as a gap, from the exact
minimum of `reference`, which is not smreg's, at three pairs of fold and C: the first, the middle and the
last. A search whose gap is below it by more than a thousandth of the goal makes the benchmark fail, and so
does such a distance.

Those that got there are then timed in rounds, with one search of each in every round: the seconds are their
median, and a ratio is the median of the rounds' ratios to smreg. Who does not get there is a miss and counts
as the time limit of a search: no search within that limit got there, nor any in twice the limit altogether,
or a lower tolerance changed nothing. Above 10000 coefficients newton-cholesky is not run.

*count* is the mean over folds and Cs, of evaluations of a fit for smreg and of iterations for the others;
*path* is the mean of smreg's evaluations on all data, of which the others fit one C alone, the chosen one.
All searches may use the same number of processors: each has the better of one job and all, which for smreg
are threads, and for scikit-learn processes that are there and warm, with one thread of BLAS each.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import mean, median
from time import perf_counter

import numpy as np
import tables
from environment import describe
from fits import Worker
from machine import PAUSE, peak_of, timed_fit
from races import TOLERANCES, Entry, Table, affordable, report_means, seconds_and_ratio, time_rounds
from searches import FOLDS, Found, Search, Yardstick

from smreg import SoftmaxRegressionCV

Loaders = Mapping[str, Callable[[], tables.Data]]

PEERS = ("lbfgs", "newton-cholesky")
DEFAULT = 1e-4  # tolerance of smreg as it comes
MARGIN = 1e-3  # parts of the goal by which a minimum may be wrong


@dataclass
class Result(Entry):
    """How near an estimator came to the optima, and if near enough, the seconds of every timed search."""

    path: str = ""
    tol: float = np.nan
    gap: float = np.inf
    worst: float = np.inf
    lowest: float = np.inf
    evaluations: float = np.nan

    def take(self, search: Search, found: Found, yardstick: Yardstick) -> None:
        """Keep a search if its mean gap is the smallest so far."""
        gaps = yardstick.gaps(found.coefs)
        self.lowest = min(self.lowest, float(gaps.min()))
        if gaps.mean() < self.gap:
            self.tol, self.gap, self.worst = search.tol, float(gaps.mean()), float(gaps.max())
            self.count, self.path = counts(found)
            every = found.counts if found.path is None else np.append(found.counts, found.path)
            self.evaluations = float(every.mean())


def counts(found: Found) -> tuple[str, str]:
    """The cells of the evaluations or iterations of a fit: means over the folds, and of the path."""
    average = found.counts.mean()
    if found.path is None:
        return f"{average:.0f} it" if average >= 100 else f"{average:.3g} it", ""
    return f"{average:.1f} ev", f"{found.path.mean():.1f} ev"


def ours(worker: Worker[Found], yardstick: Yardstick, jobs: int) -> Result:
    """The search by smreg at its default tolerance, to be timed with one job and with all."""
    result, search = Result("smreg"), Search("smreg", DEFAULT, jobs, yardstick.Cs)
    found = worker.fit(search)
    if found is not None:
        result.take(search, found, yardstick)
        result.rounds = {search: [], replace(search, jobs=1): []}
    return result


def climb(worker: Worker[Found], solver: str, yardstick: Yardstick, goal: float, jobs: int) -> Result:
    """Search at falling tolerances until the mean gap is at most `goal`.

    The end is also where a lower tolerance changes nothing, or two limits of time are spent.
    """
    result, began, before = Result(solver), perf_counter(), np.zeros(1)
    for tol in TOLERANCES:
        search = Search(solver, tol, jobs, yardstick.Cs)
        found = worker.fit(search)
        if found is None:
            break
        result.take(search, found, yardstick)
        if result.gap <= goal:
            alone = replace(search, jobs=1)
            result.rounds = {search: []}
            if worker.fit(alone, limit=max(found.seconds, 2.0)) is not None:
                result.rounds[alone] = []
            break
        if np.array_equal(found.counts, before) or perf_counter() - began > 2 * worker.limit:
            break
        before = found.counts if found.counts.any() else before
    return result


def compare(
    data: tables.Data,
    n_classes: int,
    yardstick: Yardstick,
    options: argparse.Namespace,
    worker_of: Callable[..., Worker[Found]] = Worker,
) -> list[Result]:
    """The results of all estimators on a data set."""
    peers = affordable(PEERS, n_classes * (data[0].shape[1] + 1))
    warm_up = [
        Search(solver, 1e-1, jobs, (1e-2,)) for solver in ("smreg", *peers) for jobs in {1, options.threads}
    ]
    worker = worker_of(data, warm_up, options.limit)
    try:
        results = [ours(worker, yardstick, options.threads)]
        results += [climb(worker, peer, yardstick, options.gap, options.threads) for peer in peers]
        time_rounds(worker, results, options.rounds)
    finally:
        worker.stop()
    return results


class PathTable(Table):
    """The table of the searches."""

    heads = (
        *("data", "n", "p", "K", "estimator", "tol", "jobs"),
        *("count", "path", "seconds", "gap", "worst", "ratio"),
    )
    widths = (13, 5, 5, 2, 15, 5, 4, 8, 8, 8, 8, 8, 6)
    to_the_right = frozenset({"count", "path", "seconds", "ratio"})

    def optimum(
        self, name: str, data: tables.Data, n_classes: int, tol: float, found: Found, error: float
    ) -> None:
        """The row of the search for the minima, with its distance from the exact ones."""
        what = name, *(str(size) for size in data[0].shape), str(n_classes), "optimum", f"{tol:.0e}", ""
        self.row(*what, *counts(found), f"{found.seconds:.3g}", "", f"{error:.1e}", "")

    def result(self, result: Result, own: Result, limit: float) -> None:
        """The row of an estimator."""
        tol = "miss" if result.missed else f"{result.tol:.0e}"
        jobs = "" if result.missed else str(result.setting.jobs)
        seconds, ratio = seconds_and_ratio(result, own, limit)
        cells = tol, jobs, result.count, result.path, seconds, f"{result.gap:.1e}", f"{result.worst:.1e}"
        self.row("", "", "", "", result.solver, *cells, ratio)


def searches(
    loaders: Loaders, names: list[str], options: argparse.Namespace, compare: Callable[..., list[Result]]
) -> bool:
    """Print the table of the searches; whether the minima are right."""
    table, sound = PathTable(markdown=options.markdown), True
    ratios: dict[str, list[tuple[float, bool]]] = {}
    evaluations = []
    for name in names:
        X, y = loaders[name]()
        n_classes = len(np.unique(y))
        yardstick, last = Yardstick(X, y, options.Cs, options.exact, options.threads), len(options.Cs) - 1
        pairs = (0, 0), (FOLDS // 2, (last + 1) // 2), (FOLDS - 1, last)
        error = max(yardstick.error(fold, i) for fold, i in pairs)
        table.optimum(name, (X, y), n_classes, options.exact, yardstick.found, error)
        results = compare((X, y), n_classes, yardstick, options)
        for result in results:
            table.result(result, results[0], options.limit)
            sound = sound and result.lowest >= -MARGIN * options.gap
            if result is not results[0]:
                pair = result.ratio(results[0], options.limit), result.missed
                ratios.setdefault(result.solver, []).append(pair)
        sound = sound and error <= MARGIN * options.gap
        evaluations.append(results[0].evaluations)
    report_means(ratios, "all data", options.limit)
    text = f"{mean(evaluations):.1f} in the mean over all data, {max(evaluations):.1f} at most"
    print(f"evaluations of smreg in a fit, of the folds and the path: {text}")
    return sound


def threads_against_one(loaders: Loaders, names: list[str], options: argparse.Namespace) -> None:
    """Print searches with all threads and with one."""
    threads = options.threads
    print(f"searches, {threads} threads against one:")
    for name in names:
        X, y = loaders[name]()
        pairs = [
            [
                timed_fit(SoftmaxRegressionCV(Cs=options.Cs, n_jobs=jobs), X, y, PAUSE)[0]
                for jobs in (1, threads)
            ]
            for _ in range(options.rounds)
        ]
        one, all_ = (median(column) for column in zip(*pairs, strict=True))
        speedup = median(a / b for a, b in pairs)
        print(
            f"  {name:<13} {X.shape[0]} x {X.shape[1]}: {all_:.3g} s against {one:.3g} s, {speedup:.2f} times"
        )


def memory(options: argparse.Namespace) -> None:
    """Print the most memory that a search takes beyond X."""
    X, y = tables.spread(200_000 // options.shrink, 50)
    threads, model = options.threads, SoftmaxRegressionCV(Cs=options.Cs, n_jobs=options.threads)
    model.fit(*tables.ALL["iris"]())
    peak, how = peak_of(lambda: model.fit(X, y))
    size = f"{len(X)} x {X.shape[1]}, {len(np.unique(y))} classes, {threads} threads"
    print(f"memory of a search on {size}, beyond X ({X.nbytes / 2**20:.0f} MiB):")
    print(f"  {peak:.0f} MiB ({how}), {peak * 2**20 / X.nbytes:.2f} of X")


BENCHMARKS = ("memory", "searches", "threads")


def parse(arguments: list[str] | None, loaders: Loaders) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0].split(":")[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, metavar="NAME")
    parser.add_argument("--data", nargs="+", choices=loaders, metavar="NAME")
    parser.add_argument("--quick", dest="data", action="store_const", const=list(tables.SMALL))
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--Cs", nargs="+", type=float, default=np.logspace(-4, 4, 10).tolist(), metavar="C")
    parser.add_argument("--exact", type=float, default=1e-8, help="tolerance of smreg for the minima")
    parser.add_argument("--gap", type=float, default=1e-6, help="mean relative gap to reach")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for a search")
    parser.add_argument("--rounds", type=int, default=3, help="timed searches of each estimator")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--shrink", type=int, default=1, help="divide the rows by this where memory is measured"
    )
    return parser.parse_args(arguments)


def main(
    arguments: list[str] | None = None,
    data: Loaders | None = None,
    compare: Callable[..., list[Result]] = compare,
) -> int:
    """Run the benchmarks, on other data too; 1 if a minimum is wrong, which must not be."""
    loaders = tables.ALL | dict(data or {})
    options = parse(arguments, loaders)
    named = options.data or list(data or {})
    print(f"{describe()}\n{options.threads} processors, mean relative gap to reach: {options.gap:g}")
    sound = True
    if "memory" in options.only:  # first, as what other fits have freed would hide what this one takes
        print()
        memory(options)
    if "searches" in options.only:
        print()
        sound = searches(loaders, named or list(loaders), options, compare)
    if "threads" in options.only:
        print()
        threads_against_one(loaders, list(dict.fromkeys(["letters", *named])), options)
    if not sound:
        print(f"\nA minimum is wrong by more than {MARGIN * options.gap:g}, as a gap.")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
