r"""The categorical distribution as an exponential family: everything that smreg computes, derived.

**Density.** An observation falls into one of K classes with probabilities ``p``. With its one-hot
vector ``T(y)`` as *sufficient statistic* and ``eta`` as *natural parameter* (the logits, in nats),

    ``f(y) = prod_k p_k ** T(y)_k = exp(<eta, T(y)> - A(eta))``.

**Log-partition.** The density sums to one over the K classes, which fixes

    ``A(eta) = log sum_k exp(eta_k)``                                  (`log_partition`)

**Mean.** Differentiating ``sum_y f(y) = 1`` once gives ``E[T(y)] = grad A(eta)``:

    ``p_k = exp(eta_k) / sum_j exp(eta_j)``, the softmax                       (`softmax`)

**Variance.** Differentiating again gives ``Cov[T(y)] = hess A(eta)``:

    ``diag(p) - p p'``, the Fisher information of one observation  (`fisher_information`)

**Cross-entropy.** The negative log-likelihood of a target ``t`` -- a one-hot vector, or any point of
the simplex, since only ``<eta, t>`` enters -- is

    ``-<t, log p> = A(eta) - <eta, t>``                                  (`cross_entropy`)

and by the mean above its gradient in the logits is ``p - t``                 (`gradient`).

**Minimal form.** The K entries of ``T(y)`` sum to one, so one of them is redundant: adding a constant
to all logits changes no probability. Dropping a reference class leaves K - 1 statistics and the
natural parameters ``eta_k - eta_reference`` (`to_reference_coding`); centring the logits keeps all K
and makes them sum to zero (`to_symmetric_coding`). For K = 2 the minimal parameter is a single number
``z``, its log-partition is the `softplus` ``log(1 + exp(z))`` and its mean the `sigmoid`.

**Temperature.** Dividing the logits by T > 0 flattens (T > 1) or sharpens (T < 1) the distribution:
as T goes to 0, softmax approaches `hardmax` where the maximum is unique; as T grows without bound it
approaches the uniform distribution on the classes whose logit is finite.

Conventions: classes lie along the last axis, all functions broadcast over the others, and logits may
be any finite number or -inf (probability zero). Rows that are no logits at all -- NaN, +inf, or
nothing but -inf -- raise a ValueError that names the first of them.

References
----------
P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapters 2 and
5. https://doi.org/10.1201/9780203753736
M. J. Wainwright and M. I. Jordan, Graphical Models, Exponential Families, and Variational Inference,
Foundations and Trends in Machine Learning 1 (2008). https://doi.org/10.1561/2200000001
"""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.floating[Any]]


def log_partition(logits: ArrayLike) -> Array:
    """Log-partition function ``A(eta) = log sum_k exp(eta_k)``, in nats.

    Parameters
    ----------
    logits : array-like of shape (..., K)
        Natural parameters, in nats; -inf is probability zero.

    Returns
    -------
    ndarray of shape (...)
        Never below the largest logit, never more than ``log K`` above it.

    Raises
    ------
    ValueError
        If a row of `logits` is no distribution: NaN, +inf, or nothing but -inf.

    References
    ----------
    M. J. Wainwright and M. I. Jordan, Graphical Models, Exponential Families, and Variational Inference,
    Foundations and Trends in Machine Learning 1 (2008), section 3. https://doi.org/10.1561/2200000001

    Examples
    --------
    >>> from smreg.family import log_partition
    >>> float(log_partition([1e308, 1e308])) == 1e308
    True
    """
    top = _as_logits(logits).max(axis=-1).astype(np.float64)
    excess = special.logsumexp(_below_maximum(logits, temperature=1.0), axis=-1)
    return _rounded_like(logits, top + excess)


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Array:
    """Class probabilities: the mean ``grad A(eta / T)`` of the one-hot vector.

    ``p_k = exp(eta_k / T) / sum_j exp(eta_j / T)``.

    Parameters
    ----------
    logits : array-like of shape (..., K)
        Natural parameters, in nats; -inf is probability zero.
    temperature : float, default=1.0
        Positive and finite divisor T of the logits.

    Returns
    -------
    ndarray of shape (..., K)
        Points of the simplex.

    Raises
    ------
    ValueError
        If `temperature` is not positive and finite, or a row of `logits` is no distribution.

    References
    ----------
    J. S. Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, in
    Neurocomputing, Springer 1990. https://doi.org/10.1007/978-3-642-76153-9_28
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599

    Examples
    --------
    >>> from smreg import softmax
    >>> softmax([3.0, 1.0, 0.2]).round(3)
    array([0.836, 0.113, 0.051])
    >>> softmax([3.0, 1.0, 0.2], temperature=10.0).round(3)
    array([0.388, 0.318, 0.294])
    """
    p = np.exp(_below_maximum(logits, temperature))
    return _rounded_like(logits, p / p.sum(axis=-1, keepdims=True))


