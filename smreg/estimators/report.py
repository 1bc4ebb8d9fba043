"""Reports of a fit's progress: to scikit-learn's callbacks, and by `verbose` to standard output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.estimators.attributes import fitted_attributes
from smreg.fit.solution import Solution
from smreg.objective.layout import Regression

Array = NDArray[np.floating[Any]]


def held(offset: Any) -> dict[str, Any]:
    """What makes the model that a callback gets a view that holds the offsets of the samples."""
    return {} if offset is None else {"_held_offset": offset}


class Report:
    """Reports the steps of a fit to scikit-learn's callbacks, and prints them with `verbose`."""

    def __init__(
        self, estimator: Any, X: Any, y: Any, sample_weight: Any, dtype: Any, offset: Any = None
    ) -> None:
        self.estimator, self.dtype, self.steps = estimator, dtype, 0
        self.held = held(offset)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.context.call_on_fit_task_begin(**self.data)

    def attributes(self, regression: Regression) -> dict[str, Array]:
        """The fitted attributes, in the precision of X."""
        return fitted_attributes(regression, self.dtype)

    def __call__(self, regression: Callable[[], Regression], objective: float, norm: float) -> bool:
        """Report a step; whether a callback asks to stop."""
        self.steps += 1
        if self.estimator.verbose:
            print(f"step {self.steps}: objective {objective:.9f}, gradient norm {norm:.1e}")
        step = self.context.subcontext(task_name="step")
        step.call_on_fit_task_begin(**self.data)
        return bool(
            step.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: self.attributes(regression()) | self.held
            )
        )

    def finish(self, regression: Regression, solution: Solution) -> None:
        """Report the end, where the norm is measured once more, in the metric of the last point."""
        if self.estimator.verbose:
            print(solution.explain(self.estimator.tol, self.estimator.max_iter))
        self.context.call_on_fit_task_end(
            **self.data, reconstruction_attributes=lambda: self.attributes(regression) | self.held
        )


class PathReport:
    """Reports a search along paths: a task for each candidate, and in it a subtask for each fold."""

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        n_candidates: int,
        n_folds: int,
        offset: Any = None,
    ) -> None:
        self.held = held(offset)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.n_folds, self.verbose = n_folds, estimator.verbose
        self.context = estimator._init_callback_context(max_subtasks=n_candidates)
        self.context.call_on_fit_task_begin(**self.data)

    @contextmanager
    def candidate(self, C: float, l1_ratio: float) -> Iterator["Candidate"]:
        """Report the begin and the end of a candidate."""
        context = self.context.subcontext(task_name="candidate", max_subtasks=self.n_folds)
        context.call_on_fit_task_begin(**self.data)
        task = Candidate(context, self.data)
        yield task
        if self.verbose:
            print(f"C={C:.3g}, l1_ratio={l1_ratio:g}: {task.summary}")
        attributes = task.attributes
        context.call_on_fit_task_end(
            **self.data,
            reconstruction_attributes=None if attributes is None else lambda: attributes() | self.held,
        )

    def finish(self, attributes: dict[str, Any]) -> None:
        """Report the end."""
        self.context.call_on_fit_task_end(
            **self.data, reconstruction_attributes=lambda: attributes | self.held
        )


class Candidate:
    """The task of one candidate."""

    def __init__(self, context: Any, data: dict[str, Any]) -> None:
        self._context, self._data = context, data
        self.summary = ""
        self.attributes: Callable[[], dict[str, Any]] | None = None

    @contextmanager
    def fold(self) -> Iterator[None]:
        """Report the begin and the end of a fold."""
        context = self._context.subcontext(task_name="fold")
        context.call_on_fit_task_begin(**self._data)
        yield
        context.call_on_fit_task_end(**self._data)

    def end(self, scores: Array, attributes: Callable[[], dict[str, Any]]) -> None:
        """Keep what the end reports: the folds' mean score, and the fitted attributes of the full fit."""
        self.summary = f"mean score {scores.mean():.6g}"
        self.attributes = attributes
