"""Cross-validated score along the regularisation path."""

from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from smreg.estimators.model_selection import SoftmaxRegressionCV
from smreg.plots._checks import check_cv, check_increasing, check_index, check_shape
from smreg.plots._style import AXIS_OF_C, CHOSEN, INK, colours, legend, log_axis, name_axes, panels, places

IN_NATS = ("neg_log_loss", "neg_cross_entropy")

BEST: dict[str, Any] = {"color": INK, "lw": 1.2, "ls": "--", "marker": "o", "ms": 5}
ONE_STANDARD_ERROR: dict[str, Any] = {
    "color": INK,
    "lw": 1.2,
    "ls": ":",
    "marker": "D",
    "ms": 7,
    "mfc": "white",
}


class ScorePathDisplay:
    """Cross-validated score against C, a line for each `l1_ratio`, and what two rules choose.

    A line is the mean over the folds, its band one standard error of that mean on either side. The faint
    lines are the folds, at the `l1_ratio` of the best score. Where they go up and down together, differences
    between values of C are known better than the band suggests.

    The dotted lines show the rule of one standard error: it takes the strongest penalty whose mean is not
    below the highest mean less its standard error.

    Use `from_estimator` to make one. It needs matplotlib (``pip install smreg[plots]``).

    Parameters
    ----------
    Cs : array-like of shape (n_Cs,)
        Inverse strengths of the penalty, positive and increasing; inf, no penalty, is drawn a decade
        beyond the others.
    l1_ratios : array-like of shape (n_l1_ratios,)
        Shares of the L1 norm in the penalty.
    fold_scores : array-like of shape (n_folds, n_l1_ratios, n_Cs)
        Score of each fold; higher is better.
    mean, standard_error : array-like of shape (n_l1_ratios, n_Cs)
        Mean over the folds, and its standard error.
    best_index : int
        The candidate of the highest mean, counted with C running fastest.
    one_standard_error_index : int
        The candidate with the strongest penalty whose mean is within one standard error of the highest.
    score_name : str, default="score"
        Label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : ndarray of matplotlib Line2D of shape (n_l1_ratios,)
        Means.
    bands_ : list of matplotlib PolyCollection
        Standard errors.
    fold_lines_ : list of matplotlib Line2D
        Folds.

    Raises
    ------
    ValueError
        If the shapes do not match, Cs are not positive and increasing, or an index is of no candidate.

    See Also
    --------
    CoefficientPathDisplay : Coefficients against C.

    References
    ----------
    T. Hastie, R. Tibshirani and J. Friedman, The Elements of Statistical Learning, 2nd ed., Springer
    2009, section 7.10. https://doi.org/10.1007/978-0-387-84858-7

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from smreg import SoftmaxRegressionCV
    >>> from smreg.plots import ScorePathDisplay
    >>> model = SoftmaxRegressionCV().fit(*load_wine(return_X_y=True))
    >>> display = ScorePathDisplay.from_estimator(model)
    >>> display.ax_.get_ylabel()
    'negative log loss on held-out folds (nats)'
    """

    def __init__(
        self,
        *,
        Cs: ArrayLike,
        l1_ratios: ArrayLike,
        fold_scores: ArrayLike,
        mean: ArrayLike,
        standard_error: ArrayLike,
        best_index: int,
        one_standard_error_index: int,
        score_name: str = "score",
    ) -> None:
        self.Cs = check_increasing(Cs, "Cs")
        self.l1_ratios = np.atleast_1d(np.asarray(l1_ratios, dtype=np.float64))
        shape = (len(self.l1_ratios), len(self.Cs))
        self.mean = check_shape(mean, shape, "mean")
        self.standard_error = check_shape(standard_error, shape, "standard_error")
        self.fold_scores = check_shape(fold_scores, (len(np.asarray(fold_scores)), *shape), "fold_scores")
        self.best_index = check_index(best_index, self.mean.size, "best_index")
        self.one_standard_error_index = check_index(
            one_standard_error_index, self.mean.size, "one_standard_error_index"
        )
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator: SoftmaxRegressionCV, *, ax: Any = None) -> Self:
        """Draw the scores of a fitted `SoftmaxRegressionCV`.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV
            Fitted.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ScorePathDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If it is another estimator, and as for `plot`.
        """
        check_cv(estimator)
        Cs, l1_ratios = estimator.Cs_, estimator.l1_ratios_
        shape = (len(l1_ratios), len(Cs))
        by_fold = pd.DataFrame(estimator.cv_results_).pivot(
            index="fold", columns=["l1_ratio", "C"], values="score"
        )
        candidates = list(zip(estimator.scores_["l1_ratio"], estimator.scores_["C"], strict=True))
        display = cls(
            Cs=Cs,
            l1_ratios=l1_ratios,
            fold_scores=by_fold[candidates].to_numpy().reshape(-1, *shape),
            mean=np.reshape(estimator.scores_["mean"], shape),
            standard_error=np.reshape(estimator.scores_["standard_error"], shape),
            best_index=estimator.best_index_,
            one_standard_error_index=estimator.one_standard_error_index_,
            score_name=score_name(estimator.scoring),
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the lines, and mark the best candidate and that of the one-standard-error rule.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ScorePathDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If `ax` is not one Axes.
        """
        figure, panel, new = panels(ax, 1)
        axes = panel[0]
        log_axis(axes, self.Cs)
        self._draw(axes, colours(len(self.l1_ratios)))
        lowest = self.mean.flat[self.best_index] - self.standard_error.flat[self.best_index]
        axes.axhline(lowest, **CHOSEN | {"ls": ":"})  # above it the rule takes the strongest penalty
        self._mark(axes, self.one_standard_error_index, ONE_STANDARD_ERROR)
        self._mark(axes, self.best_index, BEST)  # above, and small enough to show that they are one
        name_axes(figure, panel, new, AXIS_OF_C, self.score_name)
        legend(figure if new else axes, *self._key())
        self.ax_, self.figure_ = axes, figure
        return self

    def _draw(self, axes: Axes, palette: list[str]) -> None:
        """Draw the means, their standard errors and, of the best `l1_ratio`, the folds."""
        best, x = self.best_index // len(self.Cs), places(self.Cs)
        marker = "o" if len(self.Cs) == 1 else ""  # a line of one point is not visible
        self.fold_lines_ = [
            axes.plot(x, fold[best], color=palette[best], lw=0.8, alpha=0.4, marker=marker)[0]
            for fold in self.fold_scores
        ]
        self.bands_ = [
            axes.fill_between(x, mean - error, mean + error, color=colour, lw=0.8, alpha=0.2)
            for mean, error, colour in zip(self.mean, self.standard_error, palette, strict=True)
        ]
        self.lines_ = np.array(
            [
                axes.plot(x, mean, color=colour, lw=1.8, marker=".")[0]
                for mean, colour in zip(self.mean, palette, strict=True)
            ]
        )

    def _mark(self, axes: Axes, index: int, style: dict[str, Any]) -> None:
        """Mark a candidate by a point, and its C by a vertical line."""
        C = places(self.Cs)[index % len(self.Cs)]
        axes.axvline(C, **CHOSEN | {"ls": style["ls"]})
        axes.plot(C, self.mean.flat[index], **style | {"ls": "", "zorder": 3})

    def _key(self) -> tuple[list[Any], list[str]]:
        """Handles and texts of the legend."""
        several = len(self.l1_ratios) > 1

        def of(index: int) -> str:
            return f", l1_ratio = {self.l1_ratios[index // len(self.Cs)]:.3g}" if several else ""

        handles: list[Any] = list(zip(self.bands_, self.lines_, strict=True))
        texts = [f"l1_ratio = {ratio:.3g}" for ratio in self.l1_ratios]
        if not several:
            texts = ["mean ± standard error"]
        handles.append(self.fold_lines_[0])
        texts.append(f"folds{of(self.best_index)}")
        for style, name, index in (
            (BEST, "best", self.best_index),
            (ONE_STANDARD_ERROR, "one standard error", self.one_standard_error_index),
        ):
            handles.append(Line2D([], [], **style))
            texts.append(f"{name}: C = {self.Cs[index % len(self.Cs)]:.3g}{of(index)}")
        return handles, texts


def score_name(scoring: Any) -> str:
    """Label of an axis of scores, with their unit where it is known."""
    if scoring is None:  # what a classifier's `score` is
        scoring = "accuracy"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    words = name.replace("neg_", "negative ", 1) if name.startswith("neg_") else name
    return words.replace("_", " ") + " on held-out folds" + (" (nats)" if name in IN_NATS else "")
