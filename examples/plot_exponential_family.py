"""
From the exponential family to softmax regression
=================================================

Why exponentials, why the logarithm of their sum, and why is the gradient just p - t? One assumption, four
facts that follow from it, and a fit. Each step is checked with numbers, and none is more than a
derivative. Run it with ``python examples/plot_exponential_family.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smreg import SoftmaxRegression, cross_entropy, softmax
from smreg.family import (
    fisher_information,
    gradient,
    log_partition,
    sufficient_statistic,
    to_reference_coding,
)
from smreg.plots import class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="From the exponential family to softmax regression.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# The assumption
# --------------
# An observation y is one of K classes. Write it as a vector T(y) of zeros with a one at the class: one-hot.
# Give each class a number eta_k, any number, and let the logarithm of its probability be that number plus
# something that is the same for all classes:
#
# ``log P(y) = <eta, T(y)> - A(eta)``
#
# The brackets are the inner product, which picks the number of the class y. A distribution of this form
# belongs to an exponential family, with the natural parameter eta (the logits) and the sufficient
# statistic T(y). Any probabilities that are not zero can be written so: take eta = log p, and A = 0.

eta = np.array([1.0, 0.2, -0.7])
K = len(eta)
one_hot = sufficient_statistic(np.arange(K), K)
log_p = one_hot @ eta - log_partition(eta)
print(f"eta = {eta.tolist()}, T of class 1 = {one_hot[1].tolist()}")
print(f"exp(<eta, T(y)> - A(eta)) for each class: {np.exp(log_p).round(4).tolist()}\n")

# %%
# Sufficient: K - 1 numbers of a sample say all
# ---------------------------------------------
# The probability of a whole sample is a product, its logarithm a sum: <eta, sum of T(y)> - n A(eta). So of
# the sample only the sum of its one-hot vectors matters, and that is how often each class came. As these
# numbers sum to n, the last follows from the others: K - 1 statistics, and K - 1 parameters, the logits
# less that of a reference class.

rng = np.random.default_rng(0)
n_draws = 10_000
draws = rng.choice(K, size=n_draws, p=softmax(eta))
counts = np.bincount(draws, minlength=K)
one_by_one = log_p[draws].sum()
from_counts = counts @ eta - n_draws * log_partition(eta)
minimal = to_reference_coding(eta)
from_minimal = counts[1:] @ minimal - n_draws * np.log(1 + np.exp(minimal).sum())
print(f"counts of {n_draws} draws: {counts.tolist()}")
print(f"log-probability of the sample, draw by draw: {one_by_one:.6f}")
print(f"from the counts: {from_counts:.6f}, from {K - 1} of them and {minimal.round(3).tolist()}: ", end="")
print(f"{from_minimal:.6f}\n")

# %%
# First fact: the log-partition
# -----------------------------
# The probabilities must sum to one. That fixes A(eta) = log(exp(eta_1) + ... + exp(eta_K)), and
# exp(eta_k - A(eta)) is softmax. The exponentials come from the assumption, and the sum from
# probabilities being what they are.
#
# Second fact: the gradient is the mean
# -------------------------------------
# Differentiate "the probabilities sum to one" in eta_k: the sum of P(y) (T(y)_k - dA/deta_k) is zero, so
# that dA/deta_k is the mean of T(y)_k, and the mean of a one-hot vector is the vector of probabilities. The
# slope of the log-partition is softmax.
#
# Third fact: the Hessian is the covariance
# -----------------------------------------
# Differentiate once more: the second derivatives of A are the covariances of the one-hot vector,
# diag(p) - p p'. A covariance matrix has no negative direction, and so A is convex, and the loss below
# with it.

h = 1e-4
steps = h * np.eye(K)
by_differences = (log_partition(eta + steps) - log_partition(eta - steps)) / (2 * h)
hessian_by_differences = (softmax(eta + steps) - softmax(eta - steps)) / (2 * h)
sampled = sufficient_statistic(draws, K)
facts = pd.DataFrame(
    {
        "softmax": softmax(eta),
        "difference quotient of A": by_differences,
        "mean of the draws": sampled.mean(axis=0),
        "its standard error": sampled.std(axis=0) / np.sqrt(n_draws),
    }
)
print(facts.round(5).to_string(), "\n")
matrix = fisher_information(eta)
print(f"diag(p) - p p':\n{matrix.round(4)}")
print(f"difference quotients of softmax, off by at most {np.abs(hessian_by_differences - matrix).max():.0e}")
print(f"covariance of the draws:\n{np.cov(sampled.T).round(4)}\n")

blue, orange, green = class_colours(range(K)).values()
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
line = np.linspace(-4, 5, 181)
along = np.column_stack([line, np.full_like(line, eta[1]), np.full_like(line, eta[2])])
left.plot(line, log_partition(along), color="0.25", lw=1.8, label="A")
for at in (-2.0, 1.0, 3.5):
    point = np.array([at, eta[1], eta[2]])
    slope = softmax(point)[0]
    near = np.array([-1.5, 1.5])
    left.plot(at + near, log_partition(point) + slope * near, color=blue, lw=1.8)
    left.plot(at, log_partition(point), "o", color=blue, ms=4)
    place = (at, float(log_partition(point)))
    left.annotate(f"slope p = {slope:.2f}", place, (9, -10), textcoords="offset points", fontsize=8)
left.set(xlabel="logit of class 0 (nats)", ylabel="log-partition A (nats)", xlim=(-4.3, 8.5))
sizes = np.unique(np.geomspace(10, n_draws, 60).astype(int))
off_mean = [np.linalg.norm(sampled[:n].mean(axis=0) - softmax(eta)) for n in sizes]
off_covariance = [np.linalg.norm(np.cov(sampled[:n].T) - matrix) for n in sizes]
right.loglog(sizes, off_mean, color=blue, lw=1.5, label="mean, from softmax")
right.loglog(sizes, off_covariance, color=green, lw=1.5, label="covariance, from diag(p) - p p'")
expected = np.sqrt(np.trace(matrix) / sizes)
right.loglog(sizes, expected, color="0.25", lw=1, ls=":", label="root mean square of the first")
right.set(xlabel="number of draws", ylabel="distance")
right.legend(frameon=False, fontsize=7)
for panel in (left, right):
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "exponential_family_facts.png", dpi=100)

# %%
# Fourth fact: the gradient of the loss is p - t
# ----------------------------------------------
# The loss of an observation is minus its log-probability, A(eta) - <eta, t>, with t = T(y). Its gradient is
# that of A, less t: p - t. With the one-hot vector itself called y it is often written p - y. It holds for
# any t on the simplex, not for one-hot vectors alone.
#
# It is sometimes written (p - 1) y, here (p - 1) t. For a one-hot t that vector has the right entry at the
# class that was observed, p - 1, and zeros at all others, where the gradient is p. The entries of p - t sum
# to zero, as they must: adding a constant to all logits does not change the loss. Those of (p - 1) t do not.

t = one_hot[1]
quotient = np.array([cross_entropy(t, eta + step) - cross_entropy(t, eta - step) for step in steps]) / (2 * h)
p = softmax(eta)
compared = pd.DataFrame(
    {"difference quotient": quotient, "p - t": gradient(t, eta), "(p - 1) t": (p - 1) * t},
    index=[f"class {k}" for k in range(K)],
)
compared.loc["sum"] = compared.sum()
print((compared.round(6) + 0.0).to_string(), "\n")

# %%
# Softmax regression
# ------------------
# Now let the logits depend on features x: eta = W x + b. The chain rule makes the gradient in W the matrix
# (p - t) x', and in b the vector p - t. Where the mean loss is smallest, both are zero on average:
#
# ``mean of t x' = mean of p x'   and   mean of t = mean of p``
#
# These are the moment conditions. The residuals t - p are orthogonal to each feature: in each class
# the model puts as much of each feature as there was. So the classes as the model predicts them
# have the same frequencies and the same means of the features as the classes that were observed.
#
# The table is a part of the American National Election Study of 1996: seven party identifications.

table = pd.read_csv(HERE.parent / "datasets" / "anes96.csv")
features = ["logpopul", "selfLR", "age", "educ", "income"]
X = (table[features] - table[features].mean()) / table[features].std()
y = table["PID"]
target = sufficient_statistic(y, 7)
fit = SoftmaxRegression(C=np.inf, tol=1e-8).fit(X, y)
predicted = fit.predict_proba(X)
priors = np.tile(target.mean(axis=0), (len(X), 1))  # the model without features
for name, probabilities in {"no features": priors, "the fit": predicted}.items():
    moments = (target - probabilities).T @ np.column_stack([np.ones(len(X)), X]) / len(X)
    print(f"{name}: mean loss {cross_entropy(target, np.log(probabilities)).mean():.4f} nats,", end=" ")
    print(f"largest mean of a residual {np.abs(moments[:, 0]).max():.0e},", end=" ")
    print(f"of a residual times a feature {np.abs(moments[:, 1:]).max():.0e}")


def class_means(weights: np.ndarray) -> np.ndarray:
    """Means of the features over the rows, weighted by the share of each class in them."""
    return np.asarray(weights.T @ X.to_numpy() / weights.sum(axis=0)[:, np.newaxis])


observed = class_means(target)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.axline((0, 0), slope=1, color="0.25", lw=1, ls="--")
axes.plot(observed.ravel(), class_means(priors).ravel(), "o", color="0.75", ms=4, label="without features")
for (label, colour), theirs, ours in zip(
    class_colours(range(7)).items(), observed, class_means(predicted), strict=True
):
    axes.plot(theirs, ours, "o", color=colour, ms=5, label=f"class {label}")
axes.set(
    xlabel="mean of a feature in a class, as observed (standard deviations)",
    ylabel="the same, as the model predicts",
)
axes.legend(frameon=False, fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "exponential_family_moments.png", dpi=100)

# %%
# With a penalty
# --------------
# The ridge penalty adds the term ||W||^2 / (2 C) to the sum of the losses, and to its gradient W / C. The
# residuals are then not quite orthogonal to the features: what is left over is the coefficient itself,
# divided by C. The intercepts are not penalised, and the frequencies still agree.

C = 0.1
ridge = SoftmaxRegression(C=C, tol=1e-8).fit(X, y)
residuals = target - ridge.predict_proba(X)
print(f"\nC = {C}: sum of residuals times features, largest {np.abs(residuals.T @ X.to_numpy()).max():.3f};")
print(f"less W / C, largest {np.abs(residuals.T @ X.to_numpy() - ridge.coef_ / C).max():.0e};")
print(f"sum of residuals, largest {np.abs(residuals.sum(axis=0)).max():.0e}")
