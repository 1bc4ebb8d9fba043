r"""The Hessian of the cross-entropy among the coordinates of a working set, as a matrix or by its products.

Coordinates are pairs of a class and a column. Among them the Fisher information (see
`smreg.objective.information`) is

    ``H_(k,j)(l,m) = sum_i s_i p_ik (1[k = l] - p_il) z_ij z_im``,

with the penalty's ridge on its diagonal. Where there are intercepts for three classes and more, adding the
same to all of them changes nothing: the penalty that is added for that direction keeps H definite there
and leaves steps as they are, which sum to zero over the intercepts.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.cached import cached_property
from smreg.data.kernels import Kept
from smreg.objective import costs, information, null_metric
from smreg.objective.cross_entropy import Objective, Standardisation, information_times, probabilities_of
from smreg.objective.logits import complement
from smreg.objective.penalty import Penalty
from smreg.objective.sampling import ClassVariances, RowSampler
from smreg.optimize.conjugate_gradients import conjugate_gradients, first
from smreg.optimize.metric import TINY
from smreg.optimize.quadratic import DenseQuadratic, Quadratic

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Hessians:
    """Hessians of a loss at any point, among any of its coordinates.

    Parameters
    ----------
    loss : Objective
        Without a penalty, in symmetric coding.
    """

    def __init__(self, loss: Objective) -> None:
        self.loss = loss

    def at(
        self,
        theta: Array,
        members: Mask,
        ridge: Array,
        accuracy: float,
        *,
        sampled: bool,
    ) -> Quadratic:
        """H as a matrix if that fits in memory.

        Parameters
        ----------
        theta : ndarray of shape (rows, width)
            The point.
        members : ndarray of bool of shape (rows, width)
            The working set.
        ridge : ndarray of shape (m,)
            Added to the diagonal.
        accuracy : float
            Of the solutions of its systems, where there is no matrix.
        sampled : bool
            Whether a sample of the rows may stand for all.
        """
        loss, (classes, columns) = self.loss, np.nonzero(members)
        m = len(classes)  # of H there are four copies at a time, factors and parts included
        if not costs.fits(loss, 4 * m**2):
            return Products(loss, theta, classes, columns, ridge, accuracy)
        phi = theta.ravel()
        n_rows = costs.sample_size(loss, m**2 + costs.ELEMENTWISE * m)
        rows = None
        if sampled and n_rows < loss.rows.n_samples:
            rows = self._sampler(ClassVariances(loss, phi), n_rows)
        own = _slices(loss, classes)
        H = information.sum_rows(loss, rows, _information, phi, classes, columns, own, numbers=m, result=m**2)
        H[np.diag_indices(m)] += ridge
        if loss.coordinates.is_symmetric:
            intercepts = np.flatnonzero(columns == loss.rows.n_features)
            H[np.ix_(intercepts, intercepts)] += H[intercepts, intercepts].sum() / max(len(intercepts), 1)
        return DenseQuadratic(H)

    @cached_property
    def _sampler(self) -> RowSampler:
        return null_metric.row_sampler(self.loss, null_metric.null_covariance(self.loss))


def _information(
    block: Block,
    standardisation: Standardisation,
    phi: Array,
    classes: Indices,
    columns: Indices,
    own: list[slice],
) -> Array:
    """The information of the working set.

    The blocks of one class are computed with ``p (1 - p)``: as a difference of sums they would be lost in
    rounding where probabilities are near one.
    """
    z, s, m = standardisation.of(block), block.weights, len(classes)
    p, total = information.probabilities(block, standardisation.coordinates, z, phi), np.zeros((m, m))
    if len(own) > 1:
        means = (np.sqrt(s) * p)[classes] * z[columns]
        total -= means @ means.T
    roots = np.sqrt(s * p * complement(p))[-len(own) :]
    for members, root in zip(own, roots, strict=True):
        half = z[columns[members]] * root
        total[members, members] = half @ half.T
    return total


def _slices(loss: Objective, classes: Indices) -> list[slice]:
    """The working set's coordinates of every class."""
    ends = np.searchsorted(classes, np.arange(loss.shape[0] + 1))
    return [slice(first, last) for first, last in pairwise(ends)]


