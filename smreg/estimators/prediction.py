"""Logits of samples, from coefficients as they are stored: large ones are not copied for a few rows.

Of Dask collections also what is made of the logits, when it is asked for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from smreg.data.block import Block, predictors
from smreg.data.features import check_features
from smreg.data.matrix import unlabelled
from smreg.data.offsets import check_offset, columns_of_classes
from smreg.estimators.coefficients import intercepts_of

Array = NDArray[np.float64]
Floats = NDArray[Any]

# Coefficients that are brought to double precision, or made dense, at a time: 2 MiB, that stay in the cache.
PART = 2**18

SCORE_OF_SOFT = (
    "score needs labels of shape (n_samples,), got y of {}. For soft targets use "
    "smreg.metrics.neg_cross_entropy_scorer(estimator, X, y), or SoftmaxRegressionCV, whose score it is; in "
    "memory also scoring=neg_cross_entropy_scorer in GridSearchCV."
)


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


def logits_of(
    model: Any, X: Any, of: Callable[[Floats], Floats] = lambda logits: logits, offset: Any = None
) -> Floats:
    """Logits of all classes, (n_samples, n_classes), or a function of them, block by block.

    For two classes the first logit is zero. Where one exceeds the floating range it is the largest
    number that there is.
    """
    check_is_fitted(model)
    return logits_of_checked(model, check_features(model, X, reset=False), of, offset)


def logits_of_checked(model: Any, X: Any, of: Callable[[Floats], Floats], offset: Any = None) -> Floats:
    """The same of validated features."""
    offset = model._held_offset if offset is None else offset
    if offset is not None:
        offset = check_offset(offset, X.shape[0], model.classes_)
    rows = unlabelled(X, len(model.classes_), offset)
    result = np.empty((rows.n_samples, rows.n_classes), dtype=np.result_type(X, model.coef_.dtype))
    largest, first = float(np.finfo(result.dtype).max), 0
    for logits in rows.map_blocks(stored_logits, model.coef_, intercepts_of(model), rows.n_classes):
        last = first + len(logits)
        result[first:last] = of(np.nan_to_num(logits, copy=False, posinf=largest, neginf=-largest))
        first = last
        del logits  # before those of the next block are made
    return result


def lazily(model: Any, method: str, X: Any, *arguments: Any, offset: Any = None) -> Any:
    """What a method gives for a Dask collection, when it is asked for."""
    from smreg.data.dask_partitions import check_lazy_features, dtype_of
    from smreg.data.dask_prediction import predicted

    check_is_fitted(model)
    check_lazy_features(model, X, reset=False)
    if offset is not None:
        columns_of_classes(offset, model.classes_)
    is_label = method == "predict"
    single = is_label or (method == "decision_function" and len(model.classes_) == 2)
    columns = None if single else model.classes_
    like = model.classes_ if is_label else np.empty(0, np.result_type(dtype_of(X), model.coef_.dtype))
    return predicted(X, partial(_called, model, method, arguments), columns, like, offset)


def _called(model: Any, method: str, arguments: tuple[Any, ...], X: Any, offset: Any = None) -> Floats:
    return np.asarray(getattr(model, method)(X, *arguments, offset=offset))


def lazy_accuracy(model: Any, X: Any, y: Any, sample_weight: Any, offset: Any) -> float:
    """Accuracy of predictions for Dask collections."""
    from smreg.data.dask_partitions import check_lazy_features, is_soft_target
    from smreg.data.dask_prediction import accuracy

    check_is_fitted(model)
    check_lazy_features(model, X, reset=False)
    if is_soft_target(y):
        raise ValueError(SCORE_OF_SOFT.format("two dimensions"))
    return accuracy(X, y, sample_weight, model.predict, offset)
