"""Bias of estimates in small samples: maximum likelihood, and with Jeffreys' prior.

From the root of the repository: ``python tests/benchmarks/bias.py``.

For each model, given by its coefficients against the first class, labels are drawn again and again for the
same features, standard normal ones. The table has the mean difference of the estimates from the truth for
each coefficient, in nats, with its Monte Carlo error, and the number of samples that were separated, in which
there is no estimate of maximum likelihood: they are left out for both.
"""

import argparse
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression

Array = NDArray[np.float64]

# of each class but the first: an intercept and the coefficients of two features
MODELS = {
    "two classes, n = 80": (80, [[0.5, 1.0, -1.0]]),
    "three classes, n = 150": (150, [[0.5, 1.0, 0.0], [0.0, 1.0, -1.0]]),
}


def estimate(model: SoftmaxRegression, X: Array, y: Any) -> Array | None:
    """Coefficients against the first class, None if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return model.coefficients(reference=0).to_numpy().T.ravel() if model.converged_ else None


def errors(n: int, truth: Array, repetitions: int) -> tuple[Array, Array, int]:
    """Errors of both estimates for each sample, and how many had none."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, truth.shape[1] - 1))
    logits = np.column_stack([np.zeros(n), truth[:, 0] + X @ truth[:, 1:].T])
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    models = [SoftmaxRegression(C=np.inf, tol=1e-6, bias_reduction=reduced) for reduced in (False, True)]
    made = []
    for _ in range(repetitions):
        y = (rng.random((n, 1)) > cumulative[:, :-1]).sum(axis=1)
        likely = estimate(models[0], X, y)
        reduced = None if likely is None else estimate(models[1], X, y)
        if likely is not None and reduced is not None:
            made.append((likely - truth.ravel(), reduced - truth.ravel()))
    likely, reduced = np.array(made).transpose(1, 0, 2)
    return likely, reduced, repetitions - len(made)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000, help="samples for each model")
    options = parser.parse_args(arguments)
    for name, (n, coefficients) in MODELS.items():
        truth = np.array(coefficients)
        likely, reduced, n_separated = errors(n, truth, options.repetitions)
        table = {"truth": truth.ravel()}
        for label, values in (("ML", likely), ("Jeffreys", reduced)):
            table[label] = values.mean(axis=0)
            table[f"+- ({label})"] = values.std(axis=0) / np.sqrt(len(values))
        print(f"{name}: bias in nats, {len(likely)} samples, and {n_separated} without estimate")
        print(pd.DataFrame(table).round(4).to_string(index=False))
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
