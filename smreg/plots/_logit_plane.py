"""Softmax of three classes as maps over the plane of their logits."""

from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from smreg.family import check_temperature, softmax
from smreg.plots._checks import check_classes
from smreg.plots._style import (
    INK,
    SMALL,
    TITLE_LENGTH,
    class_name,
    colours_of,
    legend,
    panels,
    plain,
    shorten,
)

LEVELS = np.linspace(0.0, 1.0, 11)
DRAWN = (0.1, 0.5, 0.9)
NAME_LENGTH = 10  # letters of a class in the label of an axis
N_STEPS = 121  # of each logit, an odd number so that zero is among them
EDGE: dict[str, Any] = {"color": INK, "lw": 0.7}
BOUNDARY: dict[str, Any] = {"color": INK, "lw": 1.2, "ls": "--"}


class LogitPlaneDisplay:
    """Maps of the three probabilities of ``softmax(logits / T)`` over the plane of logits, a panel for each.

    Adding a constant to all three logits changes no probability, so that a plane shows all that there is:
    the logits of the second and of the third class, each against the first. A map is the darker the more
    probable its class is, in steps of a tenth; three of their edges are drawn. The dashed lines are where
    the two most probable classes are equal; on each side another class is predicted. They do not depend on
    T, which stretches the map about the origin: only the steps come closer together or move apart.

    Use `from_temperature` to make one. It needs matplotlib (``pip install smreg[plots]``).

    Parameters
    ----------
    logits : array-like of shape (n_steps,)
        Logits of the second class against the first, and the same of the third: increasing, from below zero
        to above.
    probabilities : array-like of shape (n_steps, n_steps, 3)
        Of the three classes; the first axis is the logit of the third class, the second that of the second.
    classes : array-like of shape (3,), default=None
        Class labels; None means 0, 1, 2.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes of shape (3,)
        A panel for each class.
    figure_ : matplotlib Figure
        Their figure.
    maps_ : ndarray of matplotlib QuadContourSet of shape (3,)
        Filled contours, at 0, 0.1, ..., 1.
    boundaries_ : ndarray of matplotlib Line2D of shape (3, 3)
        The dashed lines of each panel.

    Raises
    ------
    ValueError
        If the shapes do not match.

    See Also
    --------
    SimplexDisplay : The plane of logits, bent into a triangle by softmax.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 5.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from smreg.plots import LogitPlaneDisplay
    >>> display = LogitPlaneDisplay.from_temperature(2.0, limit=4.0)
    >>> display.probabilities[-1, -1].round(3)
    array([0.063, 0.468, 0.468])
    """

    def __init__(
        self, *, logits: ArrayLike, probabilities: ArrayLike, classes: ArrayLike | None = None
    ) -> None:
        self.logits = np.asarray(logits, dtype=np.float64)
        increasing = self.logits.ndim == 1 and (np.diff(self.logits) > 0).all()
        if not (increasing and len(self.logits) > 1 and self.logits[0] < 0 < self.logits[-1]):
            raise ValueError(
                "logits must be increasing numbers of shape (n_steps,), from below zero to above; "
                f"got {logits!r}."
            )
        self.probabilities = np.asarray(probabilities, dtype=np.float64)
        expected = (len(self.logits), len(self.logits), 3)
        if self.probabilities.shape != expected:
            raise ValueError(f"probabilities must have shape {expected}, got {self.probabilities.shape}.")
        self.classes = check_classes(classes, 3)

    @classmethod
    def from_temperature(
        cls, temperature: float = 1.0, *, limit: float = 5.0, classes: ArrayLike | None = None, ax: Any = None
    ) -> Self:
        """Draw the maps of ``softmax(logits / temperature)``.

        Parameters
        ----------
        temperature : float, default=1.0
            Positive and finite divisor of the logits.
        limit : float, default=5.0
            The largest logit against the first class, in nats; the smallest is its negative.
        classes : array-like of shape (3,), default=None
            Class labels; None means 0, 1, 2.
        ax : array of 3 matplotlib Axes, default=None
            One for each class; None makes a new figure.

        Returns
        -------
        LogitPlaneDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            If the arguments are not as above.
        """
        T = check_temperature(temperature)
        if not 0 < limit < np.inf:
            raise ValueError(f"limit must be a positive finite number of nats, got {limit!r}.")
        against_first = np.linspace(-limit, limit, N_STEPS)
        second, third = np.meshgrid(against_first, against_first)
        logits = np.stack([np.zeros_like(second), second, third], axis=-1)
        display = cls(logits=against_first, probabilities=softmax(logits, T), classes=classes)
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the maps.

        Parameters
        ----------
        ax : array of 3 matplotlib Axes, default=None
            One for each class; None makes a new figure.

        Returns
        -------
        LogitPlaneDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If `ax` does not hold three Axes.
        """
        figure, axes, new = panels(ax, 3)
        self.maps_ = np.empty(3, dtype=object)
        names = [class_name(label) for label in self.classes]
        for k, (panel, colour) in enumerate(zip(axes, colours_of(self.classes), strict=True)):
            self.maps_[k] = self._map(panel, k, colour)
            title = shorten(f"p of {names[k]}", TITLE_LENGTH // 3)
            x = panel.set_xlabel(
                f"logit (nats)\n{shorten(names[1], NAME_LENGTH)} - {shorten(names[0], NAME_LENGTH)}",
                fontsize=SMALL,
            )
            plain([panel.set_title(title, fontsize=SMALL + 1), x])
        self.boundaries_ = np.array([self._boundaries(panel) for panel in axes])
        y = f"logit (nats)\n{shorten(names[2], NAME_LENGTH)} - {shorten(names[0], NAME_LENGTH)}"
        plain([axes[0].set_ylabel(y, fontsize=SMALL)])
        handles = [Line2D([], [], **style) for style in (EDGE, BOUNDARY)]
        texts = ["p = " + ", ".join(f"{p:g}" for p in DRAWN), "two classes equally most probable"]
        legend(figure if new else axes[-1], handles, texts)
        self.ax_, self.figure_ = axes, figure
        return self

    def _map(self, panel: Axes, k: int, colour: str) -> Any:
        """One class: filled steps from white to its colour, and three of their edges."""
        shades = LinearSegmentedColormap.from_list("class", ["white", colour])
        p = self.probabilities[..., k]
        filled = panel.contourf(self.logits, self.logits, p, levels=LEVELS, cmap=shades)
        panel.contour(self.logits, self.logits, p, levels=DRAWN, colors=EDGE["color"], linewidths=EDGE["lw"])
        panel.set_aspect("equal")
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_locator(MaxNLocator(4))
        panel.tick_params(labelsize=SMALL)
        return filled

    def _boundaries(self, panel: Axes) -> list[Line2D]:
        """Where two logits are equal and largest: against the first class they are (0, c), (c, 0), (c, c)."""
        low, high = self.logits[[0, -1]]
        ends = ((0.0, low), (low, 0.0), (high, high))
        return [panel.plot([0.0, x], [0.0, y], **BOUNDARY)[0] for x, y in ends]
