"""One visual language: colours that colour-blind readers can distinguish, panels, axes of C, plain text."""

import re
from collections.abc import Hashable, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray

# The order is by contrast on white; yellow, which has little, comes last.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00", "#f0e442")
FAINT, INK = "#c8c8c8", "#404040"
SMALL = 8.0  # points: 11 pixels where WIDTH is shown as 600
WIDTH = 6.0  # inches of a new figure
TITLE_LENGTH, LEGEND_LENGTH = 58, 105  # letters of a title and of a legend that fit in WIDTH
LINE_LENGTH = 45  # letters of a line of a legend
BELOW = "legend below the panels"
LEGEND_ROW = 0.17  # inches
AXIS_OF_C = "C (inverse strength of the penalty)"
CHOSEN: dict[str, Any] = {"color": INK, "lw": 1.2, "ls": "--", "zorder": 1}


def colours(n: int) -> list[str]:
    """`n` colours: those of Okabe and Ito for up to 8, else even steps of viridis without its light end."""
    if n <= len(OKABE_ITO):
        return list(OKABE_ITO[:n])
    return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 0.93, n))]


def class_colours(classes: ArrayLike) -> dict[Hashable, str]:
    """Colours of the classes, the same in every figure.

    They depend on nothing but the sorted classes: the palette of Okabe and Ito for up to 8, which
    colour-blind readers can distinguish, and even steps of the perceptually uniform viridis for more.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        Distinct labels, such as ``classes_`` of a fitted classifier.

    Returns
    -------
    dict of {label: str}
        Colours as ``"#rrggbb"``, in the order of the sorted labels.

    Raises
    ------
    ValueError
        If `classes` is not one-dimensional or has a label twice.

    References
    ----------
    B. Wong, Points of view: Color blindness, Nature Methods 8 (2011), 441, with the palette of
    M. Okabe and K. Ito. https://doi.org/10.1038/nmeth.1618

    Examples
    --------
    >>> from smreg.plots import class_colours
    >>> class_colours(["setosa", "versicolor", "virginica"])
    {'setosa': '#0072b2', 'versicolor': '#d55e00', 'virginica': '#009e73'}
    """
    labels = np.asarray(classes)
    if labels.ndim != 1 or len(np.unique(labels)) < len(labels):
        raise ValueError(f"classes must be distinct labels of shape (n_classes,), got {classes!r}.")
    return dict(zip(np.sort(labels).tolist(), colours(len(labels)), strict=True))


def colours_of(classes: NDArray[Any]) -> list[str]:
    """The colours of distinct classes, in their order."""
    palette = class_colours(classes)
    return [palette[label] for label in classes.tolist()]


def class_name(label: Any) -> str:
    """A class in words: numbers alone would not say what they are."""
    return f"class {label}" if np.asarray(label).dtype.kind in "iuf" else str(label)


def panels(ax: Any, n: int) -> tuple[Figure, NDArray[Any], bool]:
    """Figure and axes for `n` panels, those given or new ones that share their scales; and if new."""
    if ax is None:
        return *_new_panels(n), True
    axes = np.ravel(np.asarray(ax, dtype=object))
    wrong = [type(one).__name__ for one in axes if not isinstance(one, Axes)]
    if wrong:
        raise TypeError(f"ax must be None, matplotlib Axes or an array of them, got {wrong[0]}.")
    if len(axes) != n:
        raise ValueError(f"ax must hold {n} Axes, one for each panel, got {len(axes)}.")
    return axes[0].figure, axes, False


def _new_panels(n: int) -> tuple[Figure, NDArray[Any]]:
    """A figure of `WIDTH` inches with `n` panels, at most 4 in a row."""
    columns = n if n <= 3 else 2 if n == 4 else 3 if n <= 9 else 4
    rows = -(-n // columns)
    height = {1: 3.8, 2: 2.6, 3: 2.0, 4: 1.6}[columns] + (0.6 if rows == 1 else 0.0)
    figure, grid = plt.subplots(
        rows,
        columns,
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, rows * height),
        layout="constrained",
    )
    for spare in grid.flat[n:]:
        spare.remove()
    axes = grid.ravel()[:n]
    for lowest in axes[-columns:]:  # of each column, also above a panel that was to spare
        lowest.tick_params(labelbottom=True)
    return figure, axes


