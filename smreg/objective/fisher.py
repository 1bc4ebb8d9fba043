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

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.rows import Block, Kernel, Result, Rows
from smreg.data.statistics import MAX_MEAN_TO_SPREAD
from smreg.objective.coordinates import Coordinates
from smreg.objective.cross_entropy import Objective, Standardisation
from smreg.objective.logits import Point, complement, logits, softmax, variances
from smreg.objective.sampling import DIRECTIONS, RowSampler, drawn, indexed
from smreg.optimize.metric import JITTER, DenseMetric, Metric, inverse_factor, inverse_root

Array = NDArray[np.float64]

UNCERTAIN = 4.0  # times the sum of the classes' variances: about the share of informative rows and pairs
NEGLIGIBLE = 2.0**-5  # part of the mean information of the rows: from 2**-8 to 2**-3 steps are as many
FEW = 0.4  # share of rows and pairs of classes up to which these are summed one by one
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
ROWS_PER_COORDINATE = 256  # of a preconditioner, at most
FEW_ROWS = 4  # for each coordinate, and part of all: with fewer it matters most which they are
MIN_ROWS = 1024

DETERMINED = 64 * JITTER  # part of a variance, given others, that is told from none

RANK_TOLERANCE = 2.0**-40  # relative size of an eigenvalue of the scaled information, per row, that is zero

WIDE = 128  # columns of blocks that are factorised in threads

BLOCK_NUMBERS, MIN_BLOCK = 2**20, 256  # that a kernel makes of a block of rows, and rows in it


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
    at, p, width = objective.coordinates, objective.rows.n_features, objective.shape[1]
    if p <= 1 or not fits(objective, objective.shape[0] * width**2):
        return NullCovariance((at.spread / at.scale) ** 2, at.scale)
    total = sum_rows(objective, _null_rows(objective), _covariance, numbers=width, result=width**2)
    return NullCovariance(total[:p, :p], at.scale)


def _covariance(block: Block, standardisation: Standardisation) -> Array:
    z = standardisation.of(block)
    z *= np.sqrt(block.weights)
    return _gram(z)


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
    p, ridge = objective.rows.n_features, objective.curvature.mean(axis=0)
    matrix = covariance.at(objective.coordinates.scale)
    if matrix.ndim == 1:
        variances = np.ones(objective.shape[1])
        variances[:p] = matrix
        return inverse_root(np.outer(eigenvalues, variances) + ridge)
    of_all = np.eye(objective.shape[1])  # the features' mean is zero, so that the intercept is by itself
    of_all[:p, :p] = matrix
    return _inverse_factors(objective, eigenvalues[:, np.newaxis, np.newaxis] * of_all + np.diag(ridge))


def _null_rows(objective: Objective) -> Rows | None:
    """Rows for estimating the covariance of the features; None for all."""
    size = sample_size(objective, objective.shape[1] ** 2)
    if size == objective.rows.n_samples:
        return None
    ridge = objective.curvature.mean(axis=0)
    sampler = RowSampler(objective, inverse_root(_column_variances(objective) + ridge))
    rows = indexed(objective.rows)
    return drawn(rows, rows.weights * sampler.leverage, size)


def _column_variances(objective: Objective) -> Array:
    """Those of the standardised features, and one for the intercept."""
    at, variances = objective.coordinates, np.ones(objective.shape[1])
    variances[: at.n_features] = (at.spread / at.scale) ** 2
    return variances


def sample_size(objective: Objective, per_row: float) -> int:
    """Rows to sample, at a cost of `per_row` operations each; all if there are no more, or none by index."""
    if objective.rows.by_index is None:
        return objective.rows.n_samples
    rows = SAMPLE_EVALUATIONS * SPEED * evaluation_cost(objective) / max(per_row, 1)
    rows = max(rows, ROWS_PER_COLUMN * objective.shape[1], MIN_ROWS)
    return int(min(rows, objective.rows.n_samples))


