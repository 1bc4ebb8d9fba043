r"""Fisher information of the current point, and the metrics that come from it.

At logits with probabilities ``p_i`` the objective has the Hessian (see `smreg.objective.coordinates`:
contrasts ``Q`` of the classes, standardised features ``z_i``, a one for the intercept)

    ``H = 1/S sum_i s_i [Q' (diag(p_i) - p_i p_i') Q] kron [z_i z_i'] + gamma / scale^2``,

which is exact, not an approximation: for the canonical link the observed and the expected information
are the same. The metrics are, from the cheapest,

- `null_metric`, at the intercept-only model: all rows have the priors ``pi`` as probabilities, so that
  ``H = Q' (diag(pi) - pi pi') Q kron Cov(z) + gamma / scale^2``: one matrix of size p and one of
  size K - 1 to factorise, after one pass over X;
- `class_metric`: for each class its own block ``sum_i s_i p_ik (1 - p_ik) z_i z_i'``, what the classes
  have in common left out. H lies below twice that metric, as a graph's Laplacian below twice its degrees;
- `hessian_metric`: H itself, a dense matrix of size D = (K - 1)(p + 1).

**Sampling.** A metric need not be exact. Of many rows some stand for all, drawn by `smreg.objective.sampling`
with a probability in proportion to their part in the information. Where they are few, for
the coordinates and of all, that part is reckoned in the metric before, too.

**Softening.** Where classes are rare or nearly separated, probabilities are so near to zero and one that
H at the current point says little of H a step away, and Newton's step goes far too long: with
``V_k = 1/S sum_i s_i p_ik (1 - p_ik)``, it may change the logits of class k by ``norm / sqrt(V_k)`` nats
in the mean. The information is therefore taken at logits divided by a temperature of one and a fifth of
that, with the mean of the V_k over the classes: a class that is all but separated, whose V_k vanishes, must
not decide alone. Near the optimum the temperature is one.

**Damping.** Where that is not enough, the solver asks for the metric again, damped as in the method of
Levenberg and Marquardt: the covariance of the classes becomes ``diag(p_i) - p_i p_i' + tau I``. With
``tau = (norm / LONGEST)**2``, and a `norm` of at most one in the metric that is not damped, the step moves
the logits by at most `LONGEST` nats, in the root of the mean square over the rows. It is not the rule,
because it keeps a row with an extreme feature from going far to where it belongs.

References
----------
D. W. Marquardt, An algorithm for least-squares estimation of nonlinear parameters, Journal of the Society
for Industrial and Applied Mathematics 11 (1963). https://doi.org/10.1137/0111030
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg.data.design import MAX_MEAN_TO_SPREAD, sum_of
from smreg.objective.cross_entropy import Objective
from smreg.objective.sampling import DIRECTIONS, RowSampler, complement, probabilities, systematic, variances
from smreg.optimize.metric import JITTER, Metric, inverse_factor, inverse_root

Array = NDArray[np.float64]
Rows = slice | NDArray[np.int64]

NEGLIGIBLE = 2.0**-8  # part of the mean of what rows tell of two classes
SPARSE = 0.25  # share of rows and pairs of classes up to which they are taken one pair at a time
LEAST_VARIANCE = 2.0**-80  # of a class, which divides: less is none

MAX_BYTES = 2**28  # for the factors of a metric: 256 MiB
MAX_DENSE_SPARSE = 1000  # columns of a sparse X, whose evaluations cost less than factors of that size

# Operations take two thirds as long in a large matrix product as in an evaluation, whose products are thin.
# The exponential of a logit takes as long as some 32 more features, and a number for each class and feature
# of a row, made for a product, as 128 operations of it.
SPEED = 1.5
EXPONENTIAL = 32
ELEMENTWISE = 128
NO_COST = 2**22  # operations: some tenths of a millisecond

# A sample has the rows that this many evaluations pay for, but enough of them: a covariance estimated
# from r rows for each dimension has its eigenvalues within a factor of (1 +- r**-0.5)**2.
SAMPLE_EVALUATIONS = 4
ROWS_PER_COLUMN = 16
FEW_ROWS = 4  # for each coordinate, and part of all: with fewer it matters most which they are
MIN_ROWS = 1024

DETERMINED = 64 * JITTER  # part of a variance, given others, that is told from none

RANK_TOLERANCE = 2.0**-40  # relative size of an eigenvalue of the scaled information, per row, that is zero

THREADED_WIDTH = 128  # of blocks that are factorised in threads

# Sums over rows are made in parts, which together have at most 2**24 numbers: 128 MiB.
PART_NUMBERS, MOST_PARTS = 2**24, 8
BLOCK_NUMBERS, MIN_BLOCK = 2**20, 256


@dataclass(frozen=True)
class NullCovariance:
    """Covariance of the features as the null metric needs it, for any penalty.

    Attributes
    ----------
    matrix : ndarray of shape (p, p), or (p,) where only its diagonal is taken
        In units of `scale`.
    scale : ndarray of shape (p,)
        Powers of two.
    """

    matrix: Array
    scale: Array

    def at(self, scale: Array) -> Array:
        """The same in other units."""
        ratio = self.scale / scale
        return self.matrix * (np.outer(ratio, ratio) if self.matrix.ndim == 2 else ratio**2)


def null_covariance(objective: Objective) -> NullCovariance:
    """The covariance of all rows, or of a sample of them, or its diagonal, as size allows."""
    at, p, width = objective.coordinates, objective.design.n_features, objective.shape[1]
    if p <= 1 or not fits(objective, objective.shape[0] * width**2):
        return NullCovariance((at.spread / at.scale) ** 2, at.scale)
    rows, weights = _null_rows(objective)

    def add(total: Array, rows: Rows, z: Array, s: Array) -> None:
        total += _gram(z * np.sqrt(s))

    return NullCovariance(sum_rows(objective, rows, weights, add, (width, width), width)[:p, :p], at.scale)


def root_null_curvatures(objective: Objective, covariance: NullCovariance) -> Array:
    """Root of the curvature of each coefficient given all others, at the intercept-only model.

    In the units of X, of the variance of each feature given the others, or where they determine it its own,
    times the least eigenvalue of the classes' covariance.
    """
    variances = np.atleast_1d(
        covariance.matrix.diagonal() if covariance.matrix.ndim == 2 else covariance.matrix
    )
    given = variances
    if covariance.matrix.ndim == 2:
        given = 1.0 / np.square(inverse_factor(covariance.matrix.copy())).sum(axis=0)
    given = np.where(given > DETERMINED * variances, given, variances)
    least, _ = _null_classes(objective)
    return np.asarray(np.sqrt(given * least.min()) * covariance.scale)


def _null_classes(objective: Objective) -> tuple[Array, Array]:
    """Eigenvalues, positive, and eigenvectors of the contrasts' covariance at the intercept-only model."""
    Q = objective.coordinates.coding
    eigenvalues, rotation = np.linalg.eigh(Q.T @ objective.null.information @ Q)
    return np.maximum(eigenvalues, JITTER * eigenvalues.max()), rotation


