"""Probabilities against temperature."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from smreg.family import softmax
from smreg.plots._checks import check_classes, check_temperatures
from smreg.plots._style import CHOSEN, INK, class_name, colours_of, legend, panels

N_STEPS = 201
MOST_NAMED = 10  # classes in the legend
UNIFORM: dict[str, Any] = {"color": INK, "lw": 1.0, "ls": ":", "zorder": 1}


class ProbabilityTemperatureDisplay:
    """Probabilities of all classes for one vector of logits, against the temperature.

    To the left, towards zero, all probability goes to the largest logit (in equal parts where several are
    largest); to the right, as the temperature grows without bound, all classes become equally probable, the
    dotted line. The order of the classes is the same at every temperature. The dashed line is at a
    temperature of one.

    Use `from_logits` to make one. It needs matplotlib (``pip install smreg[plots]``).

    Parameters
    ----------
    temperatures : array-like of shape (n_temperatures,)
        Positive and increasing.
    probabilities : array-like of shape (n_temperatures, n_classes)
        At these temperatures.
    classes : array-like of shape (n_classes,), default=None
        Class labels; None means 0, 1, ...

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : ndarray of matplotlib Line2D of shape (n_classes,)
        A line for each class.

    Raises
    ------
    ValueError
        If the shapes do not match, or temperatures are not positive and increasing.

    See Also
    --------
    SimplexDisplay : The same for three classes, as a path through the triangle.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML
    2017. https://doi.org/10.48550/arXiv.1706.04599

    Examples
    --------
    >>> from smreg.plots import ProbabilityTemperatureDisplay
    >>> display = ProbabilityTemperatureDisplay.from_logits([3.0, 1.0, 0.2])
    >>> display.probabilities[[0, -1]].round(3)  # at a tenth and at ten
    array([[1.   , 0.   , 0.   ],
           [0.388, 0.318, 0.294]])
    """

    def __init__(
        self, *, temperatures: ArrayLike, probabilities: ArrayLike, classes: ArrayLike | None = None
    ) -> None:
        self.temperatures = check_temperatures(temperatures)
        if not (np.diff(self.temperatures) > 0).all():
            raise ValueError(f"temperatures must be increasing, got {temperatures!r}.")
        self.probabilities = np.asarray(probabilities, dtype=np.float64)
        if self.probabilities.ndim != 2 or len(self.probabilities) != len(self.temperatures):
            raise ValueError(
                f"probabilities must have shape ({len(self.temperatures)}, n_classes) for "
                f"{len(self.temperatures)} temperatures, got {self.probabilities.shape}."
            )
        self.classes = check_classes(classes, self.probabilities.shape[1])

    @classmethod
    def from_logits(
        cls,
        logits: ArrayLike,
        *,
        temperatures: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the probabilities of one vector of logits.

        Parameters
        ----------
        logits : array-like of shape (n_classes,)
            Logits in nats; -inf is probability zero.
        temperatures : array-like of shape (n_temperatures,), default=None
            Positive and increasing; None takes 201 from a tenth to ten.
        classes : array-like of shape (n_classes,), default=None
            Class labels; None means 0, 1, ...
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ProbabilityTemperatureDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            If the arguments are not as above.
        """
        eta = np.asarray(logits, dtype=np.float64)
        if eta.ndim != 1:
            raise ValueError(f"logits must have shape (n_classes,), got {eta.shape}.")
        values = (
            np.geomspace(0.1, 10.0, N_STEPS) if temperatures is None else check_temperatures(temperatures)
        )
        display = cls(
            temperatures=values,
            probabilities=np.stack([softmax(eta, T) for T in values]),
            classes=classes,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ProbabilityTemperatureDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If `ax` is not one Axes.
        """
        figure, panel, new = panels(ax, 1)
        axes, n_classes = panel[0], len(self.classes)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.axvline(1.0, **CHOSEN)
        uniform = axes.axhline(1 / n_classes, **UNIFORM)
        self.lines_ = np.array(
            [
                axes.plot(self.temperatures, p, color=colour, lw=1.8, label=class_name(label))[0]
                for p, colour, label in zip(
                    self.probabilities.T, colours_of(self.classes), self.classes, strict=True
                )
            ]
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel="temperature T", ylabel="probability", ylim=(-0.02, 1.02))
        largest = np.argsort(-self.probabilities[0], kind="stable")[:MOST_NAMED]
        texts = [class_name(self.classes[k]) for k in largest]
        left_out = n_classes - len(largest)
        if left_out:
            texts[-1] += f" (and {left_out} more)"
        legend(figure if new else axes, [*self.lines_[largest], uniform], [*texts, "uniform"])
        self.ax_, self.figure_ = axes, figure
        return self