class Products:
    """H by its products with vectors, which cost about half an evaluation on the columns of the working set.

    Systems are solved by conjugate gradients. Their preconditioner is the diagonal.
    """

    def __init__(
        self,
        loss: Objective,
        theta: Array,
        classes: Indices,
        columns: Indices,
        ridge: Array,
        accuracy: float,
    ) -> None:
        self.ridge, self.accuracy, self.count = ridge, accuracy, 0
        self._loss, features = _restricted(loss, np.unique(columns[columns < loss.rows.n_features]))
        kept = np.append(features, loss.rows.n_features) if loss.coordinates.fit_intercept else features
        self._at = classes, np.searchsorted(kept, columns)
        phi = theta.reshape(loss.shape)[:, kept].ravel()
        self._probabilities = self._loss.rows.keep(probabilities_of, self._loss.point(phi))
        self._intercepts = np.flatnonzero(columns == loss.rows.n_features)
        self.diagonal = self._class_diagonals()[self._at] + ridge
        self._common = 0.0
        if not loss.coordinates.has_reference and len(self._intercepts):
            self._common = float(self.diagonal[self._intercepts].mean())
            self.diagonal[self._intercepts] += self._common

    def product(self, v: Array) -> Array:
        """``H v``."""
        self.count += 1
        loss = self._loss
        phi = np.zeros(loss.shape)
        phi[self._at] = v

        gradient = loss.gradient_of(information_times, self._probabilities, loss.direction(phi.ravel()))
        product = gradient.reshape(loss.shape)[self._at] + self.ridge * v
        product[self._intercepts] += self._common * v[self._intercepts].sum()
        return np.asarray(product)

    def solve(self, active: Indices, rhs: Array, *, exact: bool) -> tuple[Array, bool]:
        """By conjugate gradients, of which the first few do most."""
        full, diagonal = np.zeros(len(self.ridge)), np.maximum(self.diagonal[active], TINY)

        def product(v: Array) -> Array:
            full[active] = v
            return self.product(full)[active]

        enough = self.accuracy**2 * float(rhs @ (rhs / diagonal))
        iterates = conjugate_gradients(product, rhs, lambda r: r / diagonal)
        most = 2000 if exact else 25  # while the active set still changes
        iterate, is_solved = first(iterates, lambda at: at.squared <= enough, most)
        return iterate.solution, is_solved

    def _class_diagonals(self) -> Array:
        """``sum_i s_i p_ik (1 - p_ik) z_ij^2``, of the shape of the coordinates."""
        loss = self._loss
        kernel = _squares if loss.rows.stores_zeros else _squares_of_stored
        n_rows = loss.shape[0]
        return loss.rows.map_reduce(kernel, loss.standardisation, self._probabilities, n_rows)


def _variances(block: Block, probabilities: Kept[Array], n_rows: int) -> Array:
    p = probabilities.of(block)
    return np.asarray((block.weights * p * complement(p))[-n_rows:])


def _squares(
    block: Block, standardisation: Standardisation, probabilities: Kept[Array], n_rows: int
) -> Array:
    """``sum_i s_i p_ik (1 - p_ik) z_ij^2``."""
    return np.asarray(_variances(block, probabilities, n_rows) @ (standardisation.of(block) ** 2).T)


def _squares_of_stored(
    block: Block, standardisation: Standardisation, probabilities: Kept[Array], n_rows: int
) -> Array:
    """The same where zeros are not stored."""
    v, coordinates = _variances(block, probabilities, n_rows), standardisation.coordinates
    shift = coordinates.mean - standardisation.shift
    squares = block.scores_of_squares(v) - 2 * shift * block.scores(v)
    totals = v.sum(axis=1, keepdims=True)
    squares = (squares + shift**2 * totals) / coordinates.scale**2
    return np.concatenate([squares, totals], axis=1) if coordinates.fit_intercept else squares


def _restricted(loss: Objective, features: Indices) -> tuple[Objective, Indices]:
    """The loss of these features alone, or of more: a dense X is not copied."""
    rows = loss.rows.in_memory
    if rows is None or rows.stores_zeros:
        return loss, np.arange(loss.rows.n_features)
    few = replace(loss.loss, rows=rows.columns(features))
    return Objective(few, Penalty(), loss.coordinates.of_features(features)), features
