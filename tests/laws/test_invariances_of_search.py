"""Ways to write a model that change nothing in it change neither the grid of C nor what is chosen on it.

Cross-validation has the same folds, whose rows are given: default folds go by the order of rows. A sample
twice is in a fold twice, which leave-one-out does not do: there it is two.

``python -m pytest tests/laws/test_invariances_of_search.py --hypothesis-profile=thorough`` tries 10,000
cases, over the cost that stands with each law.
"""

import warnings
from dataclasses import replace

import numpy as np
from cases import (
    DTYPES,
    LARGEST_MEAN,
    MEANS,
    STORAGES,
    TOL,
    Answer,
    Case,
    examples,
)
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg, special
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut

from smreg import (
    SoftmaxRegression,
    SoftmaxRegressionCV,
    TemperatureScaling,
    calibration_study,
    regularization_path,
)

GRID = {"rtol": 1e-3}  # in which a default derived from the data may differ
N_FOLDS = 3


# -- problems, and ways to write them


@st.composite
def problems(draw, l1_ratios=(0.0, 0.5, 1.0), shapes=("tall", "wide", "determined")):
    """Samples in three folds, each with all classes, which the features separate more or less; `groups` are
    the folds' numbers. `determined` columns are parts of a whole.
    """
    n_classes, shape = draw(st.integers(2, 3)), draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n = N_FOLDS * draw(st.integers(3, 6)) * n_classes
    y, folds = np.arange(n) % n_classes, np.arange(n) // n_classes % N_FOLDS
    p = {"tall": draw(st.integers(1, 4)), "wide": n + draw(st.integers(1, 30)), "determined": 4}[shape]
    signal = draw(st.sampled_from([0.5, 1.0])) * rng.normal(size=(n_classes, p))[y]
    X = np.round(4 * (signal + rng.normal(size=(n, p))))
    if shape == "determined":
        X[:, -1] = 100 - X[:, :-1].sum(axis=1)
    X += draw(st.sampled_from(MEANS)) * rng.integers(-1, 2, X.shape[1])
    order = rng.permutation(n)
    options = {"l1_ratio": draw(st.sampled_from(l1_ratios)), "fit_intercept": True, "C": 1.0}
    weights = draw(st.sampled_from([None, rng.integers(1, 4, n).astype(float)]))
    storage, dtype = draw(st.sampled_from(list(STORAGES))), draw(st.sampled_from(DTYPES))
    return Search(Case(X[order], y[order], weights, options, dtype, storage), folds[order])


class Search:
    """A case, and of each sample in which fold's test part it is."""

    def __init__(self, case, folds):
        self.case, self.folds = case, folds

    def __repr__(self):
        """The case, and the folds."""
        return f"{self.case!r}, folds={self.folds!r}"

    @property
    def cv(self):
        """Training and test parts."""
        numbers = np.unique(self.folds)
        return [(np.flatnonzero(self.folds != k), np.flatnonzero(self.folds == k)) for k in numbers]

    def without(self, fold):
        """The training part."""
        kept = self.folds != fold
        case, (_, folds) = self.case, np.unique(self.folds[kept], return_inverse=True)
        return Search(replace(case, X=case.X[kept], y=case.y[kept]), folds)

    def path(self, **options):
        """The path on the default grid."""
        case = self.case
        options = {"l1_ratio": case.options["l1_ratio"]} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of separation, say: it is the grid that counts
            return regularization_path(case.design, case.y, sample_weight=case.weights, **options)

    def model(self, **options):
        """The search on folds."""
        case = self.case
        options = {"l1_ratios": [case.options["l1_ratio"]], "cv": self.cv} | options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return SoftmaxRegressionCV(**options).fit(case.design, case.y, case.weights)


@st.composite
def ways(
    draw, search, names=("constant", "rows", "classes", "columns", "storage", "centred", "twice", "none")
):
    """The same problem in another way, and how classes and columns are found there."""
    case, folds = search.case, search.folds
    n, p = case.X.shape
    n_classes = case.y.max() + 1
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    way = draw(st.sampled_from(names))
    weights = np.ones(n) if case.weights is None else case.weights
    if way == "constant":
        far = draw(st.sampled_from([1.0, 100.0, LARGEST_MEAN])) * rng.integers(-1, 2, p)
        return Search(replace(case, X=case.X + far), folds)
    if way == "centred":
        return Search(replace(case, X=case.X - np.round(case.X.mean(axis=0))), folds)
    if way == "rows":
        order = rng.permutation(n)
        weights = None if case.weights is None else case.weights[order]
        return Search(replace(case, X=case.X[order], y=case.y[order], weights=weights), folds[order])
    if way == "classes":
        return Search(replace(case, y=rng.permutation(n_classes)[case.y]), folds)
    if way == "columns":
        return Search(replace(case, X=case.X[:, rng.permutation(p)]), folds)
    if way == "storage":
        return Search(replace(case, storage=draw(st.sampled_from(list(STORAGES)))), folds)
    chosen = np.arange(n) if way == "twice" else rng.integers(0, n, 5)
    if way == "twice":  # a sample is there as often as its weight says
        counts = weights.astype(int)
        rows = np.arange(n).repeat(counts)
        return Search(replace(case, X=case.X[rows], y=case.y[rows], weights=None), folds[rows])
    rows = np.append(np.arange(n), chosen)  # some without weight
    X = case.X[rows] + 10 * (np.arange(len(rows)) >= n)[:, np.newaxis]
    more = np.append(weights, np.zeros(5))
    return Search(replace(case, X=X, y=case.y[rows], weights=more), folds[rows])


