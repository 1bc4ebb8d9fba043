r"""How far above its minimum an elastic net stands: a rigorous bound, by duality.

The cross-entropy of a row is ``A(eta) - <eta, t>``, and for every q in the simplex

    ``A(eta) = <q, eta> - A*(q) + KL(q, p),   A*(q) = sum_k q_k log q_k,   p = softmax(eta)``.

Take one ``q_i`` for every row such that the intercepts drop out, ``sum_i s_i (q_i - t_i) = 0``. With
``G = 1/S sum_i s_i (q_i - t_i) x_i'`` and the convex conjugate ``R*`` of the penalty R

    ``F(W, b) = D(q) + 1/S sum_i s_i KL(q_i, p_i) + [R(W) + R*(-G) + <W, G>]``,
    ``D(q) = -1/S sum_i s_i A*(q_i) - R*(-G)``.

Neither the divergences nor the bracket, by Fenchel's inequality, are ever negative. As ``D(q)`` does not
depend on the coefficients it bounds the minimum of F from below, and what is left, the *duality gap*, bounds
the excess of F over its minimum. The bracket is a sum over the coefficients: for ``a/2 w**2 + l |w|`` and
with ``-G = v + u``, v being ``-G`` clipped to ``[-l, l]``, it is

    ``(l |w| - v w) + (a w - u)**2 / (2 a)``,

where without a ridge, ``a = 0``, the point must have ``u = 0``. Nothing cancels in any of these terms.

**The point.** At the optimum ``q = p``. Near it the probabilities do not meet the conditions on G, but with
the proximal Newton step d from there, which changes the logits by ``delta``, their linear continuation

    ``q = p (1 + delta - <p, delta>)``

does, since its G is the gradient of the model that d minimises. It is taken as far along d as it is positive.
What remains is repaired by mixing: with the same distribution in every row, for the intercepts, and without
a ridge with t, for which G is zero.

References
----------
S. Boyd and L. Vandenberghe, Convex Optimization, Cambridge University Press (2004), chapter 5.
https://doi.org/10.1017/CBO9780511804441
E. Ndiaye, O. Fercoq, A. Gramfort and J. Salmon, Gap safe screening rules for sparsity enforcing penalties,
Journal of Machine Learning Research 18 (2017). https://doi.org/10.48550/arXiv.1611.05780
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.objective import Objective

Array = NDArray[np.float64]

POSITIVE = 0.5  # least part of a probability that the linear continuation may leave


@dataclass(frozen=True)
class _Residuals:
    """Sums over rows of ``s (q - t)`` times the features, of shape (rows, width), and over all classes."""

    by_feature: Array
    by_class: Array


def duality_gap(
    loss: Objective, ridge: Array, l1: Array, theta: Array, gradient: Array, direction: Array
) -> float:
    """The duality gap at `theta`, in nats.

    Parameters
    ----------
    loss : Objective
        Without a penalty, in rows of classes.
    ridge, l1 : ndarray of shape (width,)
        a and l of the coordinates.
    theta, gradient, direction : ndarray of shape (rows, width)
        The point, the gradient of the loss there, and the proximal Newton step or zero.
    """
    p = loss.design.n_features
    along, overall, at_priors, steepest = _changes(loss, theta, direction)
    length = min(1.0, POSITIVE / steepest) if steepest > 0 else 1.0
    total = _class_sums(gradient, loss) + length * overall
    mixed = _mixture(loss, total)
    G = (1 - mixed) * (gradient + length * along) + mixed * at_priors
    prior = loss.sample.priors - total * ((1 - mixed) / mixed) if mixed else loss.sample.priors
    w, G, l1, ridge = theta[:, :p], G[:, :p], l1[:p], ridge[:p]
    kept = 1.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if (ridge == 0).any():
            ratio = np.where(np.abs(G) > l1, l1 / np.abs(G), 1.0)
            kept = float(ratio[:, ridge == 0].min())
        inside = np.clip(-kept * G, -l1, l1)
        beyond = -kept * G - inside
        bracket = l1 * np.abs(w) - inside * w
        bracket += np.where(ridge > 0, (ridge * w - beyond) ** 2 / (2 * ridge), 0.0)
    divergence = _divergence(loss, theta, direction, length, mixed, prior, kept)
    return divergence + float(bracket.sum())


def _changes(loss: Objective, theta: Array, direction: Array) -> tuple[Array, Array, Array, float]:
    """What the step changes in the residuals' sums; those of the priors; the largest relative decrease."""
    weights, priors, target = loss.sample.weights, loss.sample.priors, loss.sample.target
    n_rows, shape = loss.shape[0], loss.shape

    def block(rows: slice, eta: Array, delta: Array) -> tuple[Array, Array, Array, Array, float]:
        p, change = _continued(eta, delta)
        s = weights[rows]
        steepest = float(-change[:, s > 0].min(initial=0.0))
        change *= p * s
        constant = np.repeat(priors[:, np.newaxis] * s, 1, axis=1)
        if target.ndim == 1:
            constant[target[rows], np.arange(len(s))] -= s
        else:
            constant -= s * target[rows].T
        scores = loss.design.scores
        return (
            scores(rows, change[-n_rows:]),
            change.sum(axis=1),
            scores(rows, constant[-n_rows:]),
            constant.sum(axis=1),
            steepest,
        )

    parts = list(loss.map_logits(block, theta.ravel(), direction.ravel()))
    along, overall, at_priors, left = (sum(part[i] for part in parts) for i in range(4))
    along = loss.pull_back(along, overall[-n_rows:]).reshape(shape)
    at_priors = loss.pull_back(at_priors, left[-n_rows:]).reshape(shape)
    return along, overall, at_priors, max(part[4] for part in parts)


