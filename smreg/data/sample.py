"""A checked sample: what an estimator fits to, whatever held it."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from smreg.data.rows import Rows


@dataclass(frozen=True)
class Sample:
    """Rows with class weights merged in, which as a context free in the end what is held for them.

    Attributes
    ----------
    rows : Rows
        Features, targets and weights.
    classes : ndarray of shape (n_classes,)
        Sorted labels, or names of the columns of soft targets.
    dtype : dtype
        float32 if all features are, else float64.
    """

    rows: Rows
    classes: NDArray[Any]
    dtype: np.dtype[Any]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.rows.close()