def log_softmax(logits: ArrayLike, temperature: float = 1.0) -> Array:
    """Logarithm of `softmax`, ``eta / T - A(eta / T)``, without the detour through probabilities.

    The value is -inf only for a logit of -inf or where the exact value exceeds the range of floating
    point; the entry of a confident class keeps its digits: ``log_softmax([50, 0])`` begins with
    ``-exp(-50)``, not with 0.

    Parameters
    ----------
    logits : array-like of shape (..., K)
        Natural parameters, in nats; -inf is probability zero.
    temperature : float, default=1.0
        Positive and finite divisor T of the logits.

    Returns
    -------
    ndarray of shape (..., K)
        Log-probabilities, in nats.

    Raises
    ------
    ValueError
        If `temperature` is not positive and finite, or a row of `logits` is no distribution.

    References
    ----------
    J. S. Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, in
    Neurocomputing, Springer 1990. https://doi.org/10.1007/978-3-642-76153-9_28

    Examples
    --------
    >>> from smreg import log_softmax
    >>> log_softmax([1000.0, 0.0])
    array([    0., -1000.])
    """
    relative = _below_maximum(logits, temperature)
    log_p = relative - special.logsumexp(relative, axis=-1, keepdims=True)
    return _rounded_like(logits, log_p)


def hardmax(logits: ArrayLike) -> Array:
    """One-hot vector of the largest logit, the first one where several are largest.

    It is the limit of ``softmax(logits, T)`` for T -> 0 where the maximum is unique.

    Parameters
    ----------
    logits : array-like of shape (..., K)
        Natural parameters, in nats.

    Returns
    -------
    ndarray of shape (..., K)
        Rows of zeros and a single one.

    Raises
    ------
    ValueError
        If a row of `logits` is no distribution: NaN, +inf, or nothing but -inf.

    References
    ----------
    J. S. Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, in
    Neurocomputing, Springer 1990. https://doi.org/10.1007/978-3-642-76153-9_28

    Examples
    --------
    >>> from smreg.family import hardmax
    >>> hardmax([[3.0, 1.0, 0.2], [1.0, 1.0, 0.0]])
    array([[1., 0., 0.],
           [1., 0., 0.]])
    """
    eta = _as_logits(logits)
    return _rounded_like(logits, sufficient_statistic(eta.argmax(axis=-1), eta.shape[-1]))


def sigmoid(z: ArrayLike) -> Array:
    """Mean of the minimal family at K = 2, ``1 / (1 + exp(-z))``: the derivative of `softplus`.

    Parameters
    ----------
    z : array-like
        Logit of the second class against the first, in nats.

    Returns
    -------
    ndarray of the same shape
        Probability of the second class: ``softmax([0, z])[1]``.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 4.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import sigmoid
    >>> sigmoid([-2.0, 0.0, 2.0]).round(3)
    array([0.119, 0.5  , 0.881])
    """
    return _rounded_like(z, special.expit(_floating(z).astype(np.float64)))


def softplus(z: ArrayLike) -> Array:
    """Log-partition of the minimal family at K = 2, ``log(1 + exp(z))``, in nats.

    Parameters
    ----------
    z : array-like
        Logit of the second class against the first, in nats.

    Returns
    -------
    ndarray of the same shape
        ``log_partition([0, z])``.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 4.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import softplus
    >>> softplus([-1000.0, 0.0, 1000.0]).round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """
    return _rounded_like(z, np.logaddexp(0.0, _floating(z).astype(np.float64)))


