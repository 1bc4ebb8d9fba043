"""Distributions over three classes as points of a triangle."""

from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray

from smreg.family import softmax
from smreg.plots._checks import check_classes, check_temperatures
from smreg.plots._style import FAINT, INK, SMALL, class_name, colours_of, legend, panels, plain, shorten

# Where a class is certain. Class k has its ticks on the side from the vertex before it.
VERTICES = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
ALIGNMENTS = (("right", "top"), ("left", "top"), ("center", "bottom"))
TICK_ALIGNMENTS = (("right", "center"), ("center", "top"), ("left", "center"))
TICKS = np.array([0.2, 0.4, 0.6, 0.8])
MARGIN = 0.02  # between a text and the triangle, whose sides have length one
MARKERS = ("o", "D", "s", "^", "v", "P", "X")
NAME_LENGTH = 24  # letters of a vertex's name
HOT = 1e300  # temperature that has reached the limit
N_STEPS = 300  # of a path
FIRST, LAST = 100.0, 0.05  # its temperatures, in the largest and in the smallest difference of logits


class SimplexDisplay:
    """Distributions over three classes as points of a triangle, and the paths that temperature takes them.

    A vertex is the certainty of its class, the centre is the uniform distribution, and the probability of
    a class grows in proportion from the side opposite to its vertex, as the ticks show. A line is the
    path of ``softmax(logits / T)`` from the uniform distribution, where T is infinite, to the vertex of the
    largest logit, where T is zero, in the colour of that class. (Logits of -inf stay at probability zero,
    and equal largest logits share it.) The dotted lines are where two classes are equally most probable: no
    path crosses them.

    Use `from_logits` to make one. It needs matplotlib (``pip install smreg[plots]``).

    Parameters
    ----------
    paths : array-like of shape (n_samples, n_steps, 3)
        Probabilities along the paths.
    marks : array-like of shape (n_samples, n_temperatures, 3)
        Probabilities at the temperatures that are marked.
    temperatures : array-like of shape (n_temperatures,)
        Those temperatures, positive, at most 7.
    classes : array-like of shape (3,), default=None
        Class labels; None means 0, 1, 2.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : ndarray of matplotlib Line2D of shape (n_samples,)
        Paths.
    marks_ : ndarray of matplotlib Line2D of shape (n_temperatures,)
        Points of all samples, for each temperature.

    Raises
    ------
    ValueError
        If the shapes do not match, or the temperatures are not 1 to 7 positive numbers.

    See Also
    --------
    LogitPlaneDisplay : The probabilities of three classes against their logits.
    ProbabilityTemperatureDisplay : Probabilities of any number of classes against temperature.

    References
    ----------
    J. Aitchison, The Statistical Analysis of Compositional Data, Journal of the Royal Statistical
    Society B 44 (1982). https://doi.org/10.1111/j.2517-6161.1982.tb01195.x

    Examples
    --------
    >>> from smreg.plots import SimplexDisplay
    >>> display = SimplexDisplay.from_logits([3.0, 1.0, 0.2], temperatures=[0.5, 1.0, 2.0])
    >>> display.marks[0].round(3)
    array([[0.978, 0.018, 0.004],
           [0.836, 0.113, 0.051],
           [0.619, 0.228, 0.153]])
    """

    def __init__(
        self,
        *,
        paths: ArrayLike,
        marks: ArrayLike,
        temperatures: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> None:
        self.temperatures = check_temperatures(temperatures)
        if len(self.temperatures) > len(MARKERS):
            raise ValueError(
                f"temperatures must be at most {len(MARKERS)}, as there are markers; "
                f"got {len(self.temperatures)}."
            )
        self.classes = check_classes(classes, 3)
        self.paths = np.asarray(paths, dtype=np.float64)
        self.marks = np.asarray(marks, dtype=np.float64)
        if self.paths.ndim != 3 or self.paths.shape[2] != 3:
            raise ValueError(f"paths must have shape (n_samples, n_steps, 3), got {self.paths.shape}.")
        expected = (len(self.paths), len(self.temperatures), 3)
        if self.marks.shape != expected:
            raise ValueError(f"marks must have shape {expected}, got {self.marks.shape}.")

    @classmethod
    def from_logits(
        cls,
        logits: ArrayLike,
        *,
        temperatures: ArrayLike = (0.5, 1.0, 2.0, 4.0),
        classes: ArrayLike | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the paths of logits.

        Parameters
        ----------
        logits : array-like of shape (3,) or (n_samples, 3)
            Logits of three classes, in nats; -inf is probability zero. For distributions that are given as
            probabilities, their logarithms.
        temperatures : array-like of shape (n_temperatures,), default=(0.5, 1.0, 2.0, 4.0)
            Where to mark the paths: at most 7 positive numbers.
        classes : array-like of shape (3,), default=None
            Class labels; None means 0, 1, 2.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        SimplexDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the arguments are not as above.
        """
        eta = np.atleast_2d(np.asarray(logits, dtype=np.float64))
        if eta.ndim != 2 or eta.shape[1] != 3:
            raise ValueError(
                f"logits must have shape (3,) or (n_samples, 3), for three classes; got {np.shape(logits)}."
            )
        softmax(eta)  # raises where a row is no distribution
        marked = check_temperatures(temperatures)
        display = cls(
            paths=np.stack([temperature_path(row) for row in eta]),
            marks=np.stack([[softmax(row, T) for T in marked] for row in eta]),
            temperatures=marked,
            classes=classes,
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the triangle, the paths and the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        SimplexDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If `ax` is not one Axes.
        """
        figure, panel, new = panels(ax, 1)
        axes, palette = panel[0], colours_of(self.classes)
        self._frame(axes, palette)
        winners = self.paths[:, -1].argmax(axis=1)
        self.lines_ = np.array(
            [
                axes.plot(*(path @ VERTICES).T, color=palette[winner], lw=1.8, zorder=2)[0]
                for path, winner in zip(self.paths, winners, strict=True)
            ]
        )
        self.marks_ = np.array(
            [
                axes.plot(*(points @ VERTICES).T, marker, color=INK, mfc="white", ms=6, zorder=3)[0]
                for points, marker in zip(self.marks.swapaxes(0, 1), MARKERS, strict=False)
            ]
        )
        texts = [f"T = {T:.3g}" for T in self.temperatures]
        legend(figure if new else axes, list(self.marks_), texts)
        self.ax_, self.figure_ = axes, figure
        return self

    def _frame(self, axes: Axes, palette: list[str]) -> None:
        """The triangle: sides, ticks, names of the vertices, boundaries between most probable classes."""
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.plot(*VERTICES[[0, 1, 2, 0]].T, color=INK, lw=1.0, zorder=1)
        texts: list[Text] = []
        centre = VERTICES.mean(axis=0)
        for k, colour in enumerate(palette):
            before, after = VERTICES[k - 1], VERTICES[k - 2]
            axes.plot(*np.array([centre, (before + after) / 2]).T, color=INK, lw=1.0, ls=":", zorder=1)
            outward = (VERTICES[k] + before) / 2 - centre
            outward *= MARGIN / np.linalg.norm(outward)
            for tick in TICKS:
                on_side, opposite = ((1 - tick) * side + tick * VERTICES[k] for side in (before, after))
                axes.plot(*np.array([on_side, opposite]).T, color=FAINT, lw=0.6, zorder=0)
                (x, y), (horizontal, vertical) = on_side + outward, TICK_ALIGNMENTS[k]
                axes.text(x, y, f"{tick:.1f}", color=colour, fontsize=SMALL, ha=horizontal, va=vertical)
            x, y = VERTICES[k] + 2 * MARGIN * (VERTICES[k] - centre)
            horizontal, vertical = ALIGNMENTS[k]
            name = shorten(class_name(self.classes[k]), NAME_LENGTH)
            texts.append(axes.text(x, y, name, color=colour, ha=horizontal, va=vertical, weight="bold"))
        plain(texts)


def temperature_path(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities from infinite temperature to zero, in steps too small to be visible."""
    top, finite = logits == logits.max(), np.sort(logits[np.isfinite(logits)])
    hot, spread = softmax(logits, HOT), finite[-1] - finite[0]
    if spread == 0:
        return np.tile(hot, (N_STEPS, 1))
    z = (logits - finite[-1]) / spread
    gaps = np.diff(np.sort(z[np.isfinite(z)]))
    coldest = max(LAST * gaps[gaps > 0].min(), np.finfo(float).tiny)
    with np.errstate(over="ignore"):  # a logit that is too low for its class to be visible
        path = softmax(z / np.geomspace(FIRST, coldest, N_STEPS - 2)[:, np.newaxis])
    return np.stack([hot, *path, top / top.sum()])
