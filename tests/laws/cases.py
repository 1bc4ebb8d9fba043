"""Cases for laws: drawn problems, ways to write the same model, and how far apart two answers are.

**Exact numbers.** Features are whole numbers below 2**24, times a power of two for each column. Either
precision has them exactly, and sums with a constant, and multiples: what is written in two ways is the same
to the last bit.

**Well-posed.** Every case has an optimum at finite coefficients and logits that are unique. Without a penalty
targets are soft with positive entries, or each row of features is there with every label; neither can be
separated, in however many columns.

**The same.** A fit at `tol` ends at a gradient whose norm in the Fisher metric is at most `tol`, and so
within `tol` of the optimum in that metric, to second order in `tol`, which is 1e-8 here. Two fits of one
model are within ``2 tol``, and what rounds is added. A coefficient in its dtype is off by half a unit in the
last place, which moves a logit by ``eps / 2 sum_j |W_kj x_ij|`` at most, and so does an intercept. Products
and sums in float64 move it by eps times the number of terms times ``||W_k|| ||x_i||`` at most: the norms,
since a rotation of coordinates mixes the errors of columns. Logits that move by at most d are a distance of
at most d apart: the metric is a variance over the classes, in the mean over the samples.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy import linalg, sparse
from sklearn.exceptions import ConvergenceWarning

from smreg import SoftmaxRegression

TOL = 1e-8
UNEQUAL = 1.1  # see `optima`
EPS = float(np.finfo(np.float64).eps)
STORAGES = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "CSR": sparse.csr_array,
    "CSC": sparse.csc_array,
}
SPARSE = ["CSR", "CSC"]
DTYPES = [np.float64, np.float32]
RANK = 1e-11  # of the largest singular value
FAR = 2**13  # spreads from zero: the columns of dense X are then shifted
LARGEST_MEAN = 2**21  # of columns whose spread is 2 and more: a million spreads


def examples(number, cost=1):
    """So many in the suite; in a profile with another number than hypothesis's 100 that, over the cost."""
    more = settings().max_examples
    return settings(max_examples=number if more == 100 else max(more // cost, 1))


@dataclass(frozen=True, repr=False)
class Case:
    """What is fitted: features in float64, codes or soft targets, weights or None, and the options."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    options: dict[str, Any]
    dtype: Any = np.float64
    storage: str = "C"
    units: np.ndarray = field(default_factory=lambda: np.ones(1))
    offset: np.ndarray | None = None

    def __repr__(self):
        """What matters, and all of it where that is little."""
        n, p = self.X.shape
        kind = "labels" if self.y.ndim == 1 else "soft targets"
        options = {name: float(value) for name, value in self.options.items()}
        head = f"{n} x {p} {self.storage} {np.dtype(self.dtype).name}, {kind}, {options}"
        return head if n * p > 60 else f"{head}, X={self.X!r}, y={self.y!r}, weights={self.weights!r}"

    def _repr_pretty_(self, printer, cycle):  # hypothesis would print every field of a dataclass
        printer.text(repr(self))

    @property
    def tol(self):
        """`TOL`; where sparse columns lie far from zero a thousand times that.

        They are not shifted, and their sums round by some 1e-10 of a spread each, which
        columns that are all but collinear magnify.
        """
        X = self.X[self.shares > 0]
        spread, mean = X.std(axis=0), np.abs(X.mean(axis=0))
        far = (mean > FAR * spread) & (spread > 0) & self.options["fit_intercept"]
        return 1000 * TOL if self.storage in SPARSE and far.any() else TOL

    @property
    def farthest(self):
        """Mean of a column: without a penalty what may be the rounding of float32 is not fitted."""
        return LARGEST_MEAN if self.dtype == np.float64 or self.options["C"] < np.inf else MEANS[2]

    @property
    def design(self):
        """The features as they are stored."""
        return STORAGES[self.storage](self.X.astype(self.dtype))

    @property
    def targets(self):
        """Of shape (n, K), whatever y is."""
        return np.eye(self.y.max() + 1)[self.y] if self.y.ndim == 1 else self.y

    @property
    def known(self):
        """The offsets, of all classes."""
        return np.zeros(self.targets.shape) if self.offset is None else self.offset

    @property
    def shares(self):
        """Weights that sum to one."""
        weights = np.ones(len(self.X)) if self.weights is None else self.weights
        return weights / weights.sum()

    @property
    def live(self):
        """Which classes take part."""
        return (self.shares @ self.targets > 0) | (not self.options["fit_intercept"])

    @property
    def total(self):
        """The sum S of the weights."""
        return float(len(self.X) if self.weights is None else self.weights.sum())

    @property
    def penalty(self):
        """Factors of the ridge and L1 parts, ``(1 - l1_ratio) / (C S)`` and ``l1_ratio / (C S)``."""
        gamma, ratio = 1 / (self.options["C"] * self.total), self.options.get("l1_ratio", 0.0)
        return gamma * (1 - ratio), gamma * ratio

    def fit(self, **options):
        """The model at `tol`; what it warns of is in its record."""
        model = SoftmaxRegression(**{"tol": self.tol} | self.options | options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(self.design, self.y, self.weights, self.offset)


class Answer(NamedTuple):
    """Coefficients (K, p) and intercepts (K,) of all classes, and the precision in which they came."""

    coef: np.ndarray
    intercept: np.ndarray
    precision: float

    @classmethod
    def of(cls, coef, intercept):
        """The single row w of two classes as -w/2 and w/2: these are exact."""
        W, b = np.asarray(coef, dtype=np.longdouble), np.asarray(intercept, dtype=np.longdouble)
        if len(W) == 1:
            W, b = np.concatenate([-W / 2, W / 2]), np.concatenate([-b / 2, b / 2])
        return cls(W, b, float(np.finfo(coef.dtype).eps))

    def logits(self, X):
        """In long doubles, where the platform has them."""
        return np.asarray(X, dtype=np.longdouble) @ self.coef.T + self.intercept


def answer_of(model):
    return Answer.of(model.coef_, model.intercept_)


# -- the record


def objective_at(case, answer):
    """The penalised mean cross-entropy, by its definition.

    With intercepts a class without weight has no part in it: its probability is zero.
    """
    live = case.live
    eta, targets = (answer.logits(case.X) + case.known)[:, live], case.targets[:, live]
    eta = eta - eta.max(axis=1, keepdims=True)
    loss = np.log(np.exp(eta).sum(axis=1)) - (targets * eta).sum(axis=1)
    used = case.shares > 0
    return float(case.shares[used] @ loss[used]) + penalty_at(case, answer)


def penalty_at(case, answer):
    """Two classes have rows of opposite sign here, one of which has half of the single row's norm."""
    ridge, l1 = case.penalty
    W = answer.coef[1:] * 2 if len(answer.coef) == 2 else answer.coef
    return float(ridge / 2 * np.sum(W**2) + l1 * np.sum(np.abs(W)))


def record_rounding(case, answer):
    """By how much the record may differ from what the coefficients give.

    A loss changes by at most twice what its logits do, which is half a unit of the coefficients' dtype:
    ``eps(dtype) max_i (sum_j |W_kj x_ij| + |b_k|)``. The penalty's relative change is twice that of the
    coefficients. What float64 does to sums of p, n and K terms is added.
    """
    in_dtype, in_double = _sizes(case, answer)
    n, p = case.X.shape
    sums = 2 * (p + 16) * EPS * in_double + (n + 16) * EPS * abs(objective_at(case, answer))
    return answer.precision * in_dtype + sums + 2 * answer.precision * penalty_at(case, answer)


def _sizes(case, answer):
    """Largest ``sum_j |W_kj x_ij| + |b_k|``, and ``||W_k|| ||x_i|| + |b_k|``, where weights are.

    The single row of two classes is twice the second of the two.
    """
    X, live = case.X[case.shares > 0], case.live
    W, b = (np.abs(part) for part in needed(case, answer))
    factor = 2 if len(answer.coef) == 2 else 1
    known = np.abs(case.known[case.shares > 0]).max()  # which is rounded as sums are, not as coefficients
    sums = (np.abs(X) @ W[live].T + b[live]).max()
    norms = (np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(W[live], axis=1)) + b[live]).max()
    return factor * float(sums), factor * float(norms) + known


def needed(case, answer):
    """Coefficients and intercepts of least norm with the logits of an answer.

    Without an L1 norm its own are to be these. Larger ones would excuse their own rounding.
    """
    if case.penalty[1] > 0 or not np.isfinite(answer.coef).all():
        return answer.coef.astype(float), answer.intercept.astype(float)
    used = case.shares > 0
    X, eta = case.X[used], answer.logits(case.X[used])
    if not case.options["fit_intercept"]:
        return linalg.lstsq(X, eta.astype(float), cond=RANK)[0].T, np.zeros(eta.shape[1])
    rows = X - X[0]  # exact, so that a constant column is zero, and one far from zero no worse than others
    rows, mean = rows - rows.mean(axis=0), X[0] + rows.mean(axis=0)
    W = linalg.lstsq(rows, (eta - eta.mean(axis=0)).astype(float), cond=RANK)[0].T
    return W, eta.mean(axis=0).astype(float) - W @ mean


# -- two answers


def distance(case, one, other):
    """Of two answers in the Fisher metric at the first, with that of the ridge penalty."""
    eta = one.logits(case.X) + case.known
    p = np.exp(eta - eta.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = other.logits(case.X) - eta
    d = d - (p * d).sum(axis=1, keepdims=True)
    ridge = case.penalty[0] * (2 if len(one.coef) == 2 else 1)
    squares = case.shares @ (p * d**2).sum(axis=1)
    if ridge > 0:
        squares = squares + ridge * np.sum((other.coef - one.coef) ** 2)
    return float(np.sqrt(squares))


def rounding(case, answer):
    """How far an answer may be, in that metric, from what would be had without rounding."""
    in_dtype, in_double = _sizes(case, answer)
    logits = answer.precision / 2 * in_dtype + (case.X.shape[1] + 16) * EPS * in_double
    norm = float(np.linalg.norm(answer.coef))
    return logits + np.sqrt(2 * case.penalty[0]) * (answer.precision / 2 + 16 * EPS) * norm


def objective_rounding(case, answer):
    """How far the record of an optimum may be from the minimum: what `tol` leaves, and sums in float64."""
    n, p = case.X.shape
    sums = 2 * (p + 16) * EPS * _sizes(case, answer)[1] + (n + 16) * EPS * abs(objective_at(case, answer))
    return UNEQUAL * case.tol**2 + sums


class Written(NamedTuple):
    """The case written in another way, and where in it rows, columns and classes of the case are.

    `columns` is None where they are others, which say the same: coefficients are then not compared.
    """

    case: Case
    rows: Any = slice(None)
    columns: Any = slice(None)
    classes: Any = slice(None)


def assert_same(case, written, **options):
    """Both converge, to the same logits, coefficients and objective: see the module's docstring."""
    here, there = case.fit(**options), written.case.fit(**options)
    assert (here.solution_.reason, there.solution_.reason) == ("converged", "converged")

    apart, allowed = compared(case, here, written, there)
    assert apart <= allowed, f"logits are {apart:.3g} apart in the Fisher metric, of {allowed:.3g} allowed"

    change, allowed = objectives_compared(case, here, written, there)
    assert change <= allowed, f"objectives are {change:.3g} apart, of {allowed:.3g} allowed"


def compared(case, here, written, there):
    """How far two fits are apart, and may be."""
    one, far = answer_of(here), answer_of(there)
    allowed = case.tol + written.case.tol + rounding(case, one) + rounding(written.case, far)
    return distance_as_written(case, one, written, far), allowed


def objectives_compared(case, here, written, there):
    """By how much the records' objectives differ, and may."""
    allowed = objective_rounding(case, answer_of(here)) + objective_rounding(written.case, answer_of(there))
    return abs(here.solution_.objective - there.solution_.objective), allowed


def distance_as_written(case, one, written, far):
    """`distance` of an answer from that to the case as it is written."""
    eta = (far.logits(written.case.X) + written.case.known)[written.rows][:, written.classes]
    if written.columns is None:
        return distance(case, one, _Logits(eta, one.coef))
    coef = far.coef[written.classes][:, written.columns]
    return distance(case, one, _Logits(eta, coef))


class _Logits(NamedTuple):
    """An answer whose logits are known."""

    eta: np.ndarray
    coef: np.ndarray

    def logits(self, X):
        return self.eta


# -- drawing


RIDGE = {"l1_ratio": [0.0], "C": 10.0 ** np.arange(-3, 4)}
NET = {"l1_ratio": [0.5], "C": 10.0 ** np.arange(-2, 3)}
LASSO = {"l1_ratio": [1.0], "C": 10.0 ** np.arange(-2, 3)}
NONE = {"l1_ratio": [0.0], "C": [np.inf]}
PENALTIES = {"ridge": RIDGE, "net": NET, "lasso": LASSO, "none": NONE}

MEANS = [0, 10, 1000, LARGEST_MEAN]  # of columns, of which those without an intercept are not free
KINDS_OF_WEIGHTS = ["none", "counts", "numbers", "zeros"]
COLUMNS = ["number", "dummy", "rare", "constant", "twice"]


@st.composite
def cases(draw, penalties=tuple(PENALTIES), intercept=None, dtypes=tuple(DTYPES), soft=None, absent=False):
    """All that laws are about: tall, wide and sparse X, K >= 2, any penalty, storage, dtype, weights."""
    penalty = PENALTIES[draw(st.sampled_from(penalties))]
    options = {name: draw(st.sampled_from(list(values))) for name, values in penalty.items()}
    options["fit_intercept"] = draw(st.booleans()) if intercept is None else intercept
    n_classes, storage = draw(st.integers(2, 4)), draw(st.sampled_from(list(STORAGES)))
    dtype, soft = draw(st.sampled_from(dtypes)), draw(st.booleans()) if soft is None else soft
    shape = draw(st.sampled_from(["tall", "wide", "rows of few"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    all_labels = options["C"] == np.inf and not soft  # for each row, which makes many of few
    few = {"tall": (8, 40), "wide": (4, 5) if all_labels else (6, 16), "rows of few": (24, 40)}[shape]
    n = draw(st.integers(*few))
    y = rng.permutation(np.arange(n) % n_classes)
    means = MEANS if options["fit_intercept"] else MEANS[:2]
    if dtype == np.float32 and options["C"] == np.inf:
        means = means[:3]  # see `Case.farthest`
    X = features(draw, shape, n, y, rng, means)
    units = 2.0 ** rng.integers(-6, 7, X.shape[1]) if draw(st.booleans()) else np.ones(X.shape[1])
    if soft:
        y = draw_soft(y, n_classes, rng, positive=options["C"] == np.inf)
    elif all_labels:
        X, y = with_every_label(X, n_classes, rng)
    weights = draw_weights(draw, y, rng, KINDS_OF_WEIGHTS[:3] if all_labels else KINDS_OF_WEIGHTS)
    if absent and y.ndim == 1 and n_classes > 2 and not all_labels and draw(st.booleans()):
        weights = np.where(y == 1, 0.0, np.ones(len(y)) if weights is None else weights)
    return Case(X * units, y, weights, options, dtype, storage, units)


def features(draw, shape, n, y, rng, means):
    """Integers, whose columns lie up to a million spreads from zero."""
    if shape == "tall":
        kinds = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=5))
        means = draw(st.lists(st.sampled_from(means), min_size=len(kinds), max_size=len(kinds)))
        columns: list[np.ndarray] = []
        for kind in kinds:
            columns.append(column(kind, columns, y, rng))
        return np.column_stack(columns) + [float(mean) for mean in means]
    if shape == "rows of few":
        p = draw(st.integers(200, 300))
        X = np.zeros((n, p))
        for _ in range(2):
            X[np.arange(n), rng.integers(0, p, n)] = rng.integers(1, 4, n)
        return X
    p = draw(st.integers(n - 1, 40) if n > 5 else st.integers(35, 45))
    mean, everywhere = draw(st.sampled_from(means)), draw(st.booleans())
    signal = draw(st.sampled_from([0.0, 1.0])) * rng.normal(size=(y.max() + 1, p))[y]
    X = np.round(3 * (signal + rng.normal(size=(n, p))))
    return X + mean * (1 if everywhere else rng.integers(-1, 2, p))


def column(kind, before, y, rng):
    """One of the kinds of columns of a tall X; the last of those before, twice, if there is one."""
    n = len(y)
    if kind == "twice" and before:
        return 2 * before[-1]
    if kind == "constant":
        return np.full(n, 5.0)
    if kind == "dummy":
        return 8.0 * rng.integers(0, 2, n)
    if kind == "rare":
        return 16.0 * (rng.permutation(n) < 2)
    return np.round(3 * (rng.choice([0.0, 1.0]) * rng.normal(size=y.max() + 1)[y] + rng.normal(size=n)))


def draw_soft(y, n_classes, rng, *, positive):
    """Distributions that favour the labels; without a penalty no class is excluded anywhere."""
    soft = rng.dirichlet(np.ones(n_classes), size=len(y)) + np.eye(n_classes)[y]
    soft = soft + 0.1 if positive else np.where(soft < 0.2, 0.0, soft)
    return soft / soft.sum(axis=1, keepdims=True)


def with_every_label(X, n_classes, rng):
    """Each row with each label, once to three times."""
    counts = rng.integers(1, 4, len(X) * n_classes)
    y = np.repeat(np.arange(n_classes), len(X))
    return np.tile(X, (n_classes, 1)).repeat(counts, axis=0), y.repeat(counts)


def draw_weights(draw, y, rng, kinds):
    """None, or one for each sample; the first sample of each class, and the first of all, have some."""
    kind, n = draw(st.sampled_from(kinds)), len(y)
    if kind == "none":
        return None
    if kind == "counts":
        return rng.integers(1, 4, n).astype(float)
    if kind == "numbers":
        return 2.0 ** rng.integers(-6, 7, n)
    kept = np.unique(y, return_index=True)[1] if y.ndim == 1 else [0]
    weights = rng.integers(0, 3, n).astype(float)
    weights[kept] = 1.0
    return weights