# -- the grid


@examples(40, cost=10)
@given(problems(), st.data())
def test_the_default_grid_does_not_depend_on_how_the_model_is_written(search, data):
    written = data.draw(ways(search))

    assert_allclose(written.path().Cs, search.path().Cs, **GRID)


@examples(15, cost=50)
@given(problems(), st.data())
def test_the_default_grid_of_a_search_does_not_depend_on_how_the_model_is_written(search, data):
    written = data.draw(ways(search))

    assert_allclose(written.model().Cs_, search.model().Cs_, **GRID)


@examples(20, cost=10)
@given(problems(l1_ratios=[0.0, 1.0]), st.integers(-20, 20), st.booleans())
def test_the_default_grid_has_the_units_of_the_penalty(search, exponent, negative):
    """Columns times c: a coefficient is divided by c, its square by its square."""
    c = (-1 if negative else 1) * 2.0**exponent
    written = Search(replace(search.case, X=c * search.case.X), search.folds)
    power = -1 if search.case.options["l1_ratio"] == 1 else -2

    assert_allclose(written.path().Cs, search.path().Cs * abs(c) ** power, **GRID)


@examples(10, cost=50)
@given(problems(l1_ratios=[0.0, 1.0]), st.integers(-20, 20))
def test_the_default_grid_of_a_search_has_the_units_of_the_penalty(search, exponent):
    """And the score no units."""
    c = 2.0**exponent
    written = Search(replace(search.case, X=c * search.case.X), search.folds)
    power = -1 if search.case.options["l1_ratio"] == 1 else -2
    here, there = search.model(), written.model()

    assert_allclose(there.Cs_, here.Cs_ * c**power, **GRID)


# -- cross-validation


CS = np.array([1e-3, 0.1, 10.0])


def logits_off(search, model):
    """By how much logits of test parts may be off for each C, in the largest difference of two classes.

    A fit that ends within `TOL` of its optimum in the Fisher metric H is off by ``TOL sqrt(x' H^-1 x)`` at
    most in a contrast of unit length of the logits of x, and the difference of two is one of length sqrt(2).
    For the largest over all contrasts stands the root of the sum over the classes. Coefficients, products and
    sums are rounded to the dtype.
    """
    case, coefs = search.case, model.coefs_paths_[:, 0]
    off = np.empty(coefs.shape[:2])
    for (k, c), _ in np.ndenumerate(off):
        answer = Answer.of(coefs[k, c, :, :-1], coefs[k, c, :, -1])
        train = search.folds != k
        weights = case.shares[train] * case.total
        options = case.options | {"C": model.Cs_[c]}
        part = replace(case, X=case.X[train], y=case.y[train], weights=weights, options=options)
        leverage = largest_leverage(part, answer, case.X[~train])
        sizes = np.abs(case.X) @ np.abs(answer.coef.T).astype(float) + np.abs(answer.intercept).astype(float)
        off[k, c] = np.sqrt(2) * TOL * leverage + 2 * (case.X.shape[1] + 4) * answer.precision * sizes.max()
    return off.max(axis=0)


def largest_leverage(part, answer, X):
    """Largest ``sqrt(sum_k x' H^-1_kk x)`` of new samples."""
    mean, n_classes = part.shares @ part.X, len(answer.coef)
    Z, new = (np.column_stack([x - mean, np.ones(len(x))]) for x in (part.X, X))
    p = special.softmax(answer.logits(part.X).astype(float), axis=1)
    size = n_classes * Z.shape[1]
    covariance = p[:, :, np.newaxis] * (np.eye(n_classes) - p[:, np.newaxis])
    H = np.einsum("i,ikm,ia,ib->kamb", part.shares, covariance, Z, Z, optimize=True).reshape(size, size)
    ridge = part.penalty[0] * (2 if n_classes == 2 else 1)
    H += np.diag(np.tile(np.append(np.full(Z.shape[1] - 1, ridge), 0.0), n_classes))
    ones = np.kron(np.ones((n_classes, n_classes)), np.diag(np.append(np.zeros(Z.shape[1] - 1), 1.0)))
    inverse = linalg.inv(H + ones).reshape(n_classes, Z.shape[1], n_classes, Z.shape[1])
    return np.sqrt(np.einsum("kakb,ia,ib->i", inverse, new, new, optimize=True).max())


