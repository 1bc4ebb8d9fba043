r"""Fisher information: the Hessian of the cross-entropy, and its blocks.

At logits with probabilities ``p_i`` the objective has the Hessian (see `smreg.objective.coordinates`:
coding ``Q`` of the classes, standardised features ``z_i``, a one for the intercept)

    ``H = 1/S sum_i s_i [Q' (diag(p_i) - p_i p_i') Q] kron [z_i z_i'] + gamma / scale^2``,

which is exact, not an approximation: for the canonical link the observed and the expected information
are the same. It is a dense matrix of size D = (K - 1)(p + 1). Cheaper are its *class blocks*,
``sum_i s_i p_ik (1 - p_ik) z_i z_i'`` for each class, without what the classes have in common: H lies below
twice that matrix, as a graph's Laplacian below twice its degrees.

**Pairs of classes.** The covariance of the classes is itself the Laplacian of their complete graph, whose
edges have the weights ``p_k p_l``. Near a good fit most rows are all but certain of their class, and few are
in doubt between any two: H is then a sum over pairs of classes, each of a few rows, at a small part of the
cost. What is left out is less than `NEGLIGIBLE` of the information on each pair of classes, rows being
measured by their part in the information on each feature. H without it is still below H, so that Newton's
decrement in it is an upper bound; before a search is called converged it is computed with all of H. A sum
over pairs keeps all digits where probabilities are near one, unlike ``p_k - p_k^2``.
"""

from collections.abc import Iterable
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import BLOCK, Block
from smreg.data.kernels import Kernel, Result
from smreg.data.rows import Rows
from smreg.objective.coordinates import Coordinates
from smreg.objective.costs import fits
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.logits import complement, logits, softmax
from smreg.optimize.metric import JITTER, SMALL, Metric, inverse_factor

Array = NDArray[np.float64]

NEGLIGIBLE = (
    2.0**-5
)  # part of the mean information of rows: 2**-8 takes 3 % more evaluations, 2**-3 takes 8 %
FEW = 0.4  # share of rows and pairs of classes up to which these are summed one by one
NARROW = 48  # columns of which all products take less time than one half of them


def degrees_of_freedom(objective: Objective, phi: Array) -> float:
    """``tr(H (H + R)^-1)`` for the information H of all rows and the penalty's curvature R.

    Without a penalty it is the rank of H. It is nan where H would take more memory than a metric may.
    """
    size = objective.shape[0] * objective.shape[1]
    ridge = np.broadcast_to(objective.curvature, objective.shape).ravel()
    if not fits(objective, 3 * size**2):
        return float("nan")
    penalised = information(objective, phi)
    root = np.sqrt(penalised.diagonal())
    known = root > 0
    if objective.penalty.is_zero:
        scaled = penalised[np.ix_(known, known)] / root[known, np.newaxis] / root[known]
        return float(np.linalg.matrix_rank(scaled, tol=JITTER * len(scaled), hermitian=True))
    if objective.coordinates.is_symmetric:  # where jitter, in the direction of shifts, is no freedom
        own = penalised - np.diag(ridge)
        factor = inverse_factor(penalised)
        return float(np.sum((factor @ own) * factor))
    inverse = np.square(inverse_factor(penalised)).sum(axis=0)
    return float(np.count_nonzero(known) - np.sum((ridge * inverse)[known]))


def inverse_factors(objective: Objective, blocks: Array) -> Array:
    """The inverse factors of all blocks, in their place."""

    def invert(block: Array) -> None:
        block[:] = inverse_factor(block)

    some_map = objective.rows.thread_map if blocks.shape[-1] > SMALL else map
    list(some_map(invert, blocks))
    return blocks


def probabilities(block: Block, coordinates: Coordinates, z: Array, phi: Array) -> Array:
    """Those of all classes at a point, for standardised features z (width, n_rows) of a block of rows."""
    return softmax(logits(block, coordinates.contrasts @ phi.reshape(coordinates.shape) @ z))


def class_metric(
    objective: Objective, phi: Array, rows: Rows | None = None, negligible: float = 0.0
) -> tuple[Metric, float]:
    """The blocks of each class, from some rows that stand for all, or all, and the share that it took."""
    contrasts, width = objective.coordinates.contrasts, objective.shape[1]
    result = len(contrasts) * width**2
    blocks, taken = sum_rows(objective, rows, _own_blocks, phi, negligible, numbers=2 * width, result=result)
    blocks[:, np.arange(width), np.arange(width)] += objective.curvature
    metric = Metric(contrasts, inverse_factors(objective, blocks))
    return metric, taken / (rows or objective.rows).n_samples