def evaluation_cost(objective: Objective) -> float:
    """Operations of an evaluation of the objective.

    Rows count to the nearest power of two, so that a weight, its repetitions and a few rows more or less
    take the same path.
    """
    n_samples = 2.0 ** round(np.log2(objective.rows.n_samples))
    per_class = objective.rows.numbers_per_row + EXPONENTIAL
    return float(4.0 * n_samples * len(objective.coordinates.contrasts) * per_class)


def _inverse_factors(objective: Objective, blocks: Array) -> Array:
    """The inverse factors of all blocks, in their place."""

    def invert(block: Array) -> None:
        block[:] = inverse_factor(block)

    some_map = objective.rows.thread_map if blocks.shape[-1] >= WIDE else map
    list(some_map(invert, blocks))
    return blocks


@dataclass
class Share:
    """Share of the rows and pairs of classes that are informative: the smaller, the better the fit.

    Attributes
    ----------
    known : float
        The share where it was known last.
    value : float
        The objective there.
    """

    known: float
    value: float

    def at(self, value: float) -> float:
        """The share where the objective has that value."""
        return self.known * value / self.value if value < self.value else self.known

    def estimate(self, totals: Array, value: float) -> None:
        """By the sums of the variances of all classes."""
        self.known, self.value = min(UNCERTAIN * float(totals.sum()), 1.0), value


class Refresh:
    """A kind of preconditioner that is made anew as the search moves on.

    Parameters
    ----------
    objective : Objective
        To be minimised.
    sampler : callable
        Makes the sampler of rows, where there are too many for all of them.
    share : Share
        That of the rows that matter, which all kinds know.
    is_hessian : bool
        Whether the preconditioner is the Hessian, but for sampling, so that the norm of the gradient in it is
        to be believed; else it has the blocks of the classes.
    """

    def __init__(
        self, objective: Objective, sampler: Callable[[], RowSampler], share: "Share", *, is_hessian: bool
    ) -> None:
        self.objective, self.sampler, self.share, self.is_hessian = objective, sampler, share, is_hessian
        self._last = list[Metric | DenseMetric]()
        n_blocks, width = objective.shape
        self._n_blocks, self._size = (1, n_blocks * width) if is_hessian else (n_blocks, width)

    def cost(self, value: float) -> float:
        """What it costs where the objective has that value, in evaluations."""
        factors = (1 if self.is_hessian else 2) * self._n_blocks * self._size**3 / 3
        operations = min(self._of_all(value), self._of_sample) + factors
        return float(1 + operations / self._evaluation) if operations > NO_COST else 0.0

    @cached_property
    def _evaluation(self) -> float:
        """Operations that take as long as an evaluation."""
        return SPEED * evaluation_cost(self.objective)

    @cached_property
    def _per_row(self) -> float:
        """Operations for a row that is informative on all pairs of classes."""
        elements = ELEMENTWISE * len(self.objective.coordinates.contrasts) * self.objective.shape[1]
        return float(self._n_blocks * self._size**2 + elements)

    def _of_all(self, value: float) -> float:
        """Operations for all rows: the fewer, the more rows are certain of their class."""
        pairs = ELEMENTWISE * len(self.objective.coordinates.contrasts) ** 2 / 2
        return self.objective.rows.n_samples * (self.share.at(value) * self._per_row + pairs)

    @cached_property
    def _n_rows(self) -> int:
        """Rows in a sample."""
        enough = ROWS_PER_COORDINATE * self.objective.shape[0] * self.objective.shape[1]
        return min(sample_size(self.objective, self._per_row), max(enough, MIN_ROWS))

    @cached_property
    def _of_sample(self) -> float:
        """Operations for a sample."""
        if self._n_rows == self.objective.rows.n_samples:
            return math.inf
        return self._n_rows * self._per_row + (1 + self._is_few * DIRECTIONS / 2) * self._evaluation

    @cached_property
    def _is_few(self) -> bool:
        """Whether the sample is so small that it matters most which rows it has."""
        size = self.objective.shape[0] * self.objective.shape[1]
        return self._n_rows < min(self.objective.rows.n_samples / FEW_ROWS, FEW_ROWS * size)

    def __call__(self, phi: Array, value: float, *, exact: bool = False) -> Metric | DenseMetric:
        """The preconditioner at a point; an exact one leaves nothing out."""
        at, rows = Curvature(phi), None
        if self._of_sample < self._of_all(value) and not exact:
            totals = class_variances(self.objective, phi)
            nearby = self._last[-1] if self._is_few and self._last else None
            rows = self.sampler()(phi, 1.0, totals, self._n_rows, metric=nearby)
            self.share.estimate(totals, value)
        made: Metric | DenseMetric
        if self.is_hessian:
            is_small = self._of_all(math.inf) <= NO_COST
            negligible = 0.0 if exact or is_small else NEGLIGIBLE
            matrix, share = hessian(self.objective, at, rows, negligible)
            made = DenseMetric(matrix, is_hessian=rows is None and negligible == 0)
        else:
            made, share = class_metric(self.objective, at, rows)
        if rows is None:
            self.share.known, self.share.value = share, value
        self._last[:] = [] if rows is None else [made]
        return made