def _continued(eta: Array, delta: Array) -> tuple[Array, Array]:
    """Probabilities, and their relative change to first order."""
    p = np.exp(eta - eta.max(axis=0))
    p /= p.sum(axis=0)
    return p, delta - np.sum(p * delta, axis=0)


def _class_sums(gradient: Array, loss: Objective) -> Array:
    """``sum_i s_i (p_i - t_i)`` of all classes."""
    if not loss.fit_intercept:
        return np.zeros(len(loss.sample.priors))
    own = gradient[:, -1]
    return np.concatenate([-own, own]) if loss.single_row else own


def _mixture(loss: Objective, total: Array) -> float:
    """The part of a constant distribution with which the residuals of all classes can sum to zero."""
    if not loss.fit_intercept:
        return 0.0
    ratio = float(np.max(total / loss.sample.priors))
    return max(ratio, 0.0) / (1.0 + max(ratio, 0.0))


def _divergence(
    loss: Objective, theta: Array, direction: Array, length: float, mixed: float, prior: Array, kept: float
) -> float:
    """``sum_i s_i KL(q_i, p_i)``."""
    weights, target = loss.sample.weights, loss.sample.target

    def block(rows: slice, eta: Array, delta: Array) -> float:
        p, change = _continued(eta, delta)
        eta = eta - eta.max(axis=0)
        log_p = eta - np.log(np.exp(eta).sum(axis=0))
        q = kept * ((1 - mixed) * p * (1 + length * change) + mixed * np.maximum(prior, 0.0)[:, np.newaxis])
        if target.ndim == 1:
            q[target[rows], np.arange(q.shape[1])] += 1 - kept
        else:
            q += (1 - kept) * target[rows].T
        terms = p - q
        some = q > 0
        terms[some] += q[some] * (np.log(q[some]) - log_p[some])
        return float(np.maximum(terms.sum(axis=0), 0.0) @ weights[rows])

    return float(sum(loss.map_logits(block, theta.ravel(), direction.ravel())))