def _own_blocks(
    block: Block, standardisation: Standardisation, phi: Array, negligible: float
) -> tuple[Array, float]:
    """``sum_i s_i p_ik (1 - p_ik) z_i z_i'`` for classes that have coefficients, and how many rows it took.

    Rows with less than a part `negligible` of the mean information on a class are left out. A preconditioner
    of many columns needs no more than single precision.
    """
    z, s, contrasts = standardisation.of(block), block.weights, standardisation.coordinates.contrasts
    p = probabilities(block, standardisation.coordinates, z, phi)
    variances = p * (1.0 - p)
    z = z.astype(np.float32) if len(z) > SMALL else z
    chosen = np.ones((len(contrasts), len(block)), dtype=bool)
    if negligible > 0:
        leverages = _leverages(z, variances, s)
        chosen = _informative((variances * leverages)[-len(contrasts) :], s, negligible, s.sum())
    weights = (s * (p * complement(p)))[-len(contrasts) :]
    blocks = np.empty((len(contrasts), len(z), len(z)))
    for own, weight, mask in zip(blocks, weights, chosen, strict=True):
        members = np.flatnonzero(mask)
        own[:] = weighted_gram(np.take(z, members, axis=1), weight[members])
    return blocks, _share(chosen, s, s.sum()) * len(block)


def _leverages(z: Array, variances: Array, s: Array) -> Array:
    """``z_i' G^-1 z_i`` for every row, with the information ``G = sum_i s_i v_i z_i z_i'`` of all classes.

    It depends on no basis, and so where a row has a direction to itself it is large, whatever the units.
    """
    G = weighted_gram(z, s * variances.sum(axis=0)).astype(np.float64)
    return np.asarray(np.square(inverse_factor(G).astype(z.dtype) @ z).sum(axis=0))


def _informative(information: Array, s: Array, negligible: float, weight: float) -> NDArray[np.bool_]:
    """Rows with more than a part of the mean of some kinds of information, of shape (n_kinds, n_rows).

    Only what a row of weight one has counts, so that a weight is as good as its repetitions.
    """
    return np.asarray(information * weight >= negligible * (information @ s)[:, np.newaxis])


def _share(chosen: NDArray[np.bool_], s: Array, weight: float) -> float:
    """Mean part of the weight that is chosen."""
    return float(np.mean(chosen @ s) / weight) if weight > 0 else 1.0


def information(objective: Objective, phi: Array) -> Array:
    """Fisher information plus the penalty's curvature: the Hessian, of shape (D, D)."""
    return hessian(objective, phi)[0]


def hessian(
    objective: Objective, phi: Array, rows: Rows | None = None, negligible: float = 0.0
) -> tuple[Array, float]:
    """The Hessian, of some rows that stand for all, or all, and the share of the products that it took.

    The covariance of the classes is the Laplacian of their complete graph, whose edges have the weights
    ``p_k p_l``: a sum over the pairs of classes. Rows with less than a part `negligible` of the mean
    information on a pair are left out.
    """
    Q, (n_contrasts, width) = objective.coordinates.coding, objective.shape
    K = len(Q)
    numbers, result = 2 * width + K**2 // 2, K * (K - 1) // 2 * width**2
    pairs, taken = sum_rows(objective, rows, _of_pairs, phi, negligible, numbers=numbers, result=result)
    laplacian = (_laplacian_of_many if width < K else _laplacian)(pairs, Q)
    made = laplacian.reshape(n_contrasts * width, n_contrasts * width)
    made.flat[:: len(made) + 1] += np.broadcast_to(objective.curvature, objective.shape).ravel()
    return made, taken / (rows or objective.rows).n_samples


def identified(objective: Objective, hessian: Array) -> Array:
    """The Hessian, in its place, definite where adding the same to all rows of a column changes nothing.

    That is so with a row for each class in columns without a penalty. What is added for that direction leaves
    steps as they are, which sum to zero there.
    """
    if objective.coordinates.is_symmetric:
        width = objective.shape[1]
        for column in np.flatnonzero(~objective.curvature.any(axis=0)):
            own = hessian[column::width, column::width]
            own += own.trace() / len(own) ** 2
    return hessian


