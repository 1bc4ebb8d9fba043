r"""Sparse features that occur in a single sample, merged into one for each sample.

In text, most words occur once. Features ``j`` that are stored in row i alone, with values ``v_j``, enter
the logits only as ``sum_j v_j w_kj``. Among coefficients with the same sum those with the least norm, and so
those at the optimum, are proportional to ``v``. One feature with the value ``||v||`` takes their place: an
orthonormal change of basis, which keeps logits and penalty and makes the search's vectors shorter.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from smreg.data.matrix import MatrixRows

Array = NDArray[np.float64]

MANY = 2**14  # features below which nothing is gained


class Singletons:
    """The regression with features of a single sample merged.

    Parameters
    ----------
    rows : MatrixRows
        Sparse.
    """

    def __init__(self, rows: MatrixRows) -> None:
        columns = rows.csr.tocsc()
        is_single = np.diff(columns.indptr) == 1
        self.single, self.kept = np.flatnonzero(is_single), np.flatnonzero(~is_single)
        stored = columns.indptr[self.single]
        at, values = columns.indices[stored], columns.data[stored].astype(np.float64)
        found, self.group = np.unique(at, return_inverse=True)
        largest = np.zeros(len(found))
        np.maximum.at(largest, self.group, np.abs(values))
        unit = np.where(largest > 0, largest, 1.0)
        norms = unit * np.sqrt(np.bincount(self.group, (values / unit[self.group]) ** 2))
        self.shares = values / np.where(norms > 0, norms, 1.0)[self.group]
        merged = sparse.csr_array((norms, (found, np.arange(len(found)))), shape=(rows.n_samples, len(found)))
        X = sparse.hstack([columns[:, self.kept], merged.astype(columns.dtype)], format="csr")
        self.coordinates = rows.replaced(X)

    def expand(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """Coefficients of the features from those of the merged ones."""
        features = np.empty((len(coef), len(self.kept) + len(self.single)))
        features[:, self.kept] = coef[:, : len(self.kept)]
        features[:, self.single] = coef[:, len(self.kept) :][:, self.group] * self.shares
        return features, intercept

    def restrict(self, coef: Array, intercept: Array) -> tuple[Array, Array]:
        """The reverse: what changes no logit is lost."""
        shares = coef[:, self.single] * self.shares
        merged = [np.bincount(self.group, row, int(self.group.max(initial=-1)) + 1) for row in shares]
        return np.concatenate([coef[:, self.kept], merged], axis=1), intercept


def has_singletons(rows: MatrixRows) -> bool:
    """Whether merging features that are stored once saves a quarter of them."""
    X = rows.csr
    if X is None or rows.n_features < MANY:
        return False
    if np.abs(X.data).max(initial=0.0) > np.finfo(X.dtype).max / 2**20:
        return False  # the norm of many such values might not be finite
    once = np.count_nonzero(np.bincount(X.indices, minlength=rows.n_features) == 1)
    return bool(once - rows.n_samples >= rows.n_features / 4)
