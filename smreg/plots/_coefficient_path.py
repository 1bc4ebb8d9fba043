"""Coefficients along the regularisation path."""

from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from smreg.estimators.model_selection import SoftmaxRegressionCV
from smreg.estimators.path import RegularizationPath
from smreg.plots._checks import check_cv, check_increasing, check_shape
from smreg.plots._style import (
    AXIS_OF_C,
    CHOSEN,
    FAINT,
    INK,
    SMALL,
    class_name,
    colours,
    legend,
    log_axis,
    name_axes,
    name_panel,
    panels,
    places,
)

MOST_LINES = 200  # features in a panel: more cannot be distinguished, and would take minutes to draw


class CoefficientPathDisplay:
    """Coefficients against C, a panel for each class, a line for each feature.

    The features with the largest coefficients have colours and names, the same in every panel; the others
    are grey. The largest are those at the chosen C, or anywhere on the path if none is chosen, in any of
    the panels. Of more than 200 features the 200 largest are drawn.

    Use `from_path` or `from_estimator` to make one. It needs matplotlib (``pip install smreg[plots]``).

    Parameters
    ----------
    Cs : array-like of shape (n_Cs,)
        Inverse strengths of the penalty, positive and increasing; inf, no penalty, is drawn a decade
        beyond the others.
    coefs : array-like of shape (n_Cs, n_classes, n_features), or (n_Cs, 1, n_features) for two classes
        Coefficients at each C, in nats per unit of the feature; the single row of two classes belongs
        to the second.
    classes : array-like of shape (n_classes,)
        Class labels.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features; None means x0, x1, ...
    feature_scale : array-like of shape (n_features,), default=None
        What the coefficients are multiplied by: with the standard deviations of the features, which
        make those of features in different units comparable, they become nats per standard deviation.
    degrees_of_freedom : array-like of shape (n_Cs,), default=None
        Effective number of parameters at each C, for a second axis at the top; nan where not known.
    chosen_C : float, default=None
        The one of `Cs` to mark.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of Axes
        The panel, or one for each class.
    figure_ : matplotlib Figure
        Their figure.
    features_ : ndarray of int of shape (n_lines,)
        Features drawn, the largest first.
    lines_ : ndarray of matplotlib Line2D of shape (n_panels, n_lines)
        A line for each class and each of `features_`.

    Raises
    ------
    ValueError
        If the shapes do not match, Cs are not positive and increasing, or `chosen_C` is none of them.

    See Also
    --------
    ScorePathDisplay : Cross-validated score against C.

    References
    ----------
    J. Friedman, T. Hastie and R. Tibshirani, Regularization Paths for Generalized Linear Models via
    Coordinate Descent, Journal of Statistical Software 33 (2010). https://doi.org/10.18637/jss.v033.i01

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from smreg import regularization_path
    >>> from smreg.plots import CoefficientPathDisplay
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> path = regularization_path(X, y, Cs=20)
    >>> display = CoefficientPathDisplay.from_path(path, feature_scale=X.std())
    >>> display.lines_.shape
    (3, 13)
    """

    def __init__(
        self,
        *,
        Cs: ArrayLike,
        coefs: ArrayLike,
        classes: ArrayLike,
        feature_names: ArrayLike | None = None,
        feature_scale: ArrayLike | None = None,
        degrees_of_freedom: ArrayLike | None = None,
        chosen_C: float | None = None,
    ) -> None:
        self.Cs = check_increasing(Cs, "Cs")
        self.classes = np.asarray(classes)
        self.coefs = np.asarray(coefs, dtype=np.float64)
        rows = 1 if len(self.classes) == 2 else len(self.classes)
        if self.coefs.ndim != 3 or self.coefs.shape[:2] != (len(self.Cs), rows):
            raise ValueError(
                f"coefs must have shape ({len(self.Cs)}, {rows}, n_features) for {len(self.Cs)} values of C "
                f"and {len(self.classes)} classes, got {self.coefs.shape}."
            )
        n_features = self.coefs.shape[2]
        names = [f"x{j}" for j in range(n_features)] if feature_names is None else feature_names
        self.feature_names = check_shape(names, (n_features,), "feature_names", dtype=object)
        self.feature_scale = (
            None if feature_scale is None else check_shape(feature_scale, (n_features,), "feature_scale")
        )
        self.degrees_of_freedom = (
            None
            if degrees_of_freedom is None
            else check_shape(degrees_of_freedom, self.Cs.shape, "degrees_of_freedom")
        )
        if chosen_C is not None and chosen_C not in self.Cs:
            raise ValueError(f"chosen_C must be one of Cs = {self.Cs.tolist()}, got {chosen_C}.")
        self.chosen_C = chosen_C

    @classmethod
    def from_path(
        cls,
        path: RegularizationPath,
        *,
        feature_scale: ArrayLike | None = None,
        class_of_interest: Any = None,
        n_named: int = 6,
        ax: Any = None,
    ) -> Self:
        """Draw a path that `regularization_path` computed.

        Parameters
        ----------
        path : RegularizationPath
            The path, with its degrees of freedom.
        feature_scale : array-like of shape (n_features,), default=None
            What the coefficients are multiplied by, such as ``X.std(axis=0)``.
        class_of_interest, n_named, ax
            As for `plot`.

        Returns
        -------
        CoefficientPathDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            If `path` is no such path, and as for `plot`.
        """
        if not isinstance(path, RegularizationPath):
            raise TypeError(f"path must be a RegularizationPath, got {type(path).__name__}.")
        display = cls(
            Cs=path.Cs,
            coefs=path.coefs,
            classes=path.classes,
            feature_names=path.feature_names,
            feature_scale=feature_scale,
            degrees_of_freedom=path.degrees_of_freedom,
        )
        return display.plot(ax, class_of_interest=class_of_interest, n_named=n_named)

    @classmethod
    def from_estimator(
        cls,
        estimator: SoftmaxRegressionCV,
        *,
        feature_scale: ArrayLike | None = None,
        class_of_interest: Any = None,
        n_named: int = 6,
        ax: Any = None,
    ) -> Self:
        """Draw the paths of a fitted `SoftmaxRegressionCV`, as the mean over the folds, and the chosen C.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV
            Fitted; the paths are those at the `l1_ratio` that it chose.
        feature_scale : array-like of shape (n_features,), default=None
            What the coefficients are multiplied by, such as ``X.std(axis=0)``.
        class_of_interest, n_named, ax
            As for `plot`.

        Returns
        -------
        CoefficientPathDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If it is another estimator, and as for `plot`.
        """
        check_cv(estimator)
        chosen = int(np.flatnonzero(np.asarray(estimator.l1_ratios_) == estimator.l1_ratio_)[0])
        display = cls(
            Cs=estimator.Cs_,
            coefs=estimator.coefs_paths_[:, chosen, :, :, : estimator.n_features_in_].mean(axis=0),
            classes=estimator.classes_,
            feature_names=getattr(estimator, "feature_names_in_", None),
            feature_scale=feature_scale,
            chosen_C=estimator.C_,
        )
        return display.plot(ax, class_of_interest=class_of_interest, n_named=n_named)

    def plot(self, ax: Any = None, *, class_of_interest: Any = None, n_named: int = 6) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array of Axes, default=None
            One for each panel; None makes a new figure.
        class_of_interest : label, default=None
            The class to draw; None draws all, in a panel each.
        n_named : int, default=6
            Number of features with colours and names.

        Returns
        -------
        CoefficientPathDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        ValueError
            If the class has no coefficients, `n_named` is negative, or `ax` holds another number of axes
            than there are panels.
        """
        rows = self._rows(class_of_interest)
        if n_named < 0:
            raise ValueError(f"n_named must not be negative, got {n_named}.")
        figure, axes, new = panels(ax, len(rows))
        coefs = self.coefs[:, rows] * (1.0 if self.feature_scale is None else self.feature_scale)
        self.features_ = self._largest_first(np.abs(coefs).max(axis=1))[:MOST_LINES]
        n_named = min(n_named, len(self.features_))
        drawn = coefs[:, :, self.features_]
        self.lines_ = np.array([self._draw(panel, drawn[:, i], n_named) for i, panel in enumerate(axes)])
        labels = self.classes[-self.coefs.shape[1] :][rows]
        for panel, label in zip(axes, labels, strict=True):
            name_panel(panel, class_name(label))
        if self.degrees_of_freedom is not None and np.isfinite(self.degrees_of_freedom).any():
            self._count(axes, new, self.degrees_of_freedom)
        name_axes(figure, axes, new, AXIS_OF_C, self._coefficient_label())
        legend(figure if new else axes[-1], *self._key(n_named))
        self.ax_, self.figure_ = axes if len(axes) > 1 else axes[0], figure
        return self

    def _rows(self, class_of_interest: Any) -> list[int]:
        """Rows of the coefficients to draw."""
        known = self.classes[-self.coefs.shape[1] :].tolist()  # of two classes the second
        if class_of_interest is None:
            return list(range(len(known)))
        if class_of_interest not in known:
            raise ValueError(
                f"class_of_interest must be None or one of {known}, which have coefficients; "
                f"got {class_of_interest!r}."
            )
        return [known.index(class_of_interest)]

    def _largest_first(self, size: NDArray[Any]) -> NDArray[Any]:
        """Features by their size, of shape (n_Cs, n_features), at the chosen C and then anywhere."""
        anywhere = size.max(axis=0)
        if self.chosen_C is None:
            return np.argsort(-anywhere, kind="stable")
        return np.lexsort((-anywhere, -size[self.Cs == self.chosen_C][0]))

    def _draw(self, panel: Axes, coefs: NDArray[Any], n_named: int) -> list[Line2D]:
        """The lines of one class: the first `n_named` in colour, above the others."""
        log_axis(panel, self.Cs)
        panel.axhline(0, color=INK, lw=0.8, zorder=1)
        if self.chosen_C is not None:
            panel.axvline(places(self.Cs)[self.Cs == self.chosen_C][0], **CHOSEN)
        styles: list[dict[str, Any]]
        styles = [{"color": colour, "lw": 1.8, "zorder": 2.5} for colour in colours(n_named)]
        styles += [{"color": FAINT, "lw": 0.9, "zorder": 2}] * (len(self.features_) - n_named)
        marker = "o" if len(self.Cs) == 1 else ""  # a line of one point is not visible
        return [
            panel.plot(places(self.Cs), values, marker=marker, label=self.feature_names[feature], **style)[0]
            for feature, values, style in zip(self.features_, coefs.T, styles, strict=True)
        ]

    def _count(self, axes: NDArray[Any], new: bool, freedom: NDArray[Any]) -> None:
        """Write the degrees of freedom above the panels, in a new figure above the first row."""
        known = np.flatnonzero(np.isfinite(freedom))
        n_ticks = min(len(known), 6 if len(axes) == 1 else 3)
        ticks = known[np.linspace(0, len(known) - 1, n_ticks).round().astype(int)]
        texts = [f"{count:.3g}" if count < 1000 else f"{count:.0f}" for count in freedom[ticks]]
        for panel in axes:
            if new and not panel.get_subplotspec().is_first_row():
                continue
            top = panel.secondary_xaxis("top")
            top.set_xticks(places(self.Cs)[ticks], texts)
            top.minorticks_off()
            top.tick_params(labelsize=SMALL)
            top.set_xlabel("degrees of freedom", fontsize=SMALL)

    def _coefficient_label(self) -> str:
        """What the vertical axis shows."""
        if self.feature_scale is None:
            return "coefficient (nats per unit)"
        return "coefficient times scale (nats)"

    def _key(self, n_named: int) -> tuple[list[Line2D], list[str]]:
        """Lines and texts of the legend: the named features, how many others, and the chosen C."""
        lines = list(self.lines_[0, :n_named])
        texts = [str(self.feature_names[feature]) for feature in self.features_[:n_named]]
        if n_others := len(self.features_) - n_named:
            all_others = len(self.feature_names) - n_named
            lines.append(self.lines_[0, n_named])
            texts.append(f"{n_others} " + (f"of {all_others} " if all_others > n_others else "") + "others")
        if self.chosen_C is not None:
            lines.append(Line2D([], [], **CHOSEN))
            texts.append(f"chosen C = {self.chosen_C:.3g}")
        return lines, texts
