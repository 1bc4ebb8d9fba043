"""A sample that is read in batches, once a pass, and never held."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Batches:
    """A sample that does not fit in memory, read in batches: what `fit` takes for X and y.

    `SoftmaxRegression` reads all batches some twenty times, one after the other, and `SoftmaxRegressionCV`
    with all candidates and folds two to four times as often. One batch is held at a time. Whether a pass
    yields the rows of the first is checked.

    Parameters
    ----------
    factory : callable
        A function without arguments that returns the batches from the first on, whenever it is called: an
        iterable of pandas DataFrames, or of pyarrow's tables or record batches, as
        ``lambda: pq.ParquetFile(path).iter_batches()``. All have the same columns; some may be without rows.
    target : label, or list of labels
        The column of the labels, or the columns of soft targets, one for each class.
    sample_weight : label or None, default=None
        The column of the weights; None means ones.

    Raises
    ------
    TypeError
        If `factory` is no function.
    ValueError
        If `target` is a list of fewer than two columns, or the weights are a target.

    Notes
    -----
    All other columns are features: numbers or booleans of any type, as in a frame that is in memory. What
    they hold is checked in every pass, batch by batch, and errors give the number of the batch, from 0.

    A pass must yield the same batches as the first, but for empty ones. Compared are the number of rows of
    each, and a checksum of labels or soft targets, weights, and sums of the bits of each row's features.
    A factory that shuffles, draws at random or goes on with a stream that was read before ends in a
    ValueError, and leaves the estimator as it was.

    Memory is that of a batch a few times over: as it comes, as numbers, and what is computed of it. A batch
    should have some ten thousand rows, so that what is done once for each does not matter. Samples of rows,
    which stand for all where the metric of the search is made, and what a search keeps of each row, the
    latter up to 256 MiB at a time, are held too; with `SoftmaxRegressionCV` the samples of all fits side by
    side, up to 256 MiB at a time, and nothing of each row. Methods that need all of X are left out. One
    thread reads; `n_jobs` is for what is computed of a batch. There are no offsets.

    `predict` and the others take rows in memory: ``for batch in factory(): model.predict(batch[features])``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from smreg import SoftmaxRegression
    >>> from smreg.data import Batches
    >>> iris = load_iris(as_frame=True).frame
    >>> frames = [iris[first : first + 50] for first in range(0, 150, 50)]
    >>> model = SoftmaxRegression().fit(Batches(lambda: frames, target="target"))
    >>> model.converged_
    True
    >>> [model.predict(frame[model.feature_names_in_])[0] for frame in frames]
    [np.int64(0), np.int64(1), np.int64(2)]

    Slices of a matrix that is mapped to memory, as by ``numpy.load(path, mmap_mode="r")``, and C chosen by
    cross-validation, where not even a fold's test part need fit in memory:

    >>> import pandas as pd
    >>> from smreg import SoftmaxRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> def slices(size=50):
    ...     for first in range(0, len(X), size):
    ...         rows = slice(first, first + size)
    ...         yield pd.DataFrame(X[rows]).assign(label=y[rows])
    >>> SoftmaxRegressionCV([0.1, 1.0, 10.0]).fit(Batches(slices, target="label")).C_
    10.0
    """

    factory: Callable[[], Iterable[Any]]
    target: Any
    sample_weight: Any = None

    def __post_init__(self) -> None:
        if not callable(self.factory):
            raise TypeError(
                "factory must be a function without arguments that returns the batches, as "
                f"`lambda: frames`, got {type(self.factory).__name__}."
            )
        if isinstance(self.target, list) and len(self.target) < 2:
            raise ValueError(
                "target must be a column, or a list of one for each of two classes or more, got "
                f"{self.target}."
            )
        if self.sample_weight is not None and self.sample_weight in self._targets:
            raise ValueError(
                f"sample_weight must be another column than the target, got {self.sample_weight!r}."
            )

    @property
    def _targets(self) -> list[Any]:
        return self.target if isinstance(self.target, list) else [self.target]

    def __iter__(self) -> Iterator[Any]:
        """Every batch, as it comes."""
        batches = self.factory()
        if not isinstance(batches, Iterable):
            raise TypeError(f"factory must return an iterable of batches, got {type(batches).__name__}.")
        return iter(batches)

    def divided(self, batch: Any) -> tuple[pd.DataFrame, Any, Any]:
        """Features, targets and weights of a batch, after a check of its columns."""
        if not isinstance(batch, pd.DataFrame):
            if not hasattr(batch, "to_pandas"):
                raise TypeError(
                    "a batch must be a DataFrame, or a table or record batch of pyarrow, got "
                    f"{type(batch).__name__}."
                )
            batch = batch.to_pandas()
        names = list(batch.columns)
        for name in self._special:
            if names.count(name) != 1:
                raise ValueError(f"there must be one column {name!r}, got {names}.")
        if len(names) == len(self._special):
            raise ValueError(f"there must be a column of features apart from {self._special}, got none.")
        weights = None if self.sample_weight is None else batch[self.sample_weight]
        return batch.drop(columns=self._special), batch[self.target], weights

    @property
    def _special(self) -> list[Any]:
        """Columns that are no features."""
        return self._targets if self.sample_weight is None else [*self._targets, self.sample_weight]