def sufficient_statistic(codes: ArrayLike, n_classes: int) -> Array:
    """One-hot vectors ``T(y)`` of class codes.

    Parameters
    ----------
    codes : array-like of int
        Classes as numbers 0, ..., K - 1.
    n_classes : int
        Number K of classes.

    Returns
    -------
    ndarray of shape (*codes.shape, K)
        A single one in each row.

    Raises
    ------
    ValueError
        If a code is not an integer from 0 to `n_classes` - 1.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 5.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import sufficient_statistic
    >>> sufficient_statistic([2, 0], n_classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    y = np.asarray(codes)
    if y.size and not (np.issubdtype(y.dtype, np.integer) and y.min() >= 0 and y.max() < n_classes):
        raise ValueError(f"codes must be integers from 0 to n_classes - 1 = {n_classes - 1}, got {codes!r}.")
    return np.asarray((y[..., np.newaxis] == np.arange(n_classes)).astype(float))


def cross_entropy(target: ArrayLike, logits: ArrayLike) -> Array:
    """Expected negative log-probability ``A(eta) - <eta, t> = -sum_k t_k log softmax(eta)_k``.

    It is not symmetric: the target is the distribution that the expectation is taken under.
    Classes with target zero contribute nothing, whatever their logit (``0 log 0 = 0``).

    Parameters
    ----------
    target : array-like of shape (..., K)
        Points of the simplex: one-hot vectors or any distributions.
    logits : array-like of shape (..., K)
        Natural parameters, in nats.

    Returns
    -------
    ndarray of shape (...)
        Nats; inf where the target has a class whose logit is -inf. Its minimum over the logits is
        `entropy` of the target, its excess over that is `kl_divergence`.

    Raises
    ------
    ValueError
        If a row of `logits` is no distribution: NaN, +inf, or nothing but -inf.
        Or if target and logits differ in the number of classes.

    References
    ----------
    C. E. Shannon, A Mathematical Theory of Communication, Bell System Technical Journal 27 (1948).
    https://doi.org/10.1002/j.1538-7305.1948.tb01338.x

    Examples
    --------
    >>> from smreg import cross_entropy
    >>> cross_entropy([[0.0, 1.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]]).round(4)
    array([0.6931, 0.6931])
    """
    t, eta = _floating(target), _as_logits(logits).astype(np.float64)
    if t.ndim == 0 or t.shape[-1] != eta.shape[-1]:
        raise ValueError(
            f"target and logits must have equally many classes, got shapes {t.shape} and {eta.shape}."
        )
    top = eta.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        # <top - eta, t>, in halves since the difference of two huge logits may overflow where t does not
        linear = np.where(t == 0, 0.0, (t * (top / 2 - eta / 2)) * 2)
    excess = special.logsumexp(_below_maximum(logits, temperature=1.0), axis=-1)
    return np.asarray(linear.sum(axis=-1) + excess * t.sum(axis=-1)).astype(
        np.result_type(t, _floating(logits))
    )


def entropy(p: ArrayLike) -> Array:
    """Entropy ``-sum_k p_k log p_k`` of distributions, in nats.

    Parameters
    ----------
    p : array-like of shape (..., K)
        Points of the simplex.

    Returns
    -------
    ndarray of shape (...)
        From 0 (one class is certain) to ``log K`` (uniform).

    References
    ----------
    C. E. Shannon, A Mathematical Theory of Communication, Bell System Technical Journal 27 (1948).
    https://doi.org/10.1002/j.1538-7305.1948.tb01338.x

    Examples
    --------
    >>> from smreg.family import entropy
    >>> entropy([[1.0, 0.0], [0.5, 0.5]]).round(4)
    array([0.    , 0.6931])
    """
    return _rounded_like(p, special.entr(_floating(p).astype(np.float64)).sum(axis=-1))


def kl_divergence(target: ArrayLike, p: ArrayLike) -> Array:
    """Kullback-Leibler divergence ``sum_k t_k log(t_k / p_k)`` of distributions, in nats.

    Parameters
    ----------
    target, p : array-like of shape (..., K)
        Points of the simplex; the expectation is taken under `target`.

    Returns
    -------
    ndarray of shape (...)
        Nats, zero exactly where both are equal, inf where `p` excludes a class of the target.

    References
    ----------
    S. Kullback and R. A. Leibler, On Information and Sufficiency, Annals of Mathematical Statistics
    22 (1951). https://doi.org/10.1214/aoms/1177729694

    Examples
    --------
    >>> from smreg.family import kl_divergence
    >>> float(kl_divergence([0.5, 0.5], [0.25, 0.75]).round(4))
    0.1438
    """
    t, q = _floating(target).astype(np.float64), _floating(p).astype(np.float64)
    # kl_div adds p - t to each term: zero in the sum over a simplex, and every term non-negative.
    terms = special.kl_div(t, q)
    too_far = np.isinf(terms) & (q > 0)  # the ratio of both overflows, its logarithm does not
    terms = np.where(too_far, special.xlogy(t, t) - special.xlogy(t, q) - t + q, terms)
    return np.asarray(terms.sum(axis=-1)).astype(np.result_type(_floating(target), _floating(p)))


def gradient(target: ArrayLike, logits: ArrayLike) -> Array:
    """Gradient of `cross_entropy` in the logits: mean minus sufficient statistic, ``p - t``.

    Parameters
    ----------
    target : array-like of shape (..., K)
        Points of the simplex.
    logits : array-like of shape (..., K)
        Natural parameters, in nats.

    Returns
    -------
    ndarray of shape (..., K)
        Rows that sum to zero.

    Raises
    ------
    ValueError
        If a row of `logits` is no distribution: NaN, +inf, or nothing but -inf.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 2.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import gradient
    >>> gradient([0.0, 1.0], [0.0, 0.0])
    array([ 0.5, -0.5])
    """
    p, t = softmax(logits), _floating(target)
    difference = np.asarray(p - t)
    # p_k - t_k = (1 - t_k) - (1 - p_k), with 1 - p_k as the sum of the others: exact where p_k is near one.
    top, others = p.argmax(axis=-1)[..., np.newaxis], p.copy()
    np.put_along_axis(others, top, 0.0, axis=-1)
    rest = 1 - np.take_along_axis(np.broadcast_to(t, p.shape), top, axis=-1)
    np.put_along_axis(difference, top, rest - others.sum(axis=-1, keepdims=True), axis=-1)
    return difference


def fisher_information(logits: ArrayLike) -> Array:
    """Variance of the one-hot vector: the Hessian ``diag(p) - p p'`` of the log-partition.

    Parameters
    ----------
    logits : array-like of shape (..., K)
        Natural parameters, in nats.

    Returns
    -------
    ndarray of shape (..., K, K)
        Symmetric, positive semi-definite, rows that sum to zero: logits are identified up to a
        constant.

    Raises
    ------
    ValueError
        If a row of `logits` is no distribution: NaN, +inf, or nothing but -inf.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 2.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import fisher_information
    >>> fisher_information([0.0, 0.0])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    p = softmax(logits)
    information = -p[..., :, np.newaxis] * p[..., np.newaxis, :]
    diagonal = np.arange(p.shape[-1])
    # p_k (1 - p_k) with 1 - p_k as the sum of the others: no digits are lost where p_k is near one.
    information[..., diagonal, diagonal] = 0.0
    information[..., diagonal, diagonal] = -information.sum(axis=-1)
    return np.asarray(information)


