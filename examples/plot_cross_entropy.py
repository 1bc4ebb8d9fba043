"""
Cross-entropy
=============

What a classifier is trained by: a number that says how badly predicted probabilities fit what is true. Here
we take it apart, see that it has a direction, and compute it where the formula in the textbook fails. Run
it with ``python examples/plot_cross_entropy.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smreg import cross_entropy, log_softmax, softmax
from smreg.family import entropy, kl_divergence, sigmoid, to_symmetric_coding
from smreg.plots import class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Cross-entropy.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# Surprise
# --------
# If something happens to which we gave the probability p, our surprise is -log p. It is measured in nats:
# zero for what we were sure of, one nat for a probability of 1/e, and without bound as p goes to zero. If
# the label is known, the cross-entropy is just that: the surprise at the right class.

for p in (1.0, 0.5, np.exp(-1), 0.01):
    print(f"p = {p:.3f}: surprise {abs(np.log(p)):.3f} nats")
logits = np.array([3.0, 1.0, 0.2])
at_class_1 = cross_entropy([0.0, 1.0, 0.0], logits)
print(f"logits {logits.tolist()}, right class 1: {at_class_1:.4f} nats, -log of {softmax(logits)[1]:.4f}\n")

# %%
# Two distributions
# -----------------
# What is true may be uncertain itself: of ten annotators seven say yes. Let t be the true distribution and p
# the predicted one. The cross-entropy H(t, p) is the mean surprise, where the mean is taken under t:
#
# ``H(t, p) = -(t_1 log p_1 + ... + t_K log p_K)``
#
# It has two parts. One is the entropy H(t) = H(t, t), the surprise of one who knows t: no prediction can
# avoid it. The other is what our p costs beyond that, the Kullback-Leibler divergence KL(t, p). It is
# never negative, and zero only if p = t. So of all predictions the truth has the smallest cross-entropy.

t = np.array([0.7, 0.2, 0.1])
p = np.array([0.4, 0.4, 0.2])
parts = {
    "H(t, p)": cross_entropy(t, np.log(p)),
    "H(t)": entropy(t),
    "KL(t, p)": kl_divergence(t, p),
    "H(t) + KL(t, p)": entropy(t) + kl_divergence(t, p),
}
print(f"t = {t.tolist()}, p = {p.tolist()}, in nats:")
print("\n".join(f"{name:>16}  {value:.4f}" for name, value in parts.items()), "\n")

blue, orange, green = class_colours(range(3)).values()
line = np.linspace(0.005, 0.995, 199)
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3), layout="constrained", sharey=True)
for share, colour in ((1.0, blue), (0.7, orange), (0.5, green)):
    # two logits that sum to zero, for the probabilities 1 - p and p
    losses = cross_entropy([1 - share, share], to_symmetric_coding(np.log(line / (1 - line))[:, np.newaxis]))
    left.plot(line, losses, color=colour, lw=1.8, label=f"t = {share:g}")
    if share < 1:
        left.plot(share, entropy([share, 1 - share]), "o", color=colour)
left.set(xlabel="predicted probability of yes, p", ylabel="cross-entropy H(t, p) (nats)", ylim=(-0.1, 4))
left.legend(frameon=False, fontsize=8, title="true share of yes", title_fontsize=8)
scores = np.linspace(-5, 5, 201)
for share, colour in ((1.0, blue), (0.7, orange), (0.5, green)):
    both = np.column_stack([np.zeros_like(scores), scores])
    right.plot(scores, cross_entropy([1 - share, share], both), color=colour, lw=1.8)
    if share < 1:
        right.plot(np.log(share / (1 - share)), entropy([share, 1 - share]), "o", color=colour)
right.set(xlabel="logit of yes (nats)")
for panel in (left, right):
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "cross_entropy_two.png", dpi=100)

# %%
# Each curve with a dot is lowest there, where the prediction is the truth, and its height there is the
# entropy of the truth; for t = 1 that is zero, at the right end. On the right is the same over the logit: a
# bowl, or for t = 1 a slope that goes down for ever. The cross-entropy is convex in the logits, these are
# linear in the coefficients, and so the fit of softmax regression has no second, higher valley to get lost
# in. The slope of the bowl is p - t.

at = 1.5
slope = (cross_entropy([0.3, 0.7], [0, at + 1e-5]) - cross_entropy([0.3, 0.7], [0, at - 1e-5])) / 2e-5
print(f"at the logit {at:g} with t = 0.7: slope {slope:.6f}, p - t = {sigmoid(at) - 0.7:.6f}\n")

# %%
# It has a direction
# ------------------
# H(t, p) is not H(p, t): the mean is taken under the first. Suppose that something is impossible in p and
# possible in t. Then the mean surprise under t is infinite. The other way round it never happens, and the
# mean is finite. A loss has the truth in the first place.

q = np.array([0.5, 0.5, 0.0])
with np.errstate(divide="ignore"):
    log_q = np.log(q)
rows = [
    [cross_entropy(t, np.log(p)), cross_entropy(p, np.log(t))],
    [cross_entropy(t, log_q), cross_entropy(q, np.log(t))],
]
names = [f"p = {p.tolist()}", f"q = {q.tolist()}"]
table = pd.DataFrame(np.array(rows), index=names, columns=["t first", "t second"])
print(table.to_string(float_format="{:.4f}".format), "\n")

steps = np.linspace(0.02, 0.98, 49)
true, predicted = np.meshgrid(steps, steps)
loss = cross_entropy(
    np.stack([1 - true, true], axis=-1), np.log(np.stack([1 - predicted, predicted], axis=-1))
)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="compressed")
filled = axes.contourf(steps, steps, loss, levels=np.arange(0, 4.25, 0.25), cmap="Blues")
axes.plot([0, 1], [0, 1], color="0.25", lw=1.2, ls="--")
axes.set_title("dashed: p = t, the best p for each t", fontsize=9)
axes.set(xlabel="true probability t", ylabel="predicted probability p", aspect="equal")
axes.set(xlim=steps[[0, -1]], ylim=steps[[0, -1]])
figure.colorbar(filled, label="H(t, p) (nats)", ticks=range(5))
figure.savefig(output / "cross_entropy_direction.png", dpi=100)
print(f"mirrored along p = t the map differs by up to {np.abs(loss - loss.T).max():.2f} nats\n")

# %%
# Large logits
# ------------
# A model that is wrong and sure has logits far apart. The textbook's way, first softmax and then the
# logarithm, fails there: exp(800) is beyond the largest number of double precision, so that infinity is
# divided by infinity. And a probability that is too small to be written is rounded to zero, whose logarithm
# is minus infinity. Log-softmax subtracts the largest logit first, so that no exponential is above one and
# their sum is at least one, and then the logarithm of the sum, without ever dividing. It is right to rounding
# however far apart the logits are, and so is a loss computed with it.


def naive(eta: np.ndarray) -> np.ndarray:
    """Logarithm of softmax as the formula is written."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return np.asarray(np.log(np.exp(eta) / np.exp(eta).sum()))


