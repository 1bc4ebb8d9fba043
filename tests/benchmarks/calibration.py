"""The temperature and the measures of calibration: speed, evaluations, memory, coverage, published figures.

From the root of the repository: ``python tests/benchmarks/calibration.py``, with ``--only`` for some of them:

- *temperature*: `fit_temperature` on 1e6 x 100 single-precision logits, its interval included, against the
  fit inside scikit-learn's ``CalibratedClassifierCV(method="temperature")``, and the log losses of both;
- *memory*: the most memory that it takes beyond the logits;
- *coverage*: how often the 95 % intervals for T hold the truth, in 1000 samples of 500;
- *measures*: class-wise table and errors of 1e6 x 100 probabilities against ``np.log(probabilities)``.

With ``--logits FILE``, an npz of logits_val, y_val, logits_test and y_test, it prints what Kull et al. (2019)
have in their tables: T from the first two, and log loss and errors on the last two before and after.

Times are medians of rounds, in which everything that is compared is timed once, and ratios are medians of the
rounds' ratios.
"""

import argparse
import sys
import tracemalloc
from statistics import median
from typing import Any

import numpy as np
import tables
from environment import describe
from machine import PAUSE, clock
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

from smreg import softmax
from smreg.metrics import calibration_error, reliability_table, smooth_calibration_error
from smreg.temperature.scaling import fit_temperature

SAMPLES = 1000
TEMPERATURE = 2.0  # of the logits that are drawn


def draw(n: int, n_classes: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits that are too large by the temperature, and labels."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(size=(n, n_classes), dtype=np.float32)
    z *= 2 * TEMPERATURE
    y = np.empty(n, dtype=np.int64)
    for start in range(0, n, 10_000):
        block = z[start : start + 10_000] / TEMPERATURE
        y[start : start + 10_000] = (block + rng.gumbel(size=block.shape)).argmax(axis=1)
    return z, y


def their_calibrator() -> Any:
    """What scikit-learn fits to logits inside its meta-estimator, not yet fitted."""
    model = CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2)
    return clone(model.fit(*tables.ALL["iris"]()).calibrated_classifiers_[0].calibrators[0])


def loss(z: NDArray[np.float32], y: NDArray[np.int64], temperature: float) -> float:
    """Mean log loss in double precision."""
    total = 0.0
    for start in range(0, len(z), 10_000):
        rows = slice(start, start + 10_000)
        p = softmax(z[rows].astype(np.float64), temperature)
        total -= np.log(p[np.arange(len(p)), y[rows]]).sum()
    return float(total / len(z))


def temperature(options: argparse.Namespace) -> None:
    """Print our fit against scikit-learn's."""
    z, y = draw(1_000_000 // options.shrink, 100)
    ours, theirs = fit_temperature(z, y), their_calibrator().fit(z, y)
    calls = (lambda: fit_temperature(z, y)), (lambda: clone(theirs).fit(z, y))
    pairs = [[clock(call, options.pause) for call in calls] for _ in range(options.rounds)]
    print(f"temperature of {len(z)} x 100 logits in single precision:")
    for name, seconds, T in (
        ("smreg", median(pair[0] for pair in pairs), ours.temperature),
        ("scikit-learn", median(pair[1] for pair in pairs), 1 / float(theirs.beta_)),
    ):
        print(f"  {name:<13} {seconds:7.2f} s   T = {T:.7f}   log loss {loss(z, y, T):.15f}")
    print(f"  {median(b / a for a, b in pairs):.1f} times; {ours.evaluations} evaluations")


def memory(options: argparse.Namespace) -> None:
    """Print the most memory that the fit takes beyond the logits."""
    z, y = draw(1_000_000 // options.shrink, 100)
    fit_temperature(z[:1000], y[:1000])  # what is loaded the first time does not count
    tracemalloc.start()
    fit_temperature(z, y)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"memory beyond {len(z)} x 100 logits ({z.nbytes / 2**20:.0f} MiB): {peak:.0f} MiB (tracemalloc)")


def coverage(options: argparse.Namespace) -> None:
    """Print how often the intervals hold the temperature that the samples were drawn with."""
    profile = wald = evaluations = 0
    samples = SAMPLES // options.shrink
    for seed in range(samples):
        fit = fit_temperature(*draw(500, 10, seed))
        profile += fit.confidence_interval[0] <= TEMPERATURE <= fit.confidence_interval[1]
        wald += fit.wald_interval[0] <= TEMPERATURE <= fit.wald_interval[1]
        evaluations = max(evaluations, fit.evaluations)
    print(f"95 % intervals of {samples} samples of 500 x 10 that hold T:")
    print(
        f"  profile likelihood {100 * profile / samples:.1f} %, Wald {100 * wald / samples:.1f} %; ", end=""
    )
    print(f"at most {evaluations} evaluations")


def measures(options: argparse.Namespace) -> None:
    """Print measures against the logarithm."""
    z, y = draw(1_000_000 // options.shrink, 100)
    p = softmax(z.astype(np.float64))
    del z
    calls = {
        "np.log": lambda: np.log(p),
        "reliability_table, class-wise": lambda: reliability_table(y, p, kind="classwise"),
        "calibration_error, class-wise": lambda: calibration_error(y, p, kind="classwise"),
        "calibration_error": lambda: calibration_error(y, p),
        "smooth_calibration_error": lambda: smooth_calibration_error(y, p),
    }
    rounds = [[clock(call, options.pause) for call in calls.values()] for _ in range(options.rounds + 1)][1:]
    print(f"measures of {len(p)} x 100 probabilities, 15 bins:")
    for column, name in enumerate(calls):
        seconds, ratio = (
            median(each)
            for each in zip(*((row[column], row[column] / row[0]) for row in rounds), strict=True)
        )
        print(f"  {name:<30} {seconds:7.3f} s   {ratio:5.2f} times the logarithm")


def published(path: str) -> None:
    """Print the figures of Kull et al. for a network's logits."""
    data = np.load(path)
    fit = fit_temperature(data["logits_val"], data["y_val"])
    low, high = fit.confidence_interval
    print(f"T = {fit.temperature:.6f} ({low:.3f} to {high:.3f}), {fit.evaluations} evaluations")
    z, y = data["logits_test"].astype(np.float64), data["y_test"]
    edges = np.append(np.nextafter(np.linspace(0, 1, 15), -1), 1)  # left-closed, as their code has them
    for name, T in (("before", 1.0), ("after", fit.temperature)):
        p = softmax(z, T)
        by_class = z.shape[1] * calibration_error(y, p, kind="classwise", edges=edges)
        figures = log_loss(y, np.clip(p, 1e-15, 1)), calibration_error(y, p), by_class
        print(
            f"  {name:<7} log loss {figures[0]:.6f}   ECE {figures[1]:.6f}   class-wise ECE {figures[2]:.6f}"
        )


BENCHMARKS = {"temperature": temperature, "memory": memory, "coverage": coverage, "measures": measures}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--shrink", type=int, default=1, help="divide the rows by this, for a trial")
    parser.add_argument("--rounds", type=int, default=3, help="timed calls of each kind")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds before each")
    parser.add_argument("--logits", metavar="FILE", help="print published figures for a network's logits")
    options = parser.parse_args(arguments)
    print(describe())
    for name in options.only:
        print()
        BENCHMARKS[name](options)
    if options.logits:
        print()
        published(options.logits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
