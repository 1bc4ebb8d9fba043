"""The fits of the gate: each with what makes it hard, all the same on every machine, up to rounding.

Data are `tables`, the hard problems of the tests, and the generated ones here, each from a stated seed.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tables
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression, SoftmaxRegressionCV, fit_temperature, regularization_path
from smreg.data.matrix import MatrixRows

sys.path.append(str(Path(__file__).parents[1]))
import problems

Array = NDArray[np.float64]
Data = tuple[Any, ...]  # features, targets and, where there are any, weights
INF = float("inf")


@dataclass(frozen=True)
class Counts:
    """What a fit has cost: evaluations, readings of the rows, and refreshes where the record has them."""

    evaluations: int
    passes: int
    refreshes: int | None
    converged: bool


@dataclass(frozen=True)
class Case:
    """Data, and a fit to them that tells its evaluations, refreshes and whether all of it converged."""

    data: Callable[[], Data]
    fit: Callable[..., tuple[int, int | None, bool]]

    def run(self) -> tuple[Counts, float]:
        """The counts and the seconds of the fit, without those that it takes to make the data."""
        data = self.data()
        with warnings.catch_warnings(), counted_passes() as passes:
            warnings.simplefilter("ignore", ConvergenceWarning)
            began = perf_counter()
            evaluations, refreshes, converged = self.fit(*data)
            seconds = perf_counter() - began
        return Counts(evaluations, len(passes), refreshes, converged), seconds


@contextmanager
def counted_passes() -> Iterator[list[None]]:
    """A list that grows by one with each reading of all rows: of X, of a fold, or of what stands for them.

    Products with all of a sparse X at once, as Newton's method in the row space makes them, do not count.
    """
    passes: list[None] = []
    original = MatrixRows.map_blocks

    def counted(rows: MatrixRows, *arguments: Any, **options: Any) -> Iterator[Any]:
        passes.append(None)
        return original(rows, *arguments, **options)

    MatrixRows.map_blocks = counted  # type: ignore[method-assign, assignment]
    try:
        yield passes
    finally:
        MatrixRows.map_blocks = original  # type: ignore[method-assign]


# Fits


def fit(X: Any, y: Any, weights: Any = None, **options: Any) -> tuple[int, int, bool]:
    """One fit from scratch."""
    solution = SoftmaxRegression(n_jobs=1, **options).fit(X, y, weights).solution_
    return solution.evaluations, solution.refreshes, solution.converged


def path(X: Any, y: Any, **options: Any) -> tuple[int, None, bool]:
    """A regularisation path."""
    made = regularization_path(X, y, n_jobs=1, **options)
    return int(made.evaluations.sum()), None, bool(made.converged.all())


def search(X: Any, y: Any, **options: Any) -> tuple[int, None, bool]:
    """A search by cross-validation: the fits to all data and to the folds."""
    model = SoftmaxRegressionCV(n_jobs=1, **options).fit(X, y)
    evaluations = model.cv_results_["evaluations"].sum() + model.path_evaluations_.sum()
    return int(evaluations), None, bool(model.cv_results_["converged"].all())


def again(X: Any, y: Any, **options: Any) -> tuple[int, int, bool]:
    """A fit that begins at its own end."""
    model = SoftmaxRegression(n_jobs=1, warm_start=True, **options).fit(X, y)
    solution = model.fit(X, y).solution_
    return solution.evaluations, solution.refreshes, solution.converged


def temperatures(z: Array, y: Any) -> tuple[int, None, bool]:
    """The temperatures of logits that are too small, right and too large."""
    return sum(fit_temperature(factor * z, y).evaluations for factor in (0.2, 1, 3, 10)), None, True


# Data


def weighted(make: Callable[[np.random.Generator], problems.Problem]) -> Callable[[], Data]:
    """One of the hard problems of the tests."""
    return lambda: tuple(make(np.random.default_rng(0)))


def large(make: Callable[..., problems.Problem], n: int = 20_000) -> Callable[[], Data]:
    """The same with so many rows."""
    return weighted(partial(make, n=n))


def sensors(n: int = 10_000) -> Data:
    """9 integers, some all but constant with outliers in the thousands, like those of a space shuttle.

    7 classes, four of them of 4 to 60 rows, that thresholds of two columns separate but for some rows.
    """
    rng = np.random.default_rng(8)
    y = rng.choice(7, size=n, p=[0.784, 0.15, 0.056, 0.006, 0.003, 0.0006, 0.0004])
    y[:28] = np.arange(28) % 7
    centres = np.array([[45, 40], [55, 8], [38, 60], [58, 92], [70, 4], [40, 100], [90, 60]])
    main = centres[y] + rng.standard_t(2.5, size=(n, 2)) * 3
    pressure = 80 + 8 * rng.standard_t(4, size=n)
    bursts = np.where(rng.random((n, 3)) < 0.2, rng.standard_cauchy((n, 3)) * 30, 0.0)
    bursts[:, 2] += np.where((y > 2) & (rng.random(n) < 0.7), 3000.0, 0.0)
    flow = rng.normal(34, 20, size=n)
    difference = pressure - main[:, 0]
    X = np.column_stack([main, pressure, bursts, flow, difference, difference - main[:, 1]])
    return np.round(X), y


def connections(n: int = 20_000) -> Data:
    """Bytes, counters and rates of connections, one-hot columns of 60 services; 12 classes, 9 of them rare.

    Services and rates separate nearly all classes, so that the fit goes on long after no row is in doubt.
    """
    rng = np.random.default_rng(9)
    common = np.array([0.567, 0.218, 0.198])
    y = np.where(rng.random(n) < 0.99, rng.choice(3, size=n, p=common / common.sum()), rng.integers(3, 12, n))
    y[:24] = np.arange(24) % 12
    usual = rng.integers(60, size=(12, 3))  # services that a class is met on
    service = np.where(rng.random(n) < 0.97, usual[y, rng.integers(3, size=n)], rng.zipf(1.5, size=n) % 60)
    sent = np.where(rng.random(n) < 0.77, np.exp(rng.normal(5 + y % 4, 2.0)), 0.0).round()
    got = np.where(rng.random(n) < 0.3, np.exp(rng.normal(4 + y % 5, 2.5)), 0.0).round()
    seconds = np.where(rng.random(n) < 0.03, np.exp(rng.normal(4, 3.0, size=n)), 0.0).round()
    rare = rng.random((n, 6)) < 0.002 + 0.3 * (rng.random((12, 6)) < 0.1)[y]
    counters = np.where(rare, rng.geometric(0.4, size=(n, 6)), 0.0)
    rates = np.clip((rng.random((12, 8)) < 0.3)[y] + 0.05 * rng.standard_t(2, size=(n, 8)), 0, 1).round(2)
    return np.column_stack([seconds, sent, got, counters, rates, np.eye(60)[service]]), y


def genomes(n: int = 3_000) -> Data:
    """180 dummies of 60 places with three of four letters each, some of which tell 3 classes."""
    rng = np.random.default_rng(10)
    y = rng.integers(3, size=n)
    frequencies = np.where(rng.random(60) < 0.2, 0.3, 2e-2)[:, np.newaxis, np.newaxis]
    odds = np.cumsum(rng.dirichlet(np.ones(4), size=(60, 3)) * frequencies + (1 - frequencies) / 4, axis=2)
    letters = (rng.random((n, 60, 1)) > np.swapaxes(odds, 0, 1)[y]).sum(axis=2)
    return np.eye(4)[letters][:, :, :3].reshape(n, 180), y


def many_classes(n: int = 6_000) -> Data:
    """12 columns, 60 classes."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(n, 12)) * np.logspace(-1, 2, 12)
    return X, tables.draw(rng, X / np.logspace(-1, 2, 12) @ rng.normal(size=(12, 60)))