def to_reference_coding(logits: ArrayLike, reference: int = 0) -> Array:
    """Minimal natural parameters ``eta_k - eta_reference`` of the K - 1 other classes.

    Classes lie along the last axis, as in everything here. ``coef_`` of a fitted model has them along the
    first: it is ``coef_.T`` that is meant here. `smreg.SoftmaxRegression.coefficients` makes that table, with
    the names of features and classes, and takes the reference by its label.

    Parameters
    ----------
    logits : array-like of shape (..., K)
        Natural parameters of all K classes: logits of samples, or coefficients of features.
    reference : int, default=0
        Position of the class whose logit becomes zero and is dropped; not its label.

    Returns
    -------
    ndarray of shape (..., K - 1)
        Natural parameters of the minimal family, in the order of the remaining classes.

    Raises
    ------
    ValueError
        If `reference` is no class, or its logit is -inf, or there are fewer than two classes (the single
        row of a two-class model is in reference coding already). Or if the classes lie along the first axis:
        three rows or more that sum to zero, to rounding, as those of ``coef_`` do, while the columns do not.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 5.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import to_reference_coding
    >>> to_reference_coding([1.0, 3.0, 0.0])
    array([ 2., -1.])
    """
    eta = _as_logits(logits)
    _check_reference(reference, eta.shape[-1])
    if eta.shape[-1] < 2:
        raise ValueError("Reference coding needs at least 2 classes along the last axis, got 1.")
    if not np.isfinite(eta[..., reference]).all():
        raise ValueError("The reference class's logit must be finite: differences from -inf are not.")
    if np.isfinite(eta).all():
        _check_class_axis(eta)
    with np.errstate(over="ignore"):
        contrast = eta - eta[..., [reference]]
    return np.asarray(np.delete(contrast, reference, axis=-1))