for vector in ([2.0, 1.0, 0.0], [40.0, 0.0, 0.0], [0.0, -800.0, 0.0], [800.0, 0.0, 0.0]):
    eta = np.array(vector)
    print(f"logits {vector}: log of softmax {naive(eta)}, log-softmax {log_softmax(eta)}")

gaps = np.linspace(0, 1500, 301)
pairs = np.column_stack([gaps, np.zeros_like(gaps)])
by_formula = np.array([-naive(pair)[1] for pair in pairs])
finite = np.isfinite(by_formula)
largest = gaps[finite].max()
print(f"\nlogits [g, 0], g in steps of {gaps[1]:g}: the formula gives the loss of the second class")
print(f"up to {largest:g}; the logarithm of the largest number is {np.log(np.finfo(float).max):.2f}")
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(gaps, cross_entropy([0.0, 1.0], pairs), color=blue, lw=1.8, label="cross_entropy, from logits")
axes.plot(gaps[finite], by_formula[finite], color=orange, lw=4, alpha=0.6, label="-log(exp / sum of exp)")
axes.plot(
    gaps[finite][-1],
    by_formula[finite][-1],
    "X",
    color=orange,
    ms=9,
    label="beyond: infinite or not a number",
)
axes.set(xlabel="logit of the wrong class above that of the right one (nats)", ylabel="loss (nats)")
axes.legend(frameon=False, fontsize=9)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "cross_entropy_large_logits.png", dpi=100)