def degrees_of_freedom(objective: Objective, phi: Array) -> float:
    """``tr(H (H + R)^-1)`` for the information H of all rows and the penalty's curvature R.

    Without a penalty it is the rank of H. It is nan where H would take more memory than a metric may.
    """
    size = objective.shape[0] * objective.shape[1]
    ridge = np.broadcast_to(objective.curvature, objective.shape).ravel()
    if not fits(objective, 3 * size**2):
        return float("nan")
    penalised = information(objective, Curvature(phi))
    root = np.sqrt(penalised.diagonal())
    known = root > 0
    if objective.penalty.is_zero:
        scaled = penalised[np.ix_(known, known)] / root[known, np.newaxis] / root[known]
        return float(np.linalg.matrix_rank(scaled, tol=RANK_TOLERANCE * len(scaled), hermitian=True))
    inverse = np.square(inverse_factor(penalised)).sum(axis=0)
    return float(np.count_nonzero(known) - np.sum((ridge * inverse)[known]))


def null_metric(objective: Objective, covariance: NullCovariance | None = None) -> Metric:
    """The metric at the intercept-only model, without an intercept at uniform probabilities.

    `covariance` is that of another penalty, if it is known.
    """
    covariance = covariance or null_covariance(objective)
    eigenvalues, rotation = _null_classes(objective)
    return Metric(rotation.T, _null_factors(objective, covariance, eigenvalues))


def row_sampler(objective: Objective, covariance: NullCovariance) -> RowSampler:
    """A sampler by the leverage in the null metric, of the combination of classes that varies most."""
    eigenvalues, _ = _null_classes(objective)
    return RowSampler(objective, _null_factors(objective, covariance, eigenvalues[-1:])[0])


