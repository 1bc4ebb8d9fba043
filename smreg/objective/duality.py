r"""How far above its minimum an elastic net stands: a rigorous bound, by duality.

The cross-entropy of a row is ``A(eta) - <eta, t>``, and for every q in the simplex

    ``A(eta) = <q, eta> - A*(q) + KL(q, p),   A*(q) = sum_k q_k log q_k,   p = softmax(eta)``.

Take one ``q_i`` for every row such that the intercepts drop out, ``sum_i s_i (q_i - t_i) = 0``. With
``G = 1/S sum_i s_i (q_i - t_i) x_i'`` and the convex conjugate ``R*`` of the penalty R

    ``F(W, b) = D(q) + 1/S sum_i s_i KL(q_i, p_i) + [R(W) + R*(-G) + <W, G>]``,
    ``D(q) = 1/S sum_i s_i [<q_i - t_i, o_i> - A*(q_i)] - R*(-G)``.

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
a ridge with t, for which G is zero. Where a coefficient has no penalty at all G is to be zero, but what is
left of rounding counts as zero, as it does for intercepts.

References
----------
S. Boyd and L. Vandenberghe, Convex Optimization, Cambridge University Press (2004), chapter 5.
https://doi.org/10.1017/CBO9780511804441
E. Ndiaye, O. Fercoq, A. Gramfort and J. Salmon, Gap safe screening rules for sparsity enforcing penalties,
Journal of Machine Learning Research 18 (2017). https://doi.org/10.48550/arXiv.1611.05780
"""

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.objective.cross_entropy import Objective
from smreg.objective.logits import Direction, Point, log_softmax, softmax
from smreg.objective.penalty import Penalty
from smreg.optimize.metric import JITTER

Array = NDArray[np.float64]


def duality_gap(loss: Objective, penalty: Penalty, theta: Array, direction: Array) -> float:
    """The duality gap at `theta`, in nats.

    Parameters
    ----------
    loss : Objective
        Without a penalty, in symmetric coding.
    penalty : Penalty
        R in the coordinates.
    theta, direction : ndarray of shape (rows, width)
        The point, and the proximal Newton step from there, or zero.
    """
    p, priors = loss.rows.n_features, loss.loss.priors
    G, imbalance, at_priors = _residual_sums(loss, theta, direction)
    ratio = 0.0
    if loss.coordinates.fit_intercept:
        ratio = max(float(np.max(imbalance / priors)), 0.0)
    else:  # nothing wants the residuals to sum to zero, and classes may have no weight
        imbalance = np.zeros_like(imbalance)
    constant = np.maximum(ratio * priors - imbalance, 0.0) / (1.0 + ratio)
    G = (G + ratio * at_priors)[:, :p] / (1.0 + ratio)
    w, part = theta[:, :p], 1.0
    ridge, l1 = (np.broadcast_to(a, theta.shape)[:, :p] for a in (penalty.ridge, penalty.l1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if (ridge == 0).any():
            negligible = np.where(l1 == 0, JITTER, 0.0)
            ratios = np.where(np.abs(G) > l1 + negligible, l1 / np.abs(G), 1.0)
            part = float(ratios[ridge == 0].min())
        inside = np.clip(-part * G, -l1, l1)
        beyond = -part * G - inside
        bracket = l1 * np.abs(w) - inside * w
        bracket += np.where(ridge > 0, (ridge * w - beyond) ** 2 / (2 * ridge), 0.0)

    divergences = loss.rows.map_reduce(
        _divergence, loss.point(theta.ravel()), loss.direction(direction.ravel()), ratio, constant, part
    )
    return max(float(bracket.sum()), 0.0) + divergences


def _divergence(
    block: Block, point: Point, direction: Direction, ratio: float, constant: Array, part: float
) -> float:
    eta = point.logits(block)
    q = _continued(eta, direction.logits(block))
    q = block.add_targets(part * (q / (1.0 + ratio) + constant[:, np.newaxis]), 1.0 - part)
    return float(_divergences(q, eta) @ block.weights)


def _residual_sums(loss: Objective, theta: Array, direction: Array) -> tuple[Array, Array, Array]:
    """``sum_i s_i (q_i - t_i) z_i'``, the sums for every class, and the first with the priors for q."""
    n_rows = loss.shape[0]
    G, total, at_priors, left = loss.rows.map_reduce(
        _sums, loss.point(theta.ravel()), loss.direction(direction.ravel()), loss.loss.priors, n_rows
    )
    G = loss.pull_back(G, total[-n_rows:]).reshape(loss.shape)
    return G, total, loss.pull_back(at_priors, left[-n_rows:]).reshape(loss.shape)


def _sums(block: Block, point: Point, direction: Direction, priors: Array, n_rows: int) -> tuple[Array, ...]:
    sums: tuple[Array, ...] = ()
    continued = _continued(point.logits(block), direction.logits(block))
    for q in (continued, np.repeat(priors[:, np.newaxis], len(block), axis=1)):
        residuals = block.add_targets(q, -1.0) * block.weights
        sums += block.scores(residuals[-n_rows:]), residuals.sum(axis=1)
    return sums


def _continued(eta: Array, delta: Array) -> Array:
    """Probabilities, continued linearly along a change of the logits, (K, n_rows): half of each is left."""
    p = softmax(eta)
    p *= np.maximum(1.0 + delta - np.sum(p * delta, axis=0), 0.5)
    p /= p.sum(axis=0)
    return p


def _divergences(q: Array, eta: Array) -> Array:
    """``KL(q, softmax(eta))`` for every row, as a sum of ``q log(q / p) - q + p``, never negative."""
    log_p = log_softmax(eta)
    terms = np.exp(log_p) - q
    np.add(terms, q * (np.log(q, out=np.zeros_like(q), where=q > 0) - log_p), out=terms)
    return np.asarray(np.maximum(terms, 0.0).sum(axis=0))
