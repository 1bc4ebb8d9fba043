"""What smreg makes of the machine: an evaluation, threads, memory, and time as the rows grow.

From the root of the repository: ``python tests/benchmarks/machine.py``, with ``--only`` for some of them:

- *evaluation*: one evaluation of the objective and its gradient on 60000 x 784 numbers in 10 classes, against
  the two matrix products alone, ``W X'`` and ``R X``, that NumPy does in its faster layout;
- *threads*: whole fits with all threads against one;
- *memory*: the most memory that a fit on 60000 x 784 numbers takes beyond X;
- *growth*: seconds and evaluations of a fit for 1e4, 1e5 and 1e6 rows, 20 features and 5 classes.

Times are medians of rounds, in which everything that is compared is timed once, and ratios are medians of the
rounds' ratios.
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import tables
from environment import describe, pinned
from numpy.typing import NDArray

from smreg import SoftmaxRegression
from smreg.data.matrix import MatrixRows
from smreg.data.statistics import statistics
from smreg.data.targets import Targets
from smreg.data.threads import row_threads
from smreg.objective.coordinates import Coordinates, contrasts
from smreg.objective.cross_entropy import CrossEntropy, Objective
from smreg.objective.penalty import Penalty

Array = NDArray[np.float64]
Call = Callable[[], Any]
Model = TypeVar("Model", bound=SoftmaxRegression)

PAUSE = 0.1  # seconds before a call that is timed
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextmanager
def objective(X: Array, y: NDArray[np.int64], threads: int) -> Iterator[Callable[[], Any]]:
    """A function that evaluates smreg's objective and gradient once, near the intercept-only model."""
    n = len(y)
    priors = np.bincount(y) / n
    with row_threads(threads) as thread_map:
        rows = MatrixRows(X, Targets(np.arange(len(priors)), y), np.full(n, 1 / n), thread_map)
        columns, coding = statistics(rows), contrasts(len(priors))
        coordinates = Coordinates.standardising(columns, coding, fit_intercept=True, ridge=1 / n)
        function = Objective(CrossEntropy(rows, priors), Penalty(1 / n), coordinates)
        start = function.start()
        phi = start + 0.01 * np.random.default_rng(0).normal(size=start.shape)
        yield lambda: function(phi)


def products(X: Array, n_classes: int) -> tuple[list[Call], list[Call]]:
    """``W X'`` and ``R X`` by NumPy, each class-major and row-major, into arrays that are there already."""
    rng = np.random.default_rng(0)
    W, R = rng.normal(size=(n_classes, X.shape[1])), rng.normal(size=(n_classes, X.shape[0]))
    Wt, Rt, Z, Zt = W.T.copy(), R.T.copy(), np.empty_like(R), np.empty_like(R.T.copy())
    G, Gt = np.empty_like(W), np.empty_like(Wt)
    forward = [lambda: np.matmul(W, X.T, out=Z), lambda: np.matmul(X, Wt, out=Zt)]
    backward = [lambda: np.matmul(R, X, out=G), lambda: np.matmul(X.T, Rt, out=Gt)]
    return forward, backward