def _null_factors(objective: Objective, covariance: NullCovariance, eigenvalues: Array) -> Array:
    """Factors of the null metric, one for each eigenvalue of the classes' covariance."""
    p, ridge = objective.design.n_features, objective.curvature.mean(axis=0)
    matrix = covariance.at(objective.coordinates.scale)
    if matrix.ndim == 1:
        variances = np.ones(objective.shape[1])
        variances[:p] = matrix
        return inverse_root(np.outer(eigenvalues, variances) + ridge)
    of_all = np.eye(objective.shape[1])  # the features' mean is zero, so that the intercept is by itself
    of_all[:p, :p] = matrix
    return _inverse_factors(objective, eigenvalues[:, np.newaxis, np.newaxis] * of_all + np.diag(ridge))


def _null_rows(objective: Objective) -> tuple[NDArray[np.int64] | None, Array]:
    """Rows for estimating the covariance of the features, and their weights."""
    weights, width = objective.sample.weights, objective.shape[1]
    size = sample_size(objective, width**2)
    if size == len(weights):
        return None, weights
    sampler = RowSampler(
        objective, inverse_root(_column_variances(objective) + objective.curvature.mean(axis=0))
    )
    return systematic(weights * sampler.leverage, weights, size)


def _column_variances(objective: Objective) -> Array:
    """Those of the standardised features, and one for the intercept."""
    at, variances = objective.coordinates, np.ones(objective.shape[1])
    variances[: at.n_features] = (at.spread / at.scale) ** 2
    return variances


def sample_size(objective: Objective, per_row: float) -> int:
    """Rows to sample, at a cost of `per_row` operations each; all if there are no more."""
    rows = SAMPLE_EVALUATIONS * SPEED * evaluation_cost(objective) / max(per_row, 1)
    rows = max(rows, ROWS_PER_COLUMN * objective.shape[1], MIN_ROWS)
    return int(min(rows, objective.design.n_samples))


def evaluation_cost(objective: Objective) -> float:
    """Operations of an evaluation of the objective.

    Rows count to the nearest power of two, so that a weight, its repetitions and a few rows more or less
    take the same path.
    """
    design = objective.design
    n_samples = 2.0 ** round(np.log2(design.n_samples))
    return float(
        4.0 * n_samples * len(objective.coordinates.contrasts) * (design.numbers_per_row + EXPONENTIAL)
    )


def _inverse_factors(objective: Objective, blocks: Array) -> Array:
    """The inverse factors of all blocks, in their place."""

    def invert(block: Array) -> None:
        block[:] = inverse_factor(block)

    map_blocks = objective.design.map_blocks if blocks.shape[-1] >= THREADED_WIDTH else map
    list(map_blocks(invert, blocks))
    return blocks


class Refresh:
    """A kind of preconditioner that is made anew as the search moves on.

    Parameters
    ----------
    objective : Objective
        To be minimised.
    sampler : callable
        Makes the sampler of rows, where there are too many for all of them.
    is_hessian : bool
        Whether the preconditioner is the Hessian, but for sampling, so that the norm of the gradient in it is
        to be believed; else it has the blocks of the classes.
    """

    def __init__(self, objective: Objective, sampler: Callable[[], RowSampler], *, is_hessian: bool) -> None:
        self.objective, self.sampler, self.is_hessian = objective, sampler, is_hessian
        self._share, self._last = 1.0, list[Metric]()
        rows, self._width = objective.shape
        self._n_blocks, self._size = (1, rows * self._width) if is_hessian else (rows, self._width)

    @property
    def cost(self) -> float:
        """What it costs, in evaluations of the objective."""
        n, rows = self.objective.design.n_samples, self._n_rows
        operations = rows * self._per_row + 2 * self._n_blocks * self._size**3 / 3
        if operations <= NO_COST:
            return 0.0
        sampling = (rows < n) + self._is_few * DIRECTIONS / 2
        return 1 + sampling + operations / (SPEED * evaluation_cost(self.objective))

    def __call__(self, phi: Array) -> Metric:
        """The preconditioner at a point."""
        at = Curvature(phi)
        if self._n_rows < self.objective.design.n_samples:
            totals = class_variances(self.objective, phi)
            nearby = self._last[-1] if self._is_few and self._last else None
            rows, weights = self.sampler()(phi, 1.0, totals, self._n_rows, metric=nearby)
            at = Curvature(phi, rows=rows, weights=weights)
        if self.is_hessian:
            hessian, self._share = information_and_share(self.objective, at)
            made = Metric(np.eye(1), inverse_factor(hessian)[np.newaxis])
        else:
            made = class_metric(self.objective, at)
        self._last[:] = [made] if at.rows is not None else []
        return made

    @property
    def _per_row(self) -> float:
        """Operations for each row; the Hessian's only for the pairs of classes of which a row tells."""
        products = self._n_blocks * self._size**2 + ELEMENTWISE * len(self.objective.coordinates.contrasts) * self._width
        return self._share * products

    @property
    def _n_rows(self) -> int:
        return sample_size(self.objective, self._per_row)

    @property
    def _is_few(self) -> bool:
        """Whether the sample is so small that it matters most which rows it has."""
        size = self.objective.shape[0] * self._width
        return self._n_rows < min(self.objective.design.n_samples / FEW_ROWS, FEW_ROWS * size)