def places(Cs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where increasing Cs are on a logarithmic axis: infinity, which has no place, a decade beyond."""
    largest = Cs[np.isfinite(Cs)].max(initial=0.0) or 1.0
    return np.where(np.isfinite(Cs), Cs, 10 * largest)


def log_axis(axes: Axes, Cs: NDArray[np.float64]) -> None:
    """A logarithmic axis of C, with a tick for infinity if it is among them."""
    axes.set_xscale("log")
    first, last = places(Cs)[[0, -1]]
    if first == last:  # around which a vertical line would leave no room
        axes.set_xlim(first / 10, last * 10)
    if np.isinf(Cs[-1]):
        powers = np.arange(np.ceil(np.log10(first)), np.log10(last), dtype=int)
        powers = powers[:: len(powers) // 5 + 1]
        axes.set_xticks([*(10.0**k for k in powers), last], [*(f"$10^{{{k}}}$" for k in powers), "∞"])
        axes.minorticks_off()


def name_axes(figure: Figure, axes: NDArray[Any], new: bool, x: str, y: str) -> None:
    """Label the axes, of several panels in a new figure those at its border, else all.

    Small panels do without what stands in parentheses in the name `x`.
    """
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    if new and len(axes) > 1:
        columns = axes[0].get_gridspec().ncols
        for panel in axes:
            panel.tick_params(labelsize=SMALL)
        for lowest in axes[-columns:]:
            lowest.set_xlabel(x.split(" (")[0], fontsize=SMALL + 1)
        figure.supylabel(y, fontsize=SMALL + 2)
    else:
        for panel in axes:
            panel.set(xlabel=x, ylabel=y)


def name_panel(panel: Axes, name: str) -> None:
    """A title, cut to the width of the panel."""
    place = panel.get_subplotspec()
    columns = 2 if place is None else place.get_gridspec().ncols
    plain([panel.set_title(shorten(name, TITLE_LENGTH // columns), fontsize=SMALL + 1)])


def legend(owner: Figure | Axes, handles: Sequence[Any], texts: Sequence[str], above: float = 0.0) -> None:
    """A legend inside axes that were given, or below the panels of a new figure, which grows by it.

    Inside axes it stands in the part of their height from `above` on.
    """
    texts = ["\n".join(shorten(line, LINE_LENGTH) for line in text.split("\n")) for text in texts]
    if isinstance(owner, Axes):
        box = (0, above, 1, 1 - above)
        key = owner.legend(handles, texts, fontsize=SMALL, loc="best", bbox_to_anchor=box)
    else:
        columns = _legend_columns(texts)
        key = owner.legend(
            handles, texts, fontsize=SMALL, loc="outside lower center", ncols=columns, frameon=False
        )
        key.set_label(BELOW)
        _grow(owner, _legend_rows(texts))
    plain(key.get_texts())


def shared_legend(figure: Figure, axes: Axes, new: bool, above: float = 0.0) -> None:
    """One legend for all displays that were drawn on the same axes, with their lines that have a label."""
    lines = [line for line in axes.lines if not re.fullmatch(r"_child\d+", str(line.get_label()))]
    below = [key for key in figure.legends if key.get_label() == BELOW]
    for key in below:
        _grow(figure, -_legend_rows([text.get_text() for text in key.get_texts()]))
        key.remove()
    owner = figure if new or below else axes
    legend(owner, lines, [str(line.get_label()) for line in lines], above)


def _grow(figure: Figure, rows: int) -> None:
    """Make a figure higher by some rows of a legend."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + LEGEND_ROW * rows)


def _legend_rows(texts: Sequence[str]) -> int:
    """Rows of a legend below the panels, which fills its columns one after the other."""
    columns = np.array_split([text.count("\n") + 1 for text in texts], _legend_columns(texts))
    return max(int(column.sum()) for column in columns)


def _legend_columns(texts: Sequence[str]) -> int:
    """Most columns of a legend that fit in `WIDTH`, counted in letters; a handle takes 10."""
    for columns in range(len(texts), 1, -1):
        widths = [max(map(_width, column)) + 10 for column in np.array_split(texts, columns)]
        if sum(widths) <= LEGEND_LENGTH:
            return columns
    return 1


def _width(text: str) -> int:
    return max(map(len, text.split("\n")))


def plain(texts: Sequence[Text]) -> None:
    """Show names as they are: a dollar in one does not begin a formula."""
    for text in texts:
        text.set_parse_math(False)


def shorten(name: str, most: int) -> str:
    """The name, its middle left out beyond `most` letters."""
    end = most // 3
    return name if len(name) <= most else f"{name[: most - end - 1]}…{name[-end:]}"
