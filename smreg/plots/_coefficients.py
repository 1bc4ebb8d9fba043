"""Coefficients of a fitted model, with the names of their features."""

from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from smreg.estimators.coefficients import dense
from smreg.estimators.estimator import SoftmaxRegression
from smreg.plots._checks import check_shape
from smreg.plots._style import (
    INK,
    SMALL,
    class_name,
    colours_of,
    legend,
    panels,
    plain,
    shorten,
)

MOST_FEATURES = 20  # in a figure by default
NAME_LENGTH = 30  # letters of a feature
ROW, STEM = 0.14, 0.075  # inches: a feature's row without classes, and what each class adds
LEAST_HEIGHT = 2.0  # inches of a new figure
SPREAD = 0.35  # half the height of a feature's classes, in rows


class CoefficientDisplay:
    """Coefficients of all classes, a row for each feature, the largest at the top.

    A coefficient is what a unit of its feature adds to the logit of its class, the other features being the
    same. For three classes and more only differences between the classes matter, since adding a constant to
    all logits changes no probability: a feature speaks for the classes to the right against those to the
    left. For two classes there is one coefficient, for the second class against the first.

    Use `from_estimator` to make one. It needs matplotlib (``pip install smreg[plots]``).

    Parameters
    ----------
    coef : array-like of shape (n_classes, n_features), or (1, n_features) for two classes
        Coefficients, in nats per unit of the feature; the single row of two classes belongs to the second.
    classes : array-like of shape (n_classes,)
        Class labels.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features; None means x0, x1, ...
    feature_scale : array-like of shape (n_features,), default=None
        What the coefficients are multiplied by: with the standard deviations of the features, which
        make those of features in different units comparable, they become nats per standard deviation.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        Their figure.
    features_ : ndarray of int of shape (n_drawn,)
        Features drawn, the largest first.
    stems_ : list of matplotlib ErrorbarContainer
        For each row of `coef` the points, and the lines that join them to zero.

    Raises
    ------
    ValueError
        If the shapes do not match.

    See Also
    --------
    CoefficientPathDisplay : Coefficients against the strength of the penalty.

    References
    ----------
    P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall 1989, chapter 5.
    https://doi.org/10.1201/9780203753736

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from smreg import SoftmaxRegression
    >>> from smreg.plots import CoefficientDisplay
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(model, feature_scale=X.std())
    >>> display.feature_names[display.features_[:2]]
    array(['proline', 'color_intensity'], dtype=object)
    """

    def __init__(
        self,
        *,
        coef: ArrayLike,
        classes: ArrayLike,
        feature_names: ArrayLike | None = None,
        feature_scale: ArrayLike | None = None,
    ) -> None:
        self.classes = np.asarray(classes)
        self.coef = np.asarray(coef, dtype=np.float64)
        rows = 1 if len(self.classes) == 2 else len(self.classes)
        if self.coef.ndim != 2 or len(self.coef) != rows:
            raise ValueError(
                f"coef must have shape ({rows}, n_features) for {len(self.classes)} classes, "
                f"got {self.coef.shape}."
            )
        n_features = self.coef.shape[1]
        names = [f"x{j}" for j in range(n_features)] if feature_names is None else feature_names
        self.feature_names = check_shape(names, (n_features,), "feature_names", dtype=object)
        self.feature_scale = (
            None if feature_scale is None else check_shape(feature_scale, (n_features,), "feature_scale")
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: SoftmaxRegression | Pipeline,
        *,
        feature_scale: ArrayLike | None = None,
        n_features: int = MOST_FEATURES,
        ax: Any = None,
    ) -> Self:
        """Draw the coefficients of a fitted model.

        Parameters
        ----------
        estimator : SoftmaxRegression or Pipeline
            Fitted; a pipeline has a `SoftmaxRegression` as its last step, and the features are those that
            its other steps hand on, in their units and with their names where these are known.
        feature_scale : array-like of shape (n_features_in,), default=None
            What the coefficients are multiplied by, such as ``X.std(axis=0)``.
        n_features, ax
            As for `plot`.

        Returns
        -------
        CoefficientDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If it is another estimator, and as for `plot`.
        """
        model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if not isinstance(model, SoftmaxRegression):
            raise TypeError(
                "estimator must be a SoftmaxRegression or a Pipeline that ends in one, "
                f"got {type(model).__name__}."
            )
        check_is_fitted(model)
        display = cls(
            coef=dense(model.coef_),
            classes=model.classes_,
            feature_names=_names(estimator, model),
            feature_scale=feature_scale,
        )
        return display.plot(ax, n_features=n_features)

    def plot(self, ax: Any = None, *, n_features: int = MOST_FEATURES) -> Self:
        """Draw the coefficients.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        n_features : int, default=20
            Most features to draw: those whose coefficients, times `feature_scale`, are largest in any class.

        Returns
        -------
        CoefficientDisplay
            Itself, with the attributes of what was drawn.

        Raises
        ------
        TypeError, ValueError
            If `ax` is not one Axes, or `n_features` is less than one.
        """
        if n_features < 1:
            raise ValueError(f"n_features must be at least 1, got {n_features}.")
        figure, panel, new = panels(ax, 1)
        axes, coef = panel[0], self.coef * (1.0 if self.feature_scale is None else self.feature_scale)
        self.features_ = np.argsort(-np.abs(coef).max(axis=0), kind="stable")[:n_features]
        if new:
            height = len(self.features_) * (ROW + STEM * len(coef))
            figure.set_figheight(LEAST_HEIGHT + height)
        self.stems_ = self._draw(axes, coef[:, self.features_])
        if len(self.classes) > 2:
            names = [class_name(label) for label in self.classes]
            legend(figure if new else axes, [stem.lines[0] for stem in self.stems_], names)
        self.ax_, self.figure_ = axes, figure
        return self

    def _draw(self, axes: Axes, coef: NDArray[np.float64]) -> list[ErrorbarContainer]:
        """Points joined to zero, the classes of a feature one below the other in its row."""
        rows, n = np.arange(coef.shape[1]), len(coef)
        axes.axvline(0, color=INK, lw=0.8, zorder=1)
        offsets = np.linspace(-SPREAD, SPREAD, n) if n > 1 else np.zeros(1)
        palette = colours_of(self.classes)[-n:]
        stems = [
            axes.errorbar(
                values,
                rows + offset,
                xerr=np.stack([np.maximum(values, 0), np.maximum(-values, 0)]),
                fmt="o",
                ms=4,
                color=colour,
                elinewidth=1.2,
            )
            for values, offset, colour in zip(coef, offsets, palette, strict=True)
        ]
        names = [shorten(str(self.feature_names[j]), NAME_LENGTH) for j in self.features_]
        axes.set_yticks(rows, names, fontsize=SMALL + 1)
        plain(axes.get_yticklabels())
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        for row in rows[:-1]:
            axes.axhline(row + 0.5, color="0.92", lw=0.8, zorder=0)
        plain([axes.set_xlabel(self._label(), fontsize=SMALL + 1)])
        return stems

    def _label(self) -> str:
        """What the horizontal axis shows."""
        of = f" of {shorten(class_name(self.classes[1]), NAME_LENGTH)}" if len(self.classes) == 2 else ""
        label = f"coefficient{of} (nats per unit)"
        if self.feature_scale is not None:
            label = f"coefficient{of} times scale (nats)"
        n_drawn, n_all = len(self.features_), len(self.feature_names)
        return label if n_drawn == n_all else f"{label}, {n_drawn} largest of {n_all} features"


def _names(estimator: SoftmaxRegression | Pipeline, model: SoftmaxRegression) -> ArrayLike | None:
    """The features' names: those that the model saw, or that the steps before it make."""
    names: ArrayLike | None = getattr(model, "feature_names_in_", None)
    if names is not None or not isinstance(estimator, Pipeline) or len(estimator) == 1:
        return names
    try:
        return np.asarray(estimator[:-1].get_feature_names_out())
    except AttributeError:  # of a step that knows no names
        return None