def clock(function: Callable[[], Any], pause: float) -> float:
    """Seconds of a call, after some in which the threads of what ran before go to sleep."""
    time.sleep(pause)
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def evaluation(options: argparse.Namespace) -> None:
    """Print one evaluation against NumPy's products."""
    threads, pause = options.threads, options.pause
    X, y = tables.images(60_000 // options.shrink, 784)
    forward, backward = products(X, 10)
    rounds = []
    with objective(X, y, threads) as evaluate:
        evaluate()
        for _ in range(2 * options.rounds + 1):  # each is short
            ours = clock(evaluate, pause)
            with pinned(threads, threads):
                rounds.append([ours, *(clock(product, pause) for product in (*forward, *backward))])
    seconds = np.array(rounds)
    first, second = (
        start + int(np.median(seconds[:, start : start + 2], axis=0).argmin()) for start in (1, 3)
    )
    theirs = seconds[:, first] + seconds[:, second]
    print(f"evaluation of {len(X)} x 784, 10 classes, {threads} threads:")
    print(f"  smreg, objective and gradient   {1e3 * np.median(seconds[:, 0]):8.1f} ms")
    print(f"  NumPy, the two products alone   {1e3 * np.median(theirs):8.1f} ms")
    print(f"  ratio                           {np.median(seconds[:, 0] / theirs):8.2f}")


def timed_fit(model: Model, X: Any, y: Any, pause: float) -> tuple[float, Model]:
    """Seconds of a fit with as many threads as the model has jobs, and the model."""
    with pinned(model.n_jobs, model.n_jobs):
        return clock(lambda: model.fit(X, y), pause), model


def threads_against_one(options: argparse.Namespace) -> None:
    """Print whole fits with all threads and with one."""
    threads, shrink = options.threads, options.shrink
    print(f"whole fits, {threads} threads against one:")
    for name, X, y in (
        ("letters", *tables.letters(20_000 // shrink)),
        ("terrain", *tables.terrain(20_000 // shrink)),
        ("images", *tables.images(20_000 // shrink)),
    ):
        pairs = [
            [timed_fit(SoftmaxRegression(n_jobs=jobs), X, y, options.pause)[0] for jobs in (1, threads)]
            for _ in range(options.rounds)
        ]
        one, all_ = (median(column) for column in zip(*pairs, strict=True))
        speedup = median(a / b for a, b in pairs)
        print(
            f"  {name:<8} {X.shape[0]} x {X.shape[1]}: {all_:.3g} s against {one:.3g} s, {speedup:.2f} times"
        )


def peak_of(function: Callable[[], Any]) -> tuple[float, str]:
    """MiB that a call takes at most beyond what there is before, and how that was measured."""
    try:
        CLEAR.write_text("5")  # the peak restarts
        before = resident("VmRSS")
        function()
        return (resident("VmHWM") - before) / 1024, "resident set"
    except OSError:
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1] / 2**20, "tracemalloc"
        finally:
            tracemalloc.stop()


def resident(key: str) -> float:
    """An entry of the status of this process, in KiB."""
    lines = STATUS.read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(key + ":"))


def memory(options: argparse.Namespace) -> None:
    """Print the most memory that a fit takes beyond X."""
    threads = options.threads
    X, y = tables.images(60_000 // options.shrink, 784)
    SoftmaxRegression(n_jobs=threads).fit(*tables.ALL["iris"]())
    peak, how = peak_of(lambda: SoftmaxRegression(n_jobs=threads).fit(X, y))
    print(f"memory of a fit of {len(X)} x 784, 10 classes, beyond X ({X.nbytes / 2**20:.0f} MiB):")
    print(f"  {peak:.0f} MiB ({how}), {peak * 2**20 / X.nbytes:.2f} of X")


def growth(options: argparse.Namespace) -> None:
    """Print seconds and evaluations of fits to more and more rows."""
    threads, shrink = options.threads, options.shrink
    print(f"growth with the rows, 20 features, 5 classes, {threads} threads:")
    sizes, seconds = [], []
    for n in (10_000 // shrink, 100_000 // shrink, 1_000_000 // shrink):
        X, y = tables.spread(n, 20)
        fits = [
            timed_fit(SoftmaxRegression(n_jobs=threads), X, y, options.pause) for _ in range(options.rounds)
        ]
        sizes.append(n)
        seconds.append(median(each for each, _ in fits))
        print(f"  {n:>8} rows: {seconds[-1]:.3g} s, {fits[0][1].solution_.evaluations} evaluations")
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    print(f"  seconds grow as the rows to the power {exponent:.2f}")


BENCHMARKS = {
    "evaluation": evaluation,
    "threads": threads_against_one,
    "memory": memory,
    "growth": growth,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shrink", type=int, default=1, help="divide the rows by this, for a trial")
    parser.add_argument("--rounds", type=int, default=3, help="timed fits of each kind")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds before each")
    options = parser.parse_args(arguments)
    print(describe())
    for name in options.only:
        print()
        BENCHMARKS[name](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