def soft(n: int = 4_000) -> Data:
    """Distributions over 6 classes as targets, 15 columns of spreads from 1e-2 to 1e3."""
    rng = np.random.default_rng(12)
    X = rng.normal(size=(n, 15))
    logits = X @ rng.normal(size=(15, 6)) + rng.normal(size=(n, 6))
    T = np.exp(logits - logits.max(axis=1, keepdims=True))
    return X * np.logspace(-2, 3, 15), T / T.sum(axis=1, keepdims=True)


def far_means(n: int = 5_000) -> Data:
    """10 columns of spread one with means up to 1e8."""
    X, y, _ = problems.alike(*problems.sample(np.random.default_rng(13), n, p=10, n_classes=4))
    return X + np.logspace(0, 8, 10), y


def dummies(n_classes: int, n_dummies: int, n: int = 3_000) -> Callable[[], Data]:
    """Columns of ten orders, dummies of a few rows, and a class that never occurs with them."""

    def make() -> Data:
        rng = np.random.default_rng(0)
        X = np.exp(3 * rng.normal(size=(n, 10))) * 10.0 ** np.arange(-5, 5)
        X = np.column_stack([X, rng.random((n, n_dummies)) < 0.01])
        y = problems.labels(np.log(X[:, :10]) @ rng.normal(size=(10, n_classes)), rng)
        X[y == 0, 10:] = 0.0
        return X, y

    return make