def refreshes(objective: Objective, sampler: Callable[[], RowSampler]) -> list[Refresh]:
    """The kinds of preconditioner that memory allows, from the cheapest to the most exact."""
    K, width = objective.shape
    has_one_block = objective.coordinates.has_reference
    made, share = list[Refresh](), Share(1.0, 0.0)
    if not has_one_block and fits(objective, K * width**2):
        made.append(Refresh(objective, sampler, share, is_hessian=False))
    if fits(objective, (1 if has_one_block else 3) * (K * width) ** 2):
        made.append(Refresh(objective, sampler, share, is_hessian=True))
    return made


def fits(objective: Objective, numbers: int) -> bool:
    """Whether a metric with so many numbers keeps within the bounds of memory and of cost."""
    if not objective.rows.stores_zeros and objective.rows.n_features > MAX_DENSE_SPARSE:
        return False
    return 8 * numbers <= MAX_BYTES


def class_variances(objective: Objective, phi: Array) -> Array:
    """``sum_i s_i p_ik (1 - p_ik)`` for every class, positive."""
    total = objective.rows.map_reduce(_class_variances, objective.point(phi))
    return np.maximum(total, LEAST_VARIANCE)


def _class_variances(block: Block, point: Point) -> Array:
    return np.asarray(np.dot(variances(point.logits(block), 1.0), block.weights))


@dataclass(frozen=True)
class Curvature:
    """Where the information is taken: at the logits of `phi` divided by a temperature.

    Attributes
    ----------
    phi : ndarray of shape (D,)
        The point.
    temperature : float
        Divisor of its logits.
    damping : float
        ``tau``.
    """

    phi: Array
    temperature: float = 1.0
    damping: float = 0.0

    def probabilities(self, block: Block, coordinates: Coordinates, z: Array) -> Array:
        """Those of all classes in a block of rows, with standardised features z (width, n_rows)."""
        predictors = coordinates.contrasts @ self.phi.reshape(coordinates.shape) @ z
        return softmax(logits(block, predictors), self.temperature)

    def variances(self, p: Array) -> Array:
        """``p (1 - p) + tau`` to full precision."""
        return p * complement(p) + self.damping


def class_metric(objective: Objective, at: Curvature, rows: Rows | None = None) -> tuple[Metric, float]:
    """The blocks of each class, from some rows that stand for all, or all, and the share that it took."""
    contrasts, width = objective.coordinates.contrasts, objective.shape[1]
    result = len(contrasts) * width**2
    blocks, taken = sum_rows(objective, rows, _own_blocks, at, numbers=width, result=result)
    blocks[:, np.arange(width), np.arange(width)] += objective.curvature
    metric = Metric(contrasts, _inverse_factors(objective, blocks))
    return metric, taken / (rows or objective.rows).n_samples


