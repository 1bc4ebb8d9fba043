"""Reliability diagrams: how often what was predicted came true."""

from collections.abc import Hashable, Iterable
from typing import Any, Literal, Self, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from numpy.typing import ArrayLike, NDArray

from smreg.metrics import bootstrap_interval, calibration_error, reliability_table
from smreg.plots._checks import check_predicting
from smreg.plots._style import (
    INK,
    LINE_LENGTH,
    OKABE_ITO,
    SMALL,
    class_name,
    name_axes,
    name_panel,
    panels,
    shared_legend,
)

COLUMNS = ["left", "right", "count", "confidence", "accuracy", "low", "high"]
MOST_PANELS = 12  # classes in a figure
PERFECT = "perfectly calibrated"
FLOOR, STRIP = -0.3, 0.2  # end of the vertical axis, and share of it for the counts, below zero


class ReliabilityDisplay:
    """Reliability diagram: relative frequency against predicted probability, in bins.

    For each bin a point shows the mean probability that was predicted and how often it came true, the band
    Wilson's 95 % interval of the latter, and the bar from the diagonal to the point the gap between the two,
    which is more than chance where the band does not reach the diagonal. Points below the diagonal are
    over-confident. Lines and bands are broken at empty bins. Below stands the number of samples in each bin,
    on a logarithmic scale. The legend gives the calibration error, the mean of the gaps over the samples.

    The diagram is of the largest probability of each sample and whether its class was right, or
    *class-wise*: a panel for each class, and for two classes one for the second. Of more than 12 classes
    the 12 with the largest errors are drawn, the largest first, and the figure says so.

    Several models are compared on the same axes: give the second display ``ax=first.ax_``, and where classes
    were chosen ``classes_of_interest=first.classes_`` as well.

    Use `from_predictions` or `from_estimator` to make one. It needs matplotlib
    (``pip install smreg[plots]``).

    Parameters
    ----------
    table : DataFrame
        What `reliability_table` returns; class-wise if it has a column ``class``.
    error : float
        Calibration error, as of `calibration_error`.
    interval : tuple of float, default=None
        95 % interval of the error.
    name : str, default=None
        Name of the model.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of Axes
        The panel, or one for each class.
    figure_ : matplotlib Figure
        Their figure.
    classes_ : list
        Labels of the panels, of a class-wise diagram.
    lines_ : ndarray of matplotlib Line2D of shape (n_panels,)
        Points, nan in empty bins.
    bands_ : list of matplotlib PolyCollection
        Intervals, one for each panel.
    gaps_ : list of matplotlib LineCollection
        Gaps, one for each panel.
    counts_ : list of matplotlib StepPatch
        Counts, one for each panel.

    Raises
    ------
    TypeError, ValueError
        If `table` is no such table.

    See Also
    --------
    smreg.metrics.reliability_table : The numbers.
    smreg.metrics.calibration_error : The error.
    TemperatureDisplay : Log loss against the temperature.

    References
    ----------
    J. Bröcker and L. A. Smith, Increasing the Reliability of Reliability Diagrams, Weather and Forecasting
    22 (2007). https://doi.org/10.1175/WAF993.1
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from smreg import SoftmaxRegression
    >>> from smreg.plots import ReliabilityDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> even, odd = slice(0, None, 2), slice(1, None, 2)
    >>> softmax = SoftmaxRegression(C=0.01).fit(X[even], y[even])
    >>> first = ReliabilityDisplay.from_estimator(softmax, X[odd], y[odd])
    >>> bayes = GaussianNB(var_smoothing=0.1).fit(X[even], y[even])
    >>> second = ReliabilityDisplay.from_estimator(bayes, X[odd], y[odd], ax=first.ax_)
    >>> [text.get_text() for text in second.figure_.legends[0].get_texts()]
    ['perfectly calibrated', 'SoftmaxRegression: ECE 0.043', 'GaussianNB: ECE 0.077']
    """

    def __init__(
        self,
        *,
        table: pd.DataFrame,
        error: float,
        interval: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"table must be a DataFrame of reliability_table, got {type(table).__name__}.")
        missing = [column for column in COLUMNS if column not in table]
        if missing or len(table) == 0:
            raise ValueError(
                f"table must be one of reliability_table, with a row for each bin and the columns {COLUMNS}; "
                f"got {len(table)} rows, and of the columns not {missing}."
            )
        self.table = table
        self.error = float(error)
        self.interval = interval
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        probabilities: ArrayLike,
        *,
        kind: Literal["confidence", "classwise"] = "confidence",
        n_bins: int = 15,
        strategy: Literal["uniform", "quantile"] = "uniform",
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        n_resamples: int = 0,
        seed: int = 0,
        name: str | None = None,
        classes_of_interest: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw predicted probabilities against what came true.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets with a column for each class.
        probabilities : array-like of shape (n_samples, n_classes), (n_samples,) or (n_samples, 1)
            Predicted probabilities, a column for each class; a single column is that of the second of two
            classes.
        kind, n_bins, strategy, classes, sample_weight
            As for `smreg.metrics.reliability_table`.
        n_resamples : int, default=0
            Resamples of the bootstrap for a 95 % interval of the error, see
            `smreg.metrics.bootstrap_interval`; 0 is none. No error is below zero, where the interval is cut.
        seed : int, default=0
            Seed of the resampling.
        name : str, default=None
            Name of the model in the legend.
        classes_of_interest, ax
            As for `plot`.

        Returns
        -------
        ReliabilityDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            As `reliability_table`, `bootstrap_interval` and `plot`.

        Warns
        -----
        UserWarning
            As `reliability_table`, if weights are no frequencies.
        """
        how: dict[str, Any] = {"kind": kind, "n_bins": n_bins, "strategy": strategy, "classes": classes}
        how["sample_weight"] = sample_weight
        table = reliability_table(y, probabilities, **how)
        error = calibration_error(y, probabilities, **how)
        interval = None
        if n_resamples != 0:
            resampling: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed}
            found = bootstrap_interval(calibration_error, y, probabilities, **resampling, **how)
            interval = max(0.0, found.low), max(0.0, found.high)
        display = cls(table=table, error=error, interval=interval, name=name)
        return display.plot(ax, classes_of_interest=classes_of_interest)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        kind: Literal["confidence", "classwise"] = "confidence",
        n_bins: int = 15,
        strategy: Literal["uniform", "quantile"] = "uniform",
        sample_weight: ArrayLike | None = None,
        n_resamples: int = 0,
        seed: int = 0,
        name: str | None = None,
        classes_of_interest: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw what a fitted classifier predicts against what came true.

        Parameters
        ----------
        estimator : classifier
            Fitted, with ``predict_proba``.
        X : array-like of shape (n_samples, n_features)
            Samples that it was not fitted to.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets with a column for each class.
        kind, n_bins, strategy, sample_weight, n_resamples, seed, classes_of_interest, ax
            As for `from_predictions`.
        name : str, default=None
            Name of the model in the legend; None is that of the estimator's type.

        Returns
        -------
        ReliabilityDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If it has no ``predict_proba``, and as `from_predictions`.

        Warns
        -----
        UserWarning
            As `from_predictions`.
        """
        check_predicting(estimator, ["predict_proba"])
        return cls.from_predictions(
            y,
            estimator.predict_proba(X),
            kind=kind,
            n_bins=n_bins,
            strategy=strategy,
            classes=estimator.classes_,
            sample_weight=sample_weight,
            n_resamples=n_resamples,
            seed=seed,
            name=type(estimator).__name__ if name is None else name,
            classes_of_interest=classes_of_interest,
            ax=ax,
        )

    def plot(self, ax: Any = None, *, classes_of_interest: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array of Axes, default=None
            One for each panel, also those of another display; None makes a new figure.
        classes_of_interest : sequence of labels, default=None
            Classes to draw, of a class-wise diagram. None draws all up to 12, and of more the 12 with the
            largest errors; of two classes it draws the second.

        Returns
        -------
        ReliabilityDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If there are no such classes, or `ax` holds another number of axes than there are panels.
        """
        parts = self._parts(classes_of_interest)
        figure, axes, new = panels(ax, len(parts))
        if not _is_prepared(axes[0]):
            self._prepare(figure, axes, new, list(parts), worst=classes_of_interest is None)
        self.bands_: list[FillBetweenPolyCollection] = []
        self.gaps_: list[LineCollection] = []
        self.counts_: list[StepPatch] = []
        drawn = [self._draw(panel, part) for panel, part in zip(axes, parts.values(), strict=True)]
        self.lines_ = np.array(drawn)
        _scale_counts(axes)
        if "class" in self.table:
            self.classes_ = list(parts)
        shared_legend(figure, axes[0], new, above=STRIP)
        self.ax_, self.figure_ = axes if len(axes) > 1 else axes[0], figure
        return self

    def _parts(self, classes_of_interest: Any) -> dict[Hashable, pd.DataFrame]:
        """What is drawn: a part of the table for each panel, by class."""
        if "class" not in self.table:
            if classes_of_interest is not None:
                raise ValueError('classes_of_interest needs a class-wise diagram: kind="classwise".')
            return {None: self.table}
        labels = self.table["class"].unique().tolist()
        parts = {label: self.table[self.table["class"] == label] for label in labels}
        if classes_of_interest is not None:
            if isinstance(classes_of_interest, str) or not isinstance(classes_of_interest, Iterable):
                raise TypeError(
                    f"classes_of_interest must be None or a list of labels, got {classes_of_interest!r}."
                )
            chosen = list(classes_of_interest)
            if not chosen or not set(chosen) <= set(labels):
                raise ValueError(f"classes_of_interest must be None or labels among {labels}, got {chosen}.")
            return {label: parts[label] for label in chosen}
        if len(parts) == 2:
            return dict(list(parts.items())[1:])
        if len(parts) <= MOST_PANELS:
            return parts
        return dict(sorted(parts.items(), key=lambda item: -_error(item[1]))[:MOST_PANELS])

    def _draw(self, panel: Axes, part: pd.DataFrame) -> Line2D:
        """The points of a panel, with their band, gaps and counts."""
        counts = cast(Axes, panel.child_axes[0])
        rows = part.where(part["count"] > 0)
        x, frequency = rows["confidence"], rows["accuracy"]
        (line,) = panel.plot(x, frequency, lw=1.5, marker="o", ms=4, label=self._text(), zorder=3)
        colour = line.get_color()
        occupied = part["count"] > 0
        low, high = rows["low"], rows["high"]
        band = panel.fill_between(x, low, high, where=occupied, fc=(colour, 0.2), ec=(colour, 0.4), lw=1.2)
        self.bands_.append(band)
        self.gaps_.append(
            panel.vlines(
                x[occupied], x[occupied], frequency[occupied], color=colour, lw=3.5, alpha=0.5, zorder=2
            )
        )
        edges = [*part["left"], part["right"].iloc[-1]]
        self.counts_.append(counts.stairs(part["count"], edges, color=colour, lw=1.2))
        return line

    def _text(self) -> str:
        """Entry of the legend: the name and the error."""
        error = f"{'class-wise ' if 'class' in self.table else ''}ECE {self.error:.3f}"
        if self.interval is not None:
            error += f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        if self.name is None:
            return error
        one_line = f"{self.name}: {error}"
        return one_line if len(one_line) <= LINE_LENGTH else f"{self.name}\n{error}"

    def _prepare(
        self, figure: Figure, axes: NDArray[Any], new: bool, labels: list[Hashable], worst: bool
    ) -> None:
        """Make axes those of a reliability diagram, with their names."""
        for panel in axes:
            _prepare_panel(panel)
            if new and not panel.get_subplotspec().is_last_col():  # all have one scale
                panel.child_axes[0].tick_params(right=False, labelright=False)
                panel.child_axes[0].set_ylabel("")
        if "class" not in self.table:
            name_axes(figure, axes, new, "confidence (mean of the bin)", "accuracy, with 95 % interval")
            return
        x, y = "probability (predicted, mean of the bin)", "relative frequency, with 95 % interval"
        name_axes(figure, axes, new, x, y)
        for panel, label in zip(axes, labels, strict=True):
            name_panel(panel, class_name(label))
        n_classes = self.table["class"].nunique()
        if new and 2 < len(labels) < n_classes:
            which = ", those with the largest calibration errors" if worst else ""
            figure.suptitle(f"{len(labels)} of {n_classes} classes{which}", fontsize=SMALL + 1)


def _is_prepared(panel: Axes) -> bool:
    """Whether axes are those of another display."""
    return any(line.get_label() == PERFECT for line in panel.lines)


def _prepare_panel(panel: Axes) -> None:
    """Diagonal, scales, colours in turn, and a strip for the counts."""
    panel.set_prop_cycle(color=OKABE_ITO)
    panel.plot([0, 1], [0, 1], color=INK, lw=1, ls="--", zorder=1, label=PERFECT)
    panel.set(xlim=(-0.04, 1.04), ylim=(FLOOR, 1.05), yticks=np.linspace(0, 1, 6))
    counts = panel.inset_axes((0, 0, 1, STRIP), sharex=panel)
    counts.set_yscale("log")
    counts.patch.set_visible(False)
    counts.spines[["left", "top"]].set_visible(False)
    counts.yaxis.tick_right()
    counts.yaxis.set_label_position("right")
    counts.tick_params(labelbottom=False, bottom=False, labelsize=SMALL)
    counts.set_ylabel("count", fontsize=SMALL)


def _scale_counts(axes: NDArray[Any]) -> None:
    """One scale for the counts of all panels and displays."""
    strips = [panel.child_axes[0] for panel in axes]
    counts = np.concatenate([patch.get_data().values for strip in strips for patch in strip.patches])
    least, most = counts[counts > 0].min(), counts.max()
    ticks = [least, most] if most >= 10 * least else [most]  # two need room
    for strip in strips:
        strip.set_ylim(least / 2, most * 2)
        strip.set_yticks(ticks, [f"{tick:.3g}" if tick < 1 else f"{tick:.0f}" for tick in ticks])
        strip.minorticks_off()


def _error(part: pd.DataFrame) -> float:
    """Weight of the samples of a class times its calibration error."""
    return float((part["count"] * (part["accuracy"] - part["confidence"]).abs()).sum())