def with_an_outlier() -> Data:
    """Wine, but for one entry of 1e8."""
    X, y = BUNDLED["wine"]()
    X[0, 3] = 1e8
    return X, y


def wide_with_soft_targets() -> Data:
    """100 rows of 5000 columns, whose targets are distributions."""
    rng = np.random.default_rng(14)
    return rng.normal(size=(100, 5000)), rng.dirichlet(5 * np.ones(3), size=100)


def logits(n_classes: int, factor: float = 1.0) -> Callable[[], Data]:
    """1000 rows of heavy tails, all times a factor."""

    def make() -> Data:
        rng = np.random.default_rng(15)
        z = rng.standard_t(4, size=(1000, n_classes)) * np.exp(rng.normal(size=(1000, 1)) / 2)
        return factor * z, problems.labels(z, rng)

    return make


def stored(data: Callable[[], Data]) -> Callable[[], Data]:
    """The same, sparse."""

    def make() -> Data:
        X, *others = data()
        return sparse.csr_array(X), *others

    return make


def two_separated_classes(n: int = 2_500, p: int = 350, n_classes: int = 7) -> Data:
    """Rows of two classes that a combination of features separates, which is zero in those of the others."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, p))
    y = problems.labels(X @ rng.normal(size=(p, n_classes)) / np.sqrt(p), rng)
    X[:, 0] = np.select([y == 0, y == 1], [1.0, -1.0]) * np.abs(rng.normal(size=n))
    X[:, :7] = X[:, :7] @ rng.normal(size=(7, 7))
    return X, y


# Cases


def crossed(name: str, data: Callable[[], Data], *Cs: float, **options: Any) -> dict[str, Case]:
    """A fit for each C."""
    says = "".join(f", {key}={value}" for key, value in options.items())
    return {f"{name}, C={C:g}{says}": Case(data, partial(fit, C=C, **options)) for C in Cs}


def hard(*makes: Callable[..., problems.Problem], Cs: tuple[float, ...], **options: Any) -> dict[str, Case]:
    """Fits to hard problems of the tests."""
    made: dict[str, Case] = {}
    for make in makes:
        made |= crossed(make.__name__.replace("_", " "), weighted(make), *Cs, **options)
    return made


BUNDLED = {name: tables.bundled(name) for name in ("iris", "wine", "breast_cancer", "digits")}
SMOOTH = {
    **crossed("iris", BUNDLED["iris"], 1e-2, 1.0, 1e4, INF),
    **crossed("wine", BUNDLED["wine"], 1e-2, 1.0, 1e4),
    **crossed("breast_cancer", BUNDLED["breast_cancer"], 1e-2, 1.0, 1e4),
    **crossed("digits", BUNDLED["digits"], 1.0, 1e4),
    **crossed("anes96", tables.anes96, 1.0, INF),
    **crossed("units", tables.units, 1e-2, 1.0, 1e4, INF),
    **crossed("letters", tables.letters, 1.0),
    **crossed("terrain", tables.terrain, 1.0, INF),
    **crossed("images", lambda: tables.images(3_000, 200), 1.0),
    **crossed("sensors", sensors, 1e-2, 1.0, 1e4),
    **crossed("connections", connections, 1.0, 1e4),
    **crossed("genomes", genomes, 1e-2, 1.0),
    **crossed("many classes", many_classes, 1.0),
    **crossed("soft targets", soft, 1e-2, 1.0, INF),
    **crossed("far means", far_means, 1.0, INF),
    **crossed("genes", tables.wide, 1e-2, 1.0, 1e4),
    **crossed("text", lambda: tables.text(2_000, 10_000), 1e-2, 1.0, 100.0, 1e4),
    **crossed("without an intercept", tables.units, 1.0, fit_intercept=False),
    **crossed("to many digits", tables.units, 1.0, tol=1e-8),
    **crossed("two separated classes", two_separated_classes, INF, tol=1e-7),
}
HARD = {
    **hard(
        problems.units_from_1e_minus_8_to_1e8,
        problems.duplicated_and_constant_columns,
        problems.one_hot_blocks,
        problems.weights_over_twelve_orders,
        Cs=(1.0, INF),
    ),
    **hard(problems.one_sample_a_class, problems.more_columns_than_rows, Cs=(1.0,)),
    **hard(problems.separated, problems.separated_into_three, Cs=(1.0, 1e6, 1e12, INF)),
    **hard(
        problems.nearly_separated_with_classes_of_two_rows,
        problems.separated_but_for_rows_of_little_weight,
        Cs=(1.0, 1e6, INF),
    ),
    **hard(
        problems.rare_classes,
        problems.rare_categories,
        problems.a_few_wrong_labels,
        problems.three_rows_far_out,
        Cs=(1.0, INF),
    ),
    **crossed("large cauchy", large(problems.cauchy), 1.0, INF),
    **crossed("large log normal", large(problems.log_normal), 1.0, INF),
    **crossed("large weights", large(problems.weights_over_twelve_orders), 1.0, INF),
    **crossed("large years", large(problems.years_and_timestamps), 1.0, INF),
    **hard(problems.wide, Cs=(1e-2, 1.0, INF)),
    **hard(problems.words, Cs=(1.0, 100.0)),
    **crossed("sparse rare categories", stored(weighted(problems.rare_categories)), 1.0),
    **crossed("sparse words", stored(weighted(problems.words)), 1.0, 1e4),
    **{
        key: case
        for K in (3, 7)
        for n_dummies in (1, 20)
        for key, case in crossed(f"{n_dummies} dummies, {K} classes", dummies(K, n_dummies), INF).items()
    },
    **crossed("sparse and wide", stored(weighted(problems.wide_and_sparse)), 1.0),
}
OTHERS = {
    **{
        key: case
        for name, data in BUNDLED.items()
        for ratio in (0.5, 1.0)
        for key, case in crossed(name, data, 1.0, l1_ratio=ratio).items()
    },
    **crossed("units", tables.units, 1.0, l1_ratio=0.5),
    **crossed("genes", lambda: tables.wide(200, 2_000), 1.0, l1_ratio=1.0),
    **crossed("text", lambda: tables.text(1_000, 3_000), 1.0, l1_ratio=1.0),
    **hard(*problems.HARD, Cs=(1.0,), l1_ratio=0.5),
    **hard(*problems.HARD, Cs=(1.0,), l1_ratio=1.0),
    "path of wine": Case(BUNDLED["wine"], partial(path, Cs=np.geomspace(1e-3, 1e3, 13))),
    "path of wine, l1_ratio=0.5": Case(
        BUNDLED["wine"], partial(path, Cs=np.geomspace(1e-3, 1e2, 21), l1_ratio=0.5)
    ),
    "path of wine, l1_ratio=1.0": Case(
        BUNDLED["wine"], partial(path, Cs=np.geomspace(1e-3, 1e2, 21), l1_ratio=1.0)
    ),
    "path of units": Case(tables.units, path),
    "search on wine": Case(BUNDLED["wine"], partial(search, Cs=np.logspace(-4, 4, 10))),
    "search on digits": Case(BUNDLED["digits"], partial(search, Cs=[1e-2, 1.0, 100.0], cv=3)),
    "search on wine with an outlier": Case(with_an_outlier, partial(search, Cs=[1e-3, 1.0, 1e3], tol=1e-6)),
    "search on far means": Case(partial(far_means, 300), partial(search, Cs=[1e-2, 1.0, 100.0], tol=1e-8)),
    "wine again": Case(BUNDLED["wine"], again),
    "wide, soft targets, again, C=1": Case(wide_with_soft_targets, partial(again, C=1.0, tol=1e-6)),
    "wide, soft targets, again, C=inf": Case(wide_with_soft_targets, partial(again, C=INF, tol=1e-6)),
    **{f"temperatures of {K} classes": Case(logits(K), temperatures) for K in (2, 10, 100)},
    "temperatures of logits near 1e18": Case(logits(3, factor=2.0**60), temperatures),
}
ALL = {**SMOOTH, **HARD, **OTHERS}