def _own_blocks(block: Block, standardisation: Standardisation, at: Curvature) -> tuple[Array, float]:
    """``sum_i s_i p_ik (1 - p_ik) z_i z_i'`` for classes that have coefficients, and how many rows it took.

    Rows with less than `NEGLIGIBLE` of the mean information on a class are left out. A preconditioner of many
    columns needs no more than single precision.
    """
    z, s, contrasts = standardisation.of(block), block.weights, standardisation.coordinates.contrasts
    p = at.probabilities(block, standardisation.coordinates, z)
    variances = p * (1.0 - p)
    chosen = _informative((variances * _sizes(z, variances, s))[-len(contrasts) :], s, NEGLIGIBLE, s.sum())
    z = z.astype(np.float32) if len(z) > WIDE else z
    roots = np.sqrt(s * at.variances(p)).astype(z.dtype)[-len(contrasts) :]
    blocks = np.empty((len(contrasts), len(z), len(z)))
    for own, root, mask in zip(blocks, roots, chosen, strict=True):
        members = np.flatnonzero(mask)
        own[:] = _gram(np.take(z, members, axis=1) * root[members])
    return blocks, _share(chosen, s, s.sum()) * len(block)


def _sizes(z: Array, variances: Array, s: Array) -> Array:
    """Squared length of each row, in units of the information of each feature, lest one have nothing."""
    squares = z * z
    totals = squares @ (s * variances.sum(axis=0))
    return np.asarray(np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0) @ squares)


def _informative(information: Array, s: Array, negligible: float, weight: float) -> NDArray[np.bool_]:
    """Rows with more than a part of the mean of some kinds of information, of shape (n_kinds, n_rows).

    Only what a row of weight one has counts, so that a weight is as good as its repetitions.
    """
    return np.asarray(information * weight > negligible * (information @ s)[:, np.newaxis])


def _share(chosen: NDArray[np.bool_], s: Array, weight: float) -> float:
    """Mean part of the weight that is chosen."""
    return float(np.mean(chosen @ s) / weight) if weight > 0 else 1.0


def information(objective: Objective, at: Curvature) -> Array:
    """Fisher information plus the penalty's curvature: the Hessian, of shape (D, D)."""
    return hessian(objective, at)[0]


def hessian(
    objective: Objective, at: Curvature, rows: Rows | None = None, negligible: float = 0.0
) -> tuple[Array, float]:
    """The Hessian, of some rows that stand for all, or all, and the share of the products that it took.

    The covariance of the classes is the Laplacian of their complete graph, whose edges have the weights
    ``p_k p_l``: a sum over the pairs of classes. Rows with less than a part `negligible` of the mean
    information on a pair are left out.
    """
    Q, (n_contrasts, width) = objective.coordinates.coding, objective.shape
    K = len(Q)
    numbers, result = width + K**2 // 2, (K * width) ** 2
    blocks, taken = sum_rows(objective, rows, _class_blocks, at, negligible, numbers=numbers, result=result)
    half = np.dot(Q.T, blocks.reshape(K, -1)).reshape(n_contrasts, width, K, width)
    made = np.matmul(Q.T, half).reshape(n_contrasts * width, n_contrasts * width)
    made[np.diag_indices(len(made))] += np.broadcast_to(objective.curvature, objective.shape).ravel()
    return np.asarray(made), taken / (rows or objective.rows).n_samples