def to_symmetric_coding(minimal: ArrayLike, reference: int = 0) -> Array:
    """All K natural parameters, summing to zero, from the K - 1 of reference coding.

    Classes lie along the last axis, as in everything here. The single row of ``coef_`` of a two-class model
    has the features there: it is ``coef_.T``, of shape (n_features, 1), that is in reference coding.

    Parameters
    ----------
    minimal : array-like of shape (..., K - 1)
        Natural parameters against the reference class.
    reference : int, default=0
        Position at which the reference class stands among the K; not its label.

    Returns
    -------
    ndarray of shape (..., K)
        Rows that sum to zero and have the same `softmax` as ``[0, minimal]``.

    Raises
    ------
    ValueError
        If `reference` is no class, or a parameter is not finite, or there is none.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 5.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.family import to_symmetric_coding
    >>> to_symmetric_coding([2.0, -1.0]).round(3)
    array([-0.333,  1.667, -1.333])
    """
    contrast = _floating(minimal)
    if contrast.ndim == 0 or not np.isfinite(contrast).all():
        raise ValueError(f"minimal must hold finite numbers, a class along the last axis, got {minimal!r}.")
    if contrast.shape[-1] == 0:
        raise ValueError(
            f"minimal must have a class beside the reference along the last axis, got shape {contrast.shape}."
        )
    n_classes = contrast.shape[-1] + 1
    _check_reference(reference, n_classes)
    eta = np.insert(contrast, reference % n_classes, 0.0, axis=-1)
    with np.errstate(over="ignore"):
        return np.asarray(eta - (eta / n_classes).sum(axis=-1, keepdims=True))


def check_temperature(temperature: float) -> float:
    """Return `temperature` if it is a positive finite number, else raise a ValueError that says so."""
    try:
        value = float(temperature) if isinstance(temperature, Real) else np.nan
    except OverflowError:  # an integer or fraction beyond the floating range
        value = np.inf
    if not 0 < value < np.inf:
        raise ValueError(f"temperature must be a positive finite number, got {temperature!r}.")
    return value


def _check_reference(reference: int, n_classes: int) -> None:
    is_position = isinstance(reference, Integral) and not isinstance(reference, bool | np.bool_)
    if not is_position or not -n_classes <= reference < n_classes:
        raise ValueError(
            f"reference must be the position of a class among {n_classes}, not its label: an integer from "
            f"{-n_classes} to {n_classes - 1}; got {reference!r}."
        )


def _check_class_axis(eta: Array) -> None:
    """Raise a ValueError for a matrix in symmetric coding along the wrong axis."""
    if eta.ndim == 2 and len(eta) > 2 and _sums_to_zero(eta, axis=0) and not _sums_to_zero(eta, axis=1):
        raise ValueError(
            f"logits of shape {eta.shape} must have the classes along the last axis, but it is along the "
            "first that they sum to zero, as coef_ does: pass coef_.T, or use the method coefficients() of "
            "the model. (If the last is meant, subtract the mean of each row, which changes no result.)"
        )


def _sums_to_zero(eta: Array, axis: int) -> bool:
    """Whether all sums along an axis are zero, to a few roundings of the largest number."""
    largest = np.abs(eta).max()
    means = np.mean(eta / largest if largest > 0 else eta, axis=axis)
    return bool((np.abs(means) <= 4 * np.finfo(eta.dtype).eps).all())


def _floating(values: ArrayLike) -> Array:
    """Real numbers as floating point: half and single precision are kept, all else becomes float64."""
    array = np.asarray(values)
    if array.dtype.kind in ("c", "m", "M"):
        raise ValueError(f"logits and probabilities must be real numbers, got dtype {array.dtype}.")
    return array if array.dtype in (np.float16, np.float32) else array.astype(np.float64, copy=False)


def _rounded_like(argument: ArrayLike, result: Any) -> Array:
    """`result` in the precision of `argument`; infinite where it exceeds its range."""
    with np.errstate(over="ignore"):
        return np.asarray(result).astype(_floating(argument).dtype, copy=False)


def _as_logits(logits: ArrayLike) -> Array:
    """Rows of logits, each with a finite maximum."""
    eta = _floating(logits)
    if eta.ndim == 0 or eta.shape[-1] == 0:
        raise ValueError(f"logits must have at least one class along the last axis, got shape {eta.shape}.")
    top = eta.max(axis=-1)
    if not np.isfinite(top).all():  # NaN and +inf carry over into the maximum
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(top))[0])
        row = "" if eta.ndim == 1 else f"row {first[0] if len(first) == 1 else first} is "
        raise ValueError(
            f"logits must be finite or -inf, with a finite one in every row; got {row}{eta[first]}."
        )
    return eta


def _below_maximum(logits: ArrayLike, temperature: float) -> Array:
    """``(eta - max eta) / T`` in double precision: at most 0, -inf only where that is the rounding."""
    T = check_temperature(temperature)
    eta = _as_logits(logits).astype(np.float64, copy=False)
    top = eta.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        distance = eta - top
        relative = distance / T
        if np.isneginf(distance.min(initial=0.0)):
            too_far = np.isneginf(distance) & np.isfinite(eta)  # two huge logits: halve first, double last
            relative = np.where(too_far, (eta / 2 - top / 2) / T * 2, relative)
    return np.asarray(relative)
