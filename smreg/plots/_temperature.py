"""Log loss against the temperature."""

from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from smreg.calibration.logits import all_logits, with_floor
from smreg.data.weights import check_sample_weight
from smreg.plots._checks import check_increasing, check_predicting, check_shape
from smreg.plots._style import CHOSEN, OKABE_ITO, name_axes, panels, shared_legend
from smreg.temperature.scaling import TemperatureFit, fit_temperature, log_loss_by_temperature

ONE = "T = 1"
N_TEMPERATURES = 101  # points of the curve, at each of which all logits are read


class TemperatureDisplay:
    """Log loss against the temperature, with its minimum and T = 1.

    The disc is the minimum, the band the 95 % interval of the temperature (that of the profile likelihood),
    and the diamond the log loss at T = 1, that of the logits as they are. A minimum at T above 1 means
    logits that are too confident. If the log loss falls for ever, to T -> 0 or T -> inf, the disc is at the
    end of the curve. Several classifiers are compared on the same axes: give the second display
    ``ax=first.ax_``.

    Use `from_predictions` or `from_estimator` to make one. It needs matplotlib
    (``pip install smreg[plots]``).

    Parameters
    ----------
    fit : TemperatureFit
        What `fit_temperature` found.
    temperatures : array-like of shape (n_temperatures,)
        Temperatures of the curve, positive and increasing.
    log_loss : array-like of shape (n_temperatures,)
        Mean log loss there, in nats.
    name : str, default=None
        Name of the classifier.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    line_ : matplotlib Line2D
        The curve.
    band_ : matplotlib Rectangle
        The interval.
    minimum_, one_ : matplotlib Line2D
        Points at the minimum and at T = 1.

    Raises
    ------
    TypeError, ValueError
        If `fit` is no such record, or the temperatures are not positive and increasing.

    See Also
    --------
    smreg.fit_temperature : The fit.
    ReliabilityDisplay : Relative frequency against predicted probability.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599

    Examples
    --------
    >>> import numpy as np
    >>> from smreg.plots import TemperatureDisplay
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(2000, 5))
    >>> y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    >>> display = TemperatureDisplay.from_predictions(3 * z, y)
    >>> print(display.line_.get_label())
    T = 1: 1.829 nats
    T = 3.01 (2.83 to 3.22): 1.308 nats
    """

    def __init__(
        self,
        *,
        fit: TemperatureFit,
        temperatures: ArrayLike,
        log_loss: ArrayLike,
        name: str | None = None,
    ) -> None:
        if not isinstance(fit, TemperatureFit):
            raise TypeError(f"fit must be a TemperatureFit, got {type(fit).__name__}.")
        self.fit = fit
        self.temperatures = check_increasing(temperatures, "temperatures")
        self.log_loss = check_shape(log_loss, self.temperatures.shape, "log_loss")
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        logits: ArrayLike,
        y: Any,
        *,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Fit a temperature to logits, and draw the log loss around it.

        The curve takes 101 passes over the logits.

        Parameters
        ----------
        logits, y, classes, sample_weight
            As for `smreg.fit_temperature`.
        name : str, default=None
            Name of the classifier in the legend.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        TemperatureDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            As `fit_temperature` and `plot`.

        Warns
        -----
        UserWarning
            As `fit_temperature`.
        """
        fit = fit_temperature(logits, y, classes=classes, sample_weight=sample_weight)
        temperatures = _around(fit)
        losses = log_loss_by_temperature(
            logits, y, temperatures, classes=classes, sample_weight=sample_weight
        )
        return cls(fit=fit, temperatures=temperatures, log_loss=losses, name=name).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Fit a temperature to the logits of a fitted classifier, and draw the log loss around it.

        Parameters
        ----------
        estimator : classifier
            Fitted. Its logits, and what stands for a probability of zero, are those of
            `smreg.TemperatureScaling`; those of a classifier that has a temperature are before it.
        X : array-like of shape (n_samples, n_features)
            Samples that it was not fitted to.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or soft targets with a column for each class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        name : str, default=None
            Name of the classifier in the legend; None is that of its type.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        TemperatureDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If it has no logits, and as `from_predictions`.
        """
        check_predicting(estimator, ["decision_function", "predict_log_proba", "predict_proba"])
        logits = all_logits(estimator, X)
        floor = logits.floor(check_sample_weight(sample_weight, len(logits.values)))
        return cls.from_predictions(
            with_floor(logits.values, floor),
            y,
            classes=estimator.classes_,
            sample_weight=sample_weight,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
        )

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve, the interval and the two points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw, also the axes of another display; None makes a new figure.

        Returns
        -------
        TemperatureDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If `ax` is not one Axes.
        """
        figure, panel, new = panels(ax, 1)
        axes = panel[0]
        if not any(line.get_label() == ONE for line in axes.lines):  # that of another display
            axes.set_prop_cycle(color=OKABE_ITO)
            axes.axvline(1.0, **CHOSEN, label=ONE)
            axes.set_xscale("log")
            name_axes(figure, panel, new, "temperature T", "log loss (nats)")
        self._draw(axes)
        _number(axes)
        shared_legend(figure, axes, new)
        self.ax_, self.figure_ = axes, figure
        return self

    def _draw(self, axes: Axes) -> None:
        """Draw all in the next colour of the axes."""
        fit, (first, last) = self.fit, self.temperatures[[0, -1]]
        low, high = fit.confidence_interval
        (self.line_,) = axes.plot(self.temperatures, self.log_loss, lw=1.8, label=self._text())
        colour = self.line_.get_color()
        self.band_ = axes.axvspan(max(low, first), min(high, last), color=colour, lw=0.8, alpha=0.2)
        style: dict[str, Any] = {"color": colour, "ls": "", "zorder": 3}
        at_limit = {"zero": (first, self.log_loss[0]), "infinity": (last, self.log_loss[-1])}
        place = at_limit.get(str(fit.limit), (fit.temperature, fit.log_loss_after))
        (self.one_,) = axes.plot(1.0, fit.log_loss_before, marker="D", ms=7, mfc="white", **style)
        (self.minimum_,) = axes.plot(*place, marker="o", ms=5, **style)

    def _text(self) -> str:
        """Entry of the legend: the name, and the log loss before and after."""
        fit, (low, high) = self.fit, self.fit.confidence_interval
        best = {"zero": "T → 0", "infinity": "T → ∞"}.get(str(fit.limit), f"T = {_three(fit.temperature)}")
        lines = [] if self.name is None else [self.name]
        lines.append(f"T = 1: {fit.log_loss_before:.3f} nats")
        lines.append(f"{best} ({_three(low)} to {_three(high)}): {fit.log_loss_after:.3f} nats")
        return "\n".join(lines)


def _around(fit: TemperatureFit) -> NDArray[np.float64]:
    """Temperatures that show the fit, its interval and T = 1, with half of their range on either side."""
    best = fit.temperature if fit.limit is None else 1.0  # for a limit stands what no axis has room for
    shown = np.log([T for T in (1.0, best, *fit.confidence_interval) if 0 < T < np.inf])
    margin = max(float(np.ptp(shown)) / 2, 0.05)
    return np.exp(np.linspace(shown.min() - margin, shown.max() + margin, N_TEMPERATURES))


def _three(number: float) -> str:
    """Three digits, also where the last are zeros."""
    return f"{number:#.3g}".rstrip(".") if number else "0"


def _number(axes: Axes) -> None:
    """Plain numbers on the axis of temperatures, of which powers of ten alone may be too few."""
    low, high = axes.get_xlim()
    if high < 1000 * low:
        locator = MaxNLocator(6) if high < 5 * low else LogLocator(subs=(1, 2, 5))
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xscale("log")  # with its own
