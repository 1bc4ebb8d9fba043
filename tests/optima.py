"""Optima found without smreg, and how far a fitted model is from them.

Newton's method on all K rows of coefficients, with step halving, in float64 or in mpmath's arithmetic.
Nothing of smreg's is used, neither code nor coordinates.

**Excess.** Where the gradient vanishes, the excess of the objective over its minimum is a sum of terms
that are not negative,

    ``F(W, b) - F* = 1/S sum_i s_i KL(p*_i, p_i) + gamma/2 ||W - W*||**2``,

which loses no digits to cancellation: it is known to the square of the rounding of logits, where the
difference of two objectives drowns in 1e-16.

**Tolerance.** A fit has converged where the gradient's norm in the Fisher metric is at most `tol`: its
excess is ``tol**2 / 2`` for a quadratic, and the terms beyond it at most double that. (They do where F
falls like ``exp(-t)``, as it does between classes that are separated: there the norm's square is F itself
if all margins are equal. For margins that are not, `UNEQUAL` allows a tenth more.) Logits that are off by
at most d have divergences of at most ``d**2 / 2``, and the root of an excess is a distance, so that
``(tol + d)**2`` bounds the excess of logits that are rounded by d. By Pinsker's inequality the mean square
of the rows' largest errors of a probability is at most half of the excess.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import mpmath
import numpy as np
from scipy import linalg, special

UNEQUAL = 1.1
DIGITS = 60  # of mpmath's arithmetic
MOST_STEPS = 60  # of Newton's method: where classes are separated it adds a nat a step, without end


@dataclass(frozen=True)
class Optimum:
    """Logits (n, K) and coefficients (K, p) at the minimum, both summing to zero over the classes.

    `weights` sum to one, `gamma` is the penalty of coefficients in that form, `value` the minimum.
    """

    logits: np.ndarray
    coef: np.ndarray
    weights: np.ndarray
    gamma: float
    value: float

    @classmethod
    def at(cls, logits, coef, y, weights, gamma):
        """From logits and coefficients in that form, codes or soft targets, and weights of any sum."""
        s = weights / weights.sum()
        linear = logits[np.arange(len(y)), y] if y.ndim == 1 else (logits * y).sum(axis=1)
        value = s @ (special.logsumexp(logits, axis=1) - linear) + gamma / 2 * np.sum(coef**2)
        logits = logits - logits.mean(axis=1, keepdims=True)
        return cls(logits, coef, s, gamma, float(value))

    @property
    def probabilities(self):
        """Of shape (n, K)."""
        return special.softmax(self.logits, axis=1)

    def excess(self, model, X):
        """``F - F*`` of a fitted model, in nats, from its logits and coefficients."""
        p, d = self.probabilities, symmetric_logits(model, X) - self.logits
        d -= (p * d).sum(axis=1, keepdims=True)
        excess = self.weights @ np.log1p((p * _exp_beyond_linear(d)).sum(axis=1))
        if self.gamma > 0:
            excess += self.gamma / 2 * np.sum((symmetric(model.coef_.astype(float)) - self.coef) ** 2)
        return float(excess)


def assert_optimal(model, X, best, tol):
    """What the attributes, the probabilities and the record say is within `tol` of the optimum.

    The record's objective is a mean in float64, whatever the attributes are rounded to.
    """
    distance = tol + logit_rounding(model, X)
    p = model.predict_proba(X)
    largest = np.abs(p - best.probabilities).max(axis=1)
    rounding = 1e-14 * max(1.0, best.value) + 2 * logit_rounding(model, X, np.float64)

    assert best.excess(model, X) <= UNEQUAL * distance**2
    assert np.sqrt(best.weights @ largest**2) <= distance + np.finfo(p.dtype).eps
    assert -rounding <= model.solution_.objective - best.value <= UNEQUAL * tol**2 + rounding


def logit_rounding(model, X, precision=None):
    """Bound on the rounding of the logits: half a unit for each coefficient, product and sum."""
    size = abs(X).astype(float) @ np.abs(model.coef_).T.astype(float) + np.abs(model.intercept_)
    return (X.shape[1] + 2) * np.finfo(precision or model.coef_.dtype).eps / 2 * size.max()


def symmetric(rows):
    """The single row w of two classes as -w/2 and w/2; those of more classes as they are."""
    return np.concatenate([-rows / 2, rows / 2]) if len(rows) == 1 else rows


def symmetric_logits(model, X):
    """Logits of all classes, (n, K), summing to zero over them."""
    eta = np.asarray(model.decision_function(X), dtype=float)
    eta = np.column_stack([-eta / 2, eta / 2]) if eta.ndim == 1 else eta
    return eta - eta.mean(axis=1, keepdims=True)


def _exp_beyond_linear(d):
    """``exp(d) - 1 - d`` to full relative precision: by its series where the terms would cancel."""
    near = np.clip(d, -1e-2, 1e-2)
    series = near**2 / 2 * (1 + near / 3 * (1 + near / 4 * (1 + near / 5 * (1 + near / 6))))
    return np.where(np.abs(d) < 1e-2, series, np.expm1(np.minimum(d, 700)) - d)


def optimum(X, y, weights=None, C=1.0, *, fit_intercept=True, many_digits=False):
    """The minimum of scikit-learn's objective; `y` are codes 0, ..., K - 1 or soft targets.

    With many digits Newton's method goes on in mpmath's arithmetic, with the numbers in X as they are.
    """
    X, T = np.asarray(X, dtype=float), np.eye(y.max() + 1)[y] if y.ndim == 1 else y
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, dtype=float)
    s = weights / weights.sum()
    # scikit-learn's single row w for two classes is the rows -w/2 and w/2 of half its square
    gamma = (2 if T.shape[1] == 2 else 1) / (C * weights.sum())
    mean = s @ X if fit_intercept else np.zeros(X.shape[1])
    centred = np.where(np.ptp(X, axis=0) == 0, 0.0, X - mean) if fit_intercept else X
    back, ridge = _independent_columns(centred, s, gamma)
    ones = np.ones((len(X), int(fit_intercept)))
    Z, ridge = np.column_stack([centred @ back, ones]), np.append(ridge, np.zeros(int(fit_intercept)))
    start = DOUBLE._replace(small=1e-12) if many_digits else DOUBLE
    theta = np.zeros((T.shape[1], Z.shape[1]))
    try:
        theta = _newton(Z, T, s, ridge, theta, start)
    except linalg.LinAlgError:  # beyond the digits of float64
        if not many_digits:
            raise
    if many_digits:
        with mpmath.workdps(DIGITS):
            Z = np.column_stack([(_exact(X) - _exact(mean)) @ _exact(back), _exact(ones)])
            theta = _newton(Z, _exact(T), _exact(s), _exact(ridge), _exact(theta), MANY_DIGITS)
    logits, coef = (Z @ theta.T).astype(float), theta[:, : back.shape[1]].astype(float) @ back.T
    return Optimum.at(logits, coef, y, weights, gamma)


def _independent_columns(centred, s, gamma):
    """Combinations of the columns that are independent and of size one, and their ridge.

    Without a penalty collinear combinations are left out; with one, and many more columns than rows, those
    that are zero in every row: there the coefficients vanish.
    """
    unit = np.sqrt(s @ centred**2 + gamma)
    unit[unit == 0] = 1.0
    if gamma > 0 and centred.shape[1] <= max(centred.shape[0], FEW):
        return np.diag(1 / unit), gamma / unit**2
    if gamma > 0:  # orthonormal combinations, which keep the norm of the coefficients
        unit = np.ones(centred.shape[1])
    _, size, basis = linalg.svd(centred / unit, full_matrices=False)
    kept = size > 1e-10 * size.max(initial=1e-300)
    size = size[kept] / np.sqrt(len(centred))
    return basis[kept].T / unit[:, np.newaxis] / size, gamma / size**2


class Arithmetic(NamedTuple):
    """What Newton's method needs of numbers, and the norm squared that is small among them."""

    exp: Any
    log: Any
    solve: Any
    small: float