def refreshes(objective: Objective, sampler: Callable[[], RowSampler]) -> list[Refresh]:
    """The kinds of preconditioner that memory allows, from the cheapest to the most exact."""
    K, width = objective.shape
    has_one_block = objective.coordinates.has_reference
    made: list[Refresh] = []
    if not has_one_block and fits(objective, K * width**2):
        made.append(Refresh(objective, sampler, is_hessian=False))
    if fits(objective, (1 if has_one_block else 3) * (K * width) ** 2):
        made.append(Refresh(objective, sampler, is_hessian=True))
    return made


def fits(objective: Objective, numbers: int) -> bool:
    """Whether a metric with so many numbers keeps within the bounds of memory and of cost."""
    if objective.design.is_sparse and objective.design.n_features > MAX_DENSE_SPARSE:
        return False
    return 8 * numbers <= MAX_BYTES


def class_variances(objective: Objective, phi: Array) -> Array:
    """``sum_i s_i p_ik (1 - p_ik)`` for every class, positive."""
    weights = objective.sample.weights
    parts = objective.map_logits(lambda rows, eta: np.dot(variances(eta, 1.0), weights[rows]), phi)
    return np.maximum(sum_of(parts), LEAST_VARIANCE)


@dataclass(frozen=True)
class Curvature:
    """Where the information is taken: at the logits of `phi` divided by a temperature, in a sample of rows.

    Attributes
    ----------
    phi : ndarray of shape (D,)
        The point.
    temperature : float
        Divisor of its logits.
    damping : float
        ``tau``.
    rows : ndarray of int, or None
        Those that stand for all; None for all.
    weights : ndarray
        One for each of them.
    """

    phi: Array
    temperature: float = 1.0
    damping: float = 0.0
    rows: NDArray[np.int64] | None = None
    weights: Array | None = None

    def probabilities(self, objective: Objective, rows: Rows, z: Array) -> Array:
        """Those of all classes in some rows, with standardised features z (width, n_rows)."""
        predicted = objective.coordinates.contrasts @ self.phi.reshape(objective.shape) @ z
        return probabilities(objective.loss.logits(rows, predicted), self.temperature)

    def variances(self, p: Array) -> Array:
        """``p (1 - p) + tau`` to full precision."""
        return p * complement(p) + self.damping


def class_metric(objective: Objective, at: Curvature) -> Metric:
    """The blocks of each class."""
    K, width = len(objective.coordinates.contrasts), objective.shape[1]

    def own(total: Array, rows: Rows, z: Array, s: Array) -> None:
        p = at.probabilities(objective, rows, z)
        for block, variance in zip(total, (s * at.variances(p))[-K:], strict=True):
            block += _gram(z * np.sqrt(variance))

    blocks = sum_rows(objective, at.rows, at.weights, own, (K, width, width), width)
    blocks[:, np.arange(width), np.arange(width)] += objective.curvature
    return Metric(objective.coordinates.contrasts, _inverse_factors(objective, blocks))


def information(objective: Objective, at: Curvature) -> Array:
    """Fisher information plus the penalty's curvature: the Hessian, of shape (D, D)."""
    return information_and_share(objective, at)[0]


