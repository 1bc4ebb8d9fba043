"""What a fit tells of its steps: scikit-learn's callbacks, and with `verbose` the user."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.regression import Regression, Solution

Array = NDArray[np.floating[Any]]


class Report:
    """What a fit tells scikit-learn's callbacks, and with `verbose` the user, of its steps."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, dtype: Any) -> None:
        self.estimator, self.dtype, self.steps = estimator, dtype, 0
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.context.call_on_fit_task_begin(**self.data)

    def attributes(self, regression: Regression) -> dict[str, Array]:
        """The fitted attributes, in the precision of X."""
        return {
            "coef_": regression.coef.astype(self.dtype),
            "intercept_": regression.intercept.astype(self.dtype),
        }

    def __call__(self, regression: Callable[[], Regression], objective: float, norm: float) -> bool:
        """Tell of a step; whether a callback asks to stop."""
        self.steps += 1
        if self.estimator.verbose:
            print(f"step {self.steps}: objective {objective:.9f}, gradient norm {norm:.1e}")
        step = self.context.subcontext(task_name="step")
        step.call_on_fit_task_begin(**self.data)
        return bool(
            step.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: self.attributes(regression())
            )
        )

    def finish(self, regression: Regression, solution: Solution) -> None:
        """Tell of the end, where the norm is measured once more, in the metric of the last point."""
        if self.estimator.verbose:
            print(solution.explain(self.estimator.tol, self.estimator.max_iter))
        self.context.call_on_fit_task_end(
            **self.data, reconstruction_attributes=lambda: self.attributes(regression)
        )
