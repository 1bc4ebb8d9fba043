"""
Units do not matter
===================

A length is the same in centimetres and in micrometres, and so is a model that is fitted to it. But the search
for the fit may take a few steps in one unit and very many in another. Here we see why, and how the Fisher
metric takes the units out of the search. Run it with ``python examples/plot_units.py [--output FOLDER]``.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import optimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression, cross_entropy
from smreg.family import fisher_information, gradient
from smreg.plots import class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Units do not matter.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# Two features, two species
# -------------------------
# Which of two species is an iris, given the length and the width of its sepals? The data are centred, and
# there is no intercept and no penalty, so that the loss is a function of two coefficients and can be drawn.
# Its value is the mean cross-entropy, and its gradient the mean of (p - t) x'.

iris = pd.read_csv(HERE.parent / "datasets" / "iris.csv")
iris = iris[iris["species"] != "setosa"]
sepals = iris[["sepal_length_cm", "sepal_width_cm"]].to_numpy()
sepals -= sepals.mean(axis=0)
virginica = (iris["species"] == "virginica").to_numpy()
target = np.column_stack([~virginica, virginica]).astype(float)

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]
Accept = Callable[[np.ndarray, float], bool]


def loss_of(X: np.ndarray) -> Function:
    """Mean cross-entropy and its gradient, as functions of the coefficients of the second class."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.column_stack([np.zeros(len(X)), X @ w])
        return float(cross_entropy(target, logits).mean()), gradient(target, logits)[:, 1] @ X / len(X)

    return loss


def fisher_coordinates(X: np.ndarray) -> np.ndarray:
    """A with ``A' A`` the inverse of the Fisher information where all coefficients are zero."""
    variance = fisher_information([0.0, 0.0])[1, 1]  # p (1 - p): a quarter
    return np.linalg.inv(np.linalg.cholesky(variance * X.T @ X / len(X)))


# %%
# Two searches
# ------------
# L-BFGS walks downhill, and learns the curvature of the ground from the gradients on its way. It begins with
# the guess that the ground curves alike in all directions. The first search is that of SciPy. The second
# one is smreg's: L-BFGS too, but it measures lengths by the Fisher information at the start, that is by how
# much a step changes the predictions, not by how much it changes the numbers.


def plain(function: Function, accept: Accept, X: np.ndarray) -> None:
    """L-BFGS in raw units."""

    def step(intermediate_result: optimize.OptimizeResult) -> None:
        if accept(intermediate_result.x, intermediate_result.fun):
            raise StopIteration

    options: Any = {"ftol": 0, "gtol": 0}
    optimize.minimize(function, np.zeros(2), jac=True, method="L-BFGS-B", callback=step, options=options)