def _laplacian(pairs: Array, Q: Array) -> Array:
    """``sum_kl (q_k - q_l)(q_k - q_l)' kron G_kl`` for the pairs of classes, of shape (c, width, c, width).

    That takes ``K^4 width^2`` operations: with no more classes than columns about as many as factors of it.
    """
    first, second = _pairs(len(Q))
    differences, (P, width, _) = Q[first] - Q[second], pairs.shape
    made = np.empty((Q.shape[1], width, Q.shape[1], width))
    for row, own in zip(made, differences.T, strict=True):
        blocks = np.dot((differences * own[:, np.newaxis]).T, pairs.reshape(P, -1))
        row[:] = blocks.reshape(-1, width, width).transpose(1, 0, 2)
    return made


def _laplacian_of_many(pairs: Array, Q: Array) -> Array:
    """The same in ``K^3 width^2`` operations and more memory, by all pairs in both orders."""
    (K, n_contrasts), width, (first, second) = Q.shape, pairs.shape[1], _pairs(len(Q))
    blocks = np.zeros((K, K, width**2))
    blocks[first, second] = blocks[second, first] = -pairs.reshape(len(first), -1)
    blocks[np.arange(K), np.arange(K)] = -blocks.sum(axis=1)
    half = np.dot(Q.T, blocks.reshape(K, -1)).reshape(n_contrasts, K, -1)
    made = np.matmul(Q.T, half).reshape(n_contrasts, n_contrasts, width, width)
    return np.asarray(made.transpose(0, 2, 1, 3))


@cache
def _pairs(K: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the second class of each pair."""
    return np.triu_indices(K, 1)


def _of_pairs(
    block: Block, standardisation: Standardisation, phi: Array, negligible: float
) -> tuple[Array, float]:
    """``sum_i s_i p_ik p_il z_i z_i'`` for each pair of classes, and how many rows' work it took."""
    z, s = standardisation.of(block), block.weights
    p = probabilities(block, standardisation.coordinates, z, phi)
    if negligible == 0:
        return _grams_of_pairs(z, p, s), float(len(block))
    weight, variances = s.sum(), p * (1.0 - p)
    leverages = _leverages(z, variances, s)
    some = np.flatnonzero(_informative(variances * leverages, s, negligible, weight).any(axis=0))
    if len(some) < len(block):
        z, p, leverages, s = np.take(z, some, axis=1), np.take(p, some, axis=1), leverages[some], s[some]
    chosen = [_informative(p[k] * p[k + 1 :] * leverages, s, negligible, weight) for k in range(len(p) - 1)]
    masks = np.concatenate(chosen)
    share = _share(masks, s, weight)
    return _grams_of_pairs(z, p, s, masks if share <= FEW else None), share * len(block)


def _grams_of_pairs(z: Array, p: Array, s: Array, chosen: NDArray[np.bool_] | None = None) -> Array:
    """The same from the rows that are chosen for each pair, or from all: for many pairs by one product."""
    (K, n_rows), width, (first, second) = p.shape, len(z), _pairs(len(p))
    if chosen is None and len(first) > K:
        means = ((np.sqrt(s) * p)[:, np.newaxis] * z).reshape(K * width, n_rows)
        return np.asarray(gram(means).reshape(K, width, K, width)[first, :, second])
    members: Iterable[Any] = repeat(slice(None)) if chosen is None else map(np.flatnonzero, chosen)
    made = np.empty((len(first), width, width))
    for pair, k, other, rows in zip(made, first, second, members, strict=False):
        pair[:] = weighted_gram(z[:, rows], (s * p[k] * p[other])[rows])
    return made


def weighted_gram(z: Array, weights: Array) -> Array:
    """``sum_i w_i z_i z_i'``, in the precision of z."""
    if len(z) <= NARROW:
        return np.asarray(np.dot(z * weights, z.T))
    return gram(z * np.sqrt(weights).astype(z.dtype))


def gram(z: Array) -> Array:
    """``z z'``."""
    return np.asarray(np.dot(z, z.T))  # unlike `@` it lets other threads run where the result is small


def sum_rows(
    objective: Objective,
    rows: Rows | None,
    kernel: Kernel[Result],
    *arguments: Any,
    numbers: int,
    result: int,
) -> Result:
    """A sum over rows of what a kernel makes of them and the objective's standardisation.

    It makes so many numbers for each, in blocks whose products stay near the processor, and so many as a
    result. The features of rows that fill no more than a quarter of a block are kept for the next sum.
    """
    n_samples = (rows or objective.rows).n_samples
    size = max(BLOCK // numbers, 256)  # with fewer rows to add up results takes longer than their products
    is_small = rows is None and objective.rows.in_memory is not None and 4 * n_samples <= size
    standardisation = objective.kept_standardisation if is_small else objective.standardisation
    return (rows or objective.rows).map_reduce(
        kernel, standardisation, *arguments, size=size, dense=True, result=result
    )
