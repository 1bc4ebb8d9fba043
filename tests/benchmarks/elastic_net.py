"""Time to a duality gap with an L1 penalty: smreg against scikit-learn's saga.

From the root of the repository: ``python tests/benchmarks/elastic_net.py``.

Columns are standardised, without which saga takes for ever, but for sparse data, and C is 1. A lower bound
on the minimum is the dual value of a fit of smreg with ``tol=1e-8``; the relative gap of a fit is
``(F - bound) / F``. smreg fits at falling tolerances, and saga with growing limits of iterations, each from
scratch, until the gap is at most 1e-6. The seconds are those of the processor, so that other processes do not
count, and both solvers have a single thread. A fit of saga that takes longer than the limit is the last, and
a miss.
"""

import argparse
import sys
import warnings
from time import process_time
from typing import Any

import numpy as np
import tables
from environment import describe, pinned
from reference import cross_entropy
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from smreg import SoftmaxRegression

DATA = {
    "wine": lambda: load_wine(return_X_y=True),
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    **{name: make for name, make in tables.ALL.items() if name not in ("iris", "wine", "digits")},
}
TOLERANCES = [1e-3, 1e-4, 1e-5, 1e-6]
FIRST, GROWTH = 16, 2  # iterations of saga


def objective(model: Any, X: Any, y: Any) -> float:
    """F from its definition, at C=1."""
    logits = np.asarray(X @ model.coef_.T) + model.intercept_
    logits = np.column_stack([np.zeros(len(y)), logits]) if logits.shape[1] == 1 else logits
    squares, sizes = np.sum(model.coef_**2), np.abs(model.coef_).sum()
    penalty = (1 - model.l1_ratio) / 2 * squares + model.l1_ratio * sizes
    return cross_entropy(logits, y)[0] + float(penalty) / len(y)


def timed(model: Any, X: Any, y: Any) -> float:
    """Fit, in seconds of the processor."""
    began = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return process_time() - began


def compare(name: str, l1_ratio: float, options: argparse.Namespace) -> None:
    """Print what both solvers need on a data set."""
    X, y = DATA[name]()
    X = X if sparse.issparse(X) else scale(np.asarray(X, dtype=float))
    best = SoftmaxRegression(l1_ratio=l1_ratio, tol=1e-8, n_jobs=1).fit(X, y)
    bound = best.solution_.objective - best.solution_.duality_gap
    label = f"{name:<14}{l1_ratio:<5}"

    def gap(model: Any) -> float:
        F = objective(model, X, y)
        return (F - bound) / F

    for tol in TOLERANCES:
        ours = SoftmaxRegression(l1_ratio=l1_ratio, tol=tol, n_jobs=1)
        ours_seconds = timed(ours, X, y)
        if gap(ours) <= options.gap:
            break
    zeros = f"{np.count_nonzero(ours.coef_)} of {ours.coef_.size} not zero"
    count = f"{ours.solution_.evaluations} evaluations"
    print(f"{label}smreg {ours_seconds:9.3f} s {gap(ours):8.0e}  {count}, {zeros}", flush=True)
    iterations, seconds, excess = FIRST, 0.0, np.inf
    while excess > options.gap and seconds <= options.limit:
        theirs = LogisticRegression(solver="saga", l1_ratio=l1_ratio, tol=0.0, max_iter=iterations)
        seconds, excess = timed(theirs, X, y), gap(theirs)
        iterations *= GROWTH
    sign = ">" if excess > options.gap else " "
    count = f"{iterations // GROWTH} iterations"
    count += f", {sign}{seconds / ours_seconds:.3g} times"
    print(f"{label}saga {sign}{seconds:9.3f} s {excess:8.0e}  {count}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), metavar="NAME")
    parser.add_argument("--l1-ratio", nargs="+", type=float, default=[0.5, 1.0])
    parser.add_argument("--gap", type=float, default=1e-6, help="relative gap to reach")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of saga's last fit")
    options = parser.parse_args(arguments)
    print(f"{describe()}\none thread, relative gap to reach: {options.gap:g}\n")
    with pinned(1, 1):
        for name in options.data:
            for l1_ratio in options.l1_ratio:
                compare(name, l1_ratio, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
