"""Logits of samples, from coefficients as they are stored: large ones are not copied for a few rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from smreg.data.block import Block, predictors

Array = NDArray[np.float64]

# Coefficients that are brought to double precision, or made dense, at a time: 2 MiB, that stay in the cache.
PART = 2**18


def stored_logits(block: Block, coef: Any, intercept: Array, n_classes: int) -> Array:
    """Logits of all classes, of shape (n_rows, n_classes): of two the first is zero.

    Offsets are added, where there are any.

    Raises a ValueError where a feature is no number, unlike a logit beyond the floating range.
    """
    logits = np.zeros((len(block), n_classes))
    with np.errstate(over="ignore", invalid="ignore"):
        logits[:, -coef.shape[0] :] = stored_predictors(block.X, coef).T + intercept
    if np.isnan(logits).any():
        block.check_finite()
    if block.offset is not None:
        logits += block.offset
    return logits


def stored_predictors(block: Any, coef: Any) -> Array:
    """`predictors` of a block of rows, of shape (K, n_rows), by coefficients of either precision or sparse.

    Parameters
    ----------
    block : ndarray or CSR array of shape (n_rows, n_features)
        As a `Block` has it.
    coef : ndarray or sparse array of shape (K, n_features)
        float32 or float64.
    """
    if not isinstance(coef, np.ndarray) and coef.shape[0] * coef.shape[1] <= PART:
        coef = coef.toarray()  # with which it adds up in the same order as before they were sparse
    if not isinstance(coef, np.ndarray):
        product = coef.astype(np.float64, copy=False) @ block.T
        return np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)
    if isinstance(block, np.ndarray):
        return _dense_predictors(block, coef)
    if block.nnz >= block.shape[1]:
        return predictors(block, coef.astype(np.float64, copy=False))
    used, columns = np.unique(block.indices, return_inverse=True)
    shape = block.shape[0], len(used)
    few = sparse.csr_array((block.data, columns.astype(block.indices.dtype), block.indptr), shape=shape)
    return predictors(few, coef.take(used, axis=1).astype(np.float64, copy=False))


def _dense_predictors(block: Array, coef: NDArray[Any]) -> Array:
    if coef.dtype == np.float64:
        return predictors(block, coef)
    width = max(PART // len(coef), 1)
    sums = np.zeros((len(coef), len(block)))
    for start in range(0, coef.shape[1], width):
        part = slice(start, start + width)
        sums += predictors(block[:, part], coef[:, part].astype(np.float64))
    return sums