def _solve_double(H, g):
    """By Cholesky's factor of the matrix with a unit diagonal: its units do not matter."""
    root = np.sqrt(H.diagonal())
    factor = linalg.cho_factor(H / root / root[:, np.newaxis])
    return linalg.cho_solve(factor, g / root) / root


def _solve_exact(H, g):
    return np.array(list(mpmath.cholesky_solve(mpmath.matrix(H.tolist()), mpmath.matrix(g.tolist()))))


_exact = np.vectorize(mpmath.mpf, otypes=[object])
_exact_exp, _exact_log = np.frompyfunc(mpmath.exp, 1, 1), np.frompyfunc(mpmath.log, 1, 1)
DOUBLE = Arithmetic(np.exp, np.log, _solve_double, small=1e-22)
FEW = 12  # columns that may all be kept, in whatever units
MANY_DIGITS = Arithmetic(_exact_exp, _exact_log, _solve_exact, small=1e-50)


def _newton(Z, T, s, ridge, theta, arithmetic):
    """Newton's method from `theta`, its steps halved where the objective rises."""

    def value(theta):
        eta = Z @ theta.T
        eta = eta - eta.max(axis=1, keepdims=True)
        loss = s @ (arithmetic.log(arithmetic.exp(eta).sum(axis=1)) - (eta * T).sum(axis=1))
        return loss + np.sum(ridge * theta**2) / 2

    theta = theta - theta.mean(axis=0)
    for _ in range(MOST_STEPS):
        eta = Z @ theta.T
        p = arithmetic.exp(eta - eta.max(axis=1, keepdims=True))
        p = p / p.sum(axis=1, keepdims=True)
        g = ((p - T) * s[:, np.newaxis]).T @ Z + ridge * theta
        step = arithmetic.solve(_hessian(Z, p, s, ridge), g.ravel()).reshape(g.shape)
        decrement, length = np.sum(g * step), 1.0
        if decrement <= arithmetic.small:
            return theta - step
        while length > 1e-9 and value(theta - length * step) > value(theta) + 1e-15:
            length /= 2
        theta = theta - length * step
    raise AssertionError(f"no optimum to compare with: the norm is {float(decrement) ** 0.5:.1g}")


def _hessian(Z, p, s, ridge):
    """Second derivatives, of shape (K d, K d).

    Adding the same to all rows changes no probability, and steps sum to zero over them. What is added for
    that direction, a part of the Gram matrix in every block, keeps the matrix definite.
    """
    d, n_classes = Z.shape[1], p.shape[1]
    H = np.empty((n_classes, d, n_classes, d), dtype=Z.dtype)
    addition = (s @ (p * (1 - p))).max()
    for k in range(n_classes):
        for m in range(k + 1):
            variance = p[:, k] * ((k == m) - p[:, m])
            H[k, :, m] = H[m, :, k] = Z.T @ (Z * (s * (variance + addition))[:, np.newaxis])
        H[k, :, k] += np.diag(ridge)
    return H.reshape(n_classes * d, n_classes * d)