def _class_blocks(
    block: Block, standardisation: Standardisation, at: Curvature, negligible: float
) -> tuple[Array, float]:
    """``sum_i s_i (diag(p_i) - p_i p_i') kron z_i z_i'``, and how many rows' work it took."""
    z, s = standardisation.of(block), block.weights
    p = at.probabilities(block, standardisation.coordinates, z)
    if negligible == 0:
        return _of_classes(z, p, s, at), float(len(block))
    weight, variances = s.sum(), p * (1.0 - p)
    sizes = _sizes(z, variances, s)
    some = np.flatnonzero(_informative(variances * sizes, s, negligible, weight).any(axis=0))
    if len(some) < len(block):
        z, p, sizes, s = np.take(z, some, axis=1), np.take(p, some, axis=1), sizes[some], s[some]
    K, width = len(p), len(z)
    chosen = [_informative(p[k] * p[k + 1 :] * sizes, s, negligible, weight) for k in range(K - 1)]
    share = _share(np.concatenate(chosen), s, weight)
    if K > 2 and share > FEW:
        return _of_classes(z, p, s, at), share * len(block)
    blocks = np.zeros((K, width, K, width))
    for k in range(K - 1):
        for other, mask in enumerate(chosen[k], k + 1):
            members = np.flatnonzero(mask)
            weights = s[members] * p[k, members] * p[other, members]
            pair = _gram(np.take(z, members, axis=1) * np.sqrt(weights))
            blocks[k, :, k] += pair
            blocks[other, :, other] += pair
            blocks[k, :, other] = blocks[other, :, k] = -pair
    return blocks, share * len(block)


def _of_classes(z: Array, p: Array, s: Array, at: Curvature) -> Array:
    """The same from one product for all pairs of classes.

    Blocks of one class are computed with ``p_k (1 - p_k)``: as a difference of sums they would drown in
    rounding where probabilities are near one.
    """
    (K, n_rows), width, diagonal = p.shape, len(z), np.arange(len(p))
    if K == 2:
        own = _gram(z * np.sqrt(s * at.variances(p)[0]))
        return np.array([[own, -own], [-own, own]]).transpose(0, 2, 1, 3)
    means = ((np.sqrt(s) * p)[:, np.newaxis] * z).reshape(K * width, n_rows)
    blocks = -_gram(means).reshape(K, width, K, width)
    blocks[diagonal, :, diagonal, :] = [_gram(z * root) for root in np.sqrt(s * at.variances(p))]
    return blocks


def _gram(z: Array) -> Array:
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
    result.
    """
    size = max(BLOCK_NUMBERS // numbers, MIN_BLOCK)
    return (rows or objective.rows).map_reduce(
        kernel, objective.standardisation, *arguments, size=size, dense=True, result=result
    )


def gram(
    objective: Objective, combinations: Array | None = None, max_ratio: float = MAX_MEAN_TO_SPREAD
) -> Array:
    """Weighted Gram matrix of the standardised features, or of linear combinations of them.

    With an intercept the features are centred and it is their covariance. `combinations` has a column
    for each. Where means are up to `max_ratio` spreads from zero those of sparse features are taken off
    their products, which loses a part ``EPS max_ratio**2``, and in other cases off the features.
    """
    at, rows = objective.coordinates, objective.rows.in_memory
    near = (np.abs(at.mean) / max_ratio <= at.spread) | (at.spread == 0)
    if rows is not None and rows.csr is not None and combinations is None and near.all():
        unit, used = np.where(at.spread > 0, 1 / at.scale, 0.0), rows.weights > 0
        scaled = rows.csr[used].astype(np.float64).multiply(unit).tocsr()
        weighted = scaled.multiply(rows.weights[used, np.newaxis]).tocsr()
        mean = at.mean * unit
        return np.asarray((weighted.T @ scaled).toarray() - np.outer(mean, mean))
    products, means = objective.rows.map_reduce(
        _gram_and_sum, objective.standardisation, combinations, dense=True, result=at.n_features**2
    )
    if at.fit_intercept:  # the rounding of means that are far from zero
        products -= np.outer(means, means)
    return products


def _gram_and_sum(
    block: Block, standardisation: Standardisation, combinations: Array | None
) -> tuple[Array, Array]:
    z = standardisation.of(block)[: standardisation.coordinates.n_features]
    z = z if combinations is None else combinations.T @ z
    total = z @ block.weights
    z *= np.sqrt(block.weights)
    return _gram(z), total