def in_metric(function: Function, accept: Accept, X: np.ndarray) -> None:
    """L-BFGS in the Fisher metric: on v, with the coefficients ``A' v``."""
    A = fisher_coordinates(X)

    def of_coordinates(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = function(A.T @ v)
        return value, A @ gradient

    plain(of_coordinates, lambda v, value: accept(A.T @ v, value), X)


def path_of(search: Callable[..., None], X: np.ndarray, enough: float) -> tuple[np.ndarray, int]:
    """Points that a search accepts until the loss is at most `enough`, and its evaluations."""
    function, points, evaluations = loss_of(X), [np.zeros(2)], 0

    def counted(w: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal evaluations
        evaluations += 1
        return function(w)

    def accept(w: np.ndarray, value: float) -> bool:
        points.append(w.copy())
        return value <= enough

    search(counted, accept, X)
    return np.array(points), evaluations


exact = SoftmaxRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(sepals, virginica)
minimum = exact.solution_.objective
close = minimum + 1e-6  # a millionth of a nat above the minimum
STRETCH = 10.0
stretched = sepals * [1.0, STRETCH]  # the width in millimetres
paths = {
    "plain L-BFGS": path_of(plain, stretched, close),
    "in the Fisher metric": path_of(in_metric, stretched, close),
}
print(f"minimum {minimum:.6f} nats; evaluations until a millionth above it, the width in millimetres:")
for name, (points, evaluations) in paths.items():
    print(f"{name}: {evaluations}, in {len(points) - 1} steps")

# %%
# What each search sees
# ---------------------
# On the left is the loss over the coefficients, in which plain L-BFGS measures its steps. With the width in
# millimetres its numbers are ten times as large, and its coefficient is a tenth: the valley is long and
# narrow. The first step goes straight down the slope, that is across the valley, and then the search has to
# learn in which direction the valley leads. On the right is the same loss in the coordinates of the Fisher
# metric: nearly a round bowl, where straight down is nearly the way to the minimum. It looks the same in
# all units.

factor = fisher_coordinates(stretched)
root = np.linalg.inv(factor).T  # coordinates v of coefficients w = A' v
best = exact.coef_[0] / [1.0, STRETCH]
blue, orange = class_colours([0, 1]).values()
figure, panels = plt.subplots(1, 2, figsize=(6, 3.5), layout="constrained")
for panel, forth, title in ((panels[0], np.eye(2), "raw units"), (panels[1], root, "Fisher metric")):
    everything = np.concatenate([steps for steps, _ in paths.values()] + [best[np.newaxis]]) @ forth.T
    middle = (everything.max(axis=0) + everything.min(axis=0)) / 2
    half = 0.65 * np.ptp(everything, axis=0).max()
    x, y = np.linspace(middle - half, middle + half, 121).T
    grid = np.stack(np.meshgrid(x, y), axis=-1) @ np.linalg.inv(forth).T
    logits = grid @ stretched.T
    values = cross_entropy(target, np.stack([np.zeros_like(logits), logits], axis=-1)).mean(axis=-1)
    heights = minimum + np.linspace(0, 1.6, 18)[1:] ** 2 * np.log(2)
    panel.contour(x, y, values, levels=heights, colors="0.75", linewidths=0.7)
    for colour, (name, (steps, _)) in zip((orange, blue), paths.items(), strict=True):
        panel.plot(*(steps @ forth.T).T, "o-", color=colour, ms=3, lw=1.2, label=name)
    panel.plot(*(forth @ best), "*", color="0.1", ms=9, label="minimum")
    panel.set_title(title, fontsize=10)
    panel.set_aspect("equal")
panels[0].set(xlabel="coefficient of length (nats/cm)", ylabel="coefficient of width (nats/mm)")
panels[1].set(xlabel="first coordinate", ylabel="second coordinate")
handles, labels = panels[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
figure.savefig(output / "units_paths.png", dpi=100)

# %%
# More features, more units
# -------------------------
# With two features L-BFGS learns the valley after some steps. With many it takes long. These are five answers
# in the American National Election Study of 1996, and seven party identifications; the answers are
# standardised first. Then their units are stretched: the last feature is multiplied by the number on the
# axis, the first by one, those between in equal ratios. As there is no penalty, the model stays the same.
#
# LogisticRegression needs more steps the further apart the units are; open circles are where it gave up
# after the number of steps that we allow. (With a StandardScaler before it, it would be back near the left
# end.) SoftmaxRegression makes the same steps in all units, but for rounding. The table also says how far
# above the minimum each stopped.

table = pd.read_csv(HERE.parent / "datasets" / "anes96.csv")
answers = table[["logpopul", "selfLR", "age", "educ", "income"]]
X = ((answers - answers.mean()) / answers.std()).to_numpy()
party = table["PID"].to_numpy()
one_hot = (party[:, np.newaxis] == np.arange(7)).astype(float)
lowest = SoftmaxRegression(C=np.inf, tol=1e-10).fit(X, party).solution_.objective

MOST = 1000
rows, probabilities = [], []
for stretch in 10.0 ** np.arange(7):
    Z = X * np.geomspace(1, stretch, X.shape[1])
    ours = SoftmaxRegression(C=np.inf).fit(Z, party)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = LogisticRegression(C=np.inf, max_iter=MOST).fit(Z, party)
    gaps = [cross_entropy(one_hot, model.decision_function(Z)).mean() - lowest for model in (ours, theirs)]
    rows.append([stretch, ours.solution_.evaluations, gaps[0], theirs.n_iter_[0], gaps[1]])
    probabilities.append(ours.predict_proba(Z))
columns = ["stretch", "ours: evaluations", "nats above", "theirs: iterations", "nats above "]
counts = pd.DataFrame(rows, columns=columns)
print("\n", counts.to_string(index=False, float_format="{:.1e}".format), sep="")
off = max(np.abs(p - probabilities[0]).max() for p in probabilities)
print(f"probabilities of SoftmaxRegression differ between the units by at most {off:.0e}")

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
axes.loglog(
    counts["stretch"], counts["ours: evaluations"], "o-", color=blue, label="SoftmaxRegression, evaluations"
)
done = counts["theirs: iterations"] < MOST
label = "LogisticRegression (lbfgs), iterations: an evaluation or more each"
axes.loglog(counts["stretch"], counts["theirs: iterations"], "o-", color=orange, mfc="white", label=label)
axes.loglog(counts["stretch"][done], counts["theirs: iterations"][done], "o", color=orange)
axes.set(
    xlabel="ratio of the largest unit to the smallest", ylabel="work until the search stops", ylim=(1, 2e4)
)
axes.legend(frameon=False, fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "units_evaluations.png", dpi=100)