def information_and_share(objective: Objective, at: Curvature) -> tuple[Array, float]:
    """The Hessian, and the share of rows and pairs of classes that it took.

    The covariance of the classes ``diag(p) - p p'`` is the Laplacian of their complete graph, whose edges have
    the weights ``p_k p_l``: a sum over the pairs of classes, in which nothing cancels. Of a pair that most
    rows tell next to nothing of, those that tell `NEGLIGIBLE` of the mean are left out.
    """
    Q, (n_contrasts, width) = objective.coordinates.coding, objective.shape
    K, counts = len(Q), list[tuple[int, int]]()
    first, second = np.triu_indices(K, 1)

    def add(total: Array, rows: Rows, z: Array, s: Array) -> None:
        p = at.probabilities(objective, rows, z)
        weights = p[first] * p[second]
        weights *= s
        told = weights * np.einsum("ji,ji->i", z, z)
        told = told > NEGLIGIBLE * told.mean(axis=1, keepdims=True)
        counts.append((int(np.count_nonzero(told)), told.size))
        if counts[-1][0] < SPARSE * told.size or K == 2:
            for block, weight, chosen in zip(total, weights, told, strict=True):
                members = np.flatnonzero(chosen)
                block += _gram(z[:, members] * np.sqrt(weight[members]))
            return
        means = ((np.sqrt(s) * p)[:, np.newaxis] * z).reshape(K * width, -1)
        blocks = _gram(means).reshape(K, width, K, width)
        total += blocks[first, :, second, :]

    pairs = sum_rows(objective, at.rows, at.weights, add, (len(first), width, width), width + len(first))
    laplacian = np.zeros((K, K, width, width))
    laplacian[first, second], laplacian[second, first] = -pairs, -pairs
    for k, l, pair in zip(first, second, pairs, strict=True):
        laplacian[k, k] += pair
        laplacian[l, l] += pair
    half = np.dot(Q.T, laplacian.reshape(K, -1)).reshape(n_contrasts, K, width, width)
    hessian = np.einsum("akij,kb->aibj", half, Q, optimize=True).reshape(n_contrasts * width, -1)
    hessian[np.diag_indices(len(hessian))] += np.broadcast_to(objective.curvature, objective.shape).ravel()
    taken, all_of_them = np.sum(counts, axis=0)
    return np.ascontiguousarray(hessian), float(taken / all_of_them)


def _gram(z: Array) -> Array:
    return np.asarray(np.dot(z, z.T))  # `@` keeps other threads waiting where the result is small


def sum_rows(
    objective: Objective,
    rows: NDArray[np.int64] | None,
    weights: Array | None,
    add: Callable[[Array, Rows, Array, Array], None],
    shape: tuple[int, ...],
    row_numbers: int,
) -> Array:
    """A sum over the rows, to which ``add(total, rows, z, s)`` adds some, with features z and weights s.

    It makes `row_numbers` for each. The sum is made in a few parts, for threads, and each by blocks whose
    products stay near the processor.
    """
    weights = objective.sample.weights if weights is None else weights
    n, size = len(weights), max(BLOCK_NUMBERS // row_numbers, MIN_BLOCK)
    n_parts = max(min(n // size, PART_NUMBERS // int(np.prod(shape)), MOST_PARTS), 1)

    def part(first: int, last: int) -> Array:
        total = np.zeros(shape)
        for start in range(first, last, size):
            block = slice(start, min(start + size, last))
            some = block if rows is None else rows[block]
            add(total, some, objective.standardised(some), weights[block])
        return total

    if n_parts == 1:
        return part(0, n)
    ends = np.linspace(0, n, n_parts + 1).astype(int)
    return sum_of(objective.design.map_blocks(part, ends[:-1], ends[1:]))


def gram(
    objective: Objective, combinations: Array | None = None, max_ratio: float = MAX_MEAN_TO_SPREAD
) -> Array:
    """Weighted Gram matrix of the standardised features, or of linear combinations of them.

    With an intercept the features are centred and it is their covariance. `combinations` has a column
    for each. Where means are up to `max_ratio` spreads from zero those of sparse features are taken off
    their products, which loses a part ``EPS max_ratio**2``, and in other cases off the features.
    """
    p, design, weights = objective.design.n_features, objective.design, objective.sample.weights
    at = objective.coordinates
    near = (np.abs(at.mean) / max_ratio <= at.spread) | (at.spread == 0)
    if design.is_sparse and combinations is None and near.all():
        unit, used = np.where(at.spread > 0, 1 / at.scale, 0.0), weights > 0
        scaled = design.X[used].astype(np.float64).multiply(unit).tocsr()
        weighted = scaled.multiply(weights[used, np.newaxis]).tocsr()
        mean = at.mean * unit
        return np.asarray((weighted.T @ scaled).toarray() - np.outer(mean, mean))

    def block(rows: slice) -> tuple[Array, Array]:
        z = objective.standardised(rows)[:p]
        z = z if combinations is None else combinations.T @ z
        return _gram(z * np.sqrt(weights[rows])), z @ weights[rows]

    products, means = (sum_of(part) for part in zip(*design.map(block, p, dense=True), strict=True))
    if at.fit_intercept:  # the rounding of means that are far from zero
        products -= np.outer(means, means)
    return products