@examples(15, cost=100)
@given(problems(shapes=["tall", "wide"], l1_ratios=[0.0, 0.5]), st.data())
def test_scores_do_not_depend_on_how_the_model_is_written(search, data):
    """A loss changes by no more than the largest difference of two logits does; a choice, where the best two
    are no further apart than that."""
    written = data.draw(ways(search))
    here, there = search.model(Cs=CS, tol=TOL), written.model(Cs=CS, tol=TOL)
    allowed = logits_off(search, here) + logits_off(written, there)
    means = here.scores_["mean"]

    assert (np.abs(there.scores_["mean"] - means) <= allowed).all()
    assert means[there.best_index_] >= means.max() - 2 * allowed.max()


def test_leave_one_out_takes_a_sample_twice_for_two(rng):
    """Its folds are as many as there are rows, and the same as those that are given."""
    X, y = rng.normal(size=(12, 2)), np.arange(12) % 2
    rows = np.append(np.arange(12), [0, 0, 5])
    every = [(np.delete(np.arange(len(rows)), i), np.array([i])) for i in range(len(rows))]
    here, there = (SoftmaxRegressionCV(CS, cv=cv).fit(X[rows], y[rows]) for cv in (LeaveOneOut(), every))

    assert len(here.cv_results_["score"]) == len(CS) * len(rows)
    assert_array_equal(here.scores_["mean"], there.scores_["mean"])


# -- temperature


def temperature_off(off, widest, fit, total):
    """By how much a temperature may be off whose logits are.

    The derivative of the mean loss in ``beta = 1/T`` is ``<p - t, z>``. Where differences of logits z, at
    most R, change by d, it changes by ``d (1 + beta R / 4)`` at most, and beta by that over the variance v of
    z. The standard error gives v: it is ``T**2 / sqrt(S v)``.
    """
    T = fit.temperature
    return off * (1 + widest / (4 * T)) * total * fit.standard_error**2 / T**2


def widest_of(search, model):
    """The largest difference of two logits in a test part."""
    answers = [Answer.of(coef[..., :-1], coef[..., -1]) for coef in model.coefs_paths_[:, 0, 0]]
    return max(float(np.ptp(answer.logits(search.case.X), axis=1).max()) for answer in answers)


@examples(10, cost=100)
@given(problems(shapes=["tall", "wide"], l1_ratios=[0.0]), st.data())
def test_a_temperature_does_not_depend_on_how_the_model_is_written(search, data):
    written = data.draw(ways(search))
    found, allowed = [], 0.0
    for each in (search, written):
        fit, off = scaled(each)
        found.append(fit)
        allowed += off

    assert found[0].limit == found[1].limit
    assert found[0].limit or abs(found[0].temperature - found[1].temperature) <= allowed


def scaled(search):
    """The fit of a temperature, and by how much that may be off."""
    case, model = search.case, search.model(Cs=[1.0], tol=TOL)
    scaling = TemperatureScaling(SoftmaxRegression(tol=TOL), cv=search.cv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a limit
        fit = scaling.fit(case.design, case.y, sample_weight=case.weights).temperature_fit_
    return fit, temperature_off(logits_off(search, model)[0], widest_of(search, model), fit, case.total)


@examples(4, cost=500)
@given(problems(shapes=["tall", "wide"], l1_ratios=[0.0]), st.data())
def test_a_study_does_not_depend_on_how_the_model_is_written(search, data):
    """The folds are groups, which divide training parts too. Of the log loss; see `log_loss_off`."""
    search = Search(replace(search.case, weights=None), search.folds)
    written = data.draw(ways(search, names=["constant", "rows", "classes", "columns", "storage", "centred"]))
    here, there = studied(search), studied(written)
    allowed = log_loss_off(search, here) + log_loss_off(written, there)

    assert_array_equal(there.table["method"], here.table["method"])
    assert (np.abs(there.table["value"] - here.table["value"]) <= allowed).all()


def studied(search):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a limit
        return calibration_study(
            {"softmax": SoftmaxRegression(tol=TOL)},
            search.case.design,
            search.case.y,
            groups=search.folds,
            cv=LeaveOneGroupOut(),
            metrics=["log_loss"],
        )


def log_loss_off(search, study):
    """For each row of the table.

    Without calibration what the logits are off; with a temperature T that is off by e, which makes logits off
    by ``R e / T**2``, that of the logits over T besides.
    """
    model = search.model(Cs=[1.0], tol=TOL)
    off, widest = logits_off(search, model)[0], widest_of(search, model)
    found = []
    for k, calibrator in enumerate(study.calibrators["softmax", "temperature"]):
        fit, T = calibrator.temperature_fit_, calibrator.temperature_fit_.temperature
        inner = search.without(k)
        model = inner.model(Cs=[1.0], tol=TOL)
        e = temperature_off(logits_off(inner, model)[0], widest_of(inner, model), fit, inner.case.total)
        found.append(off / T + widest * e / T**2)
    return np.append(np.full(N_FOLDS, off), found)
