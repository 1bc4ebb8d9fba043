"""
Sigmoid beside softmax
======================

Both turn scores into probabilities. The sigmoid answers a question with yes or no, softmax one with K
answers of which one is right. Here the same scores go through both, and then we look at their derivatives:
where they vanish, and what that does to learning. Run it with
``python examples/plot_sigmoid_and_softmax.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smreg import cross_entropy, softmax
from smreg.family import fisher_information, gradient, sigmoid, softplus
from smreg.plots import class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Sigmoid beside softmax.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# The same scores through both
# ----------------------------
# The sigmoid looks at one score at a time. It answers: is this class present, yes or no? Several may be, or
# none, and the probabilities need not sum to one. Softmax looks at all scores together. It answers: which one
# of the classes is it? The probabilities sum to one. Raise one score, and the sigmoids of the others stay
# where they were, while softmax takes from all others what it gives to that one.

scores = np.array([2.0, 1.0, 0.1])
raised = scores + np.array([0.0, 2.0, 0.0])
columns = {"score": scores, "sigmoid": sigmoid(scores), "softmax": softmax(scores)}
columns |= {"score raised": raised, "sigmoid then": sigmoid(raised), "softmax then": softmax(raised)}
table = pd.DataFrame(columns, index=["class 0", "class 1", "class 2"])
table.loc["sum"] = table.sum()
print(table.round(3).to_string(), "\n")

figure, panels = plt.subplots(1, 2, figsize=(6, 2.8), sharey=True, layout="constrained")
for panel, values in zip(panels, (scores, raised), strict=True):
    for offset, function in ((-0.2, sigmoid), (0.2, softmax)):
        bars = panel.bar(
            np.arange(3) + offset, function(values), 0.38, color=list(class_colours(range(3)).values())
        )
        if function is sigmoid:
            plt.setp(bars, alpha=0.35)
    panel.set_xticks(range(3), [f"class {k}\n{value:g} nats" for k, value in enumerate(values)])
    sums = f"sum: sigmoid {sigmoid(values).sum():.2f}, softmax {softmax(values).sum():.2f}"
    panel.set_title(sums, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
panels[0].set_ylabel("probability (pale: sigmoid)")
figure.savefig(output / "sigmoid_and_softmax_bars.png", dpi=100)

# %%
# Two classes: the sigmoid is a softmax, and softplus stands behind both
# ----------------------------------------------------------------------
# Softmax of the two scores 0 and z gives the second class the probability sigmoid(z). What softmax divides
# by is exp(0) + exp(z), and the logarithm of that is softplus(z) = log(1 + exp(z)). Its derivative is the
# sigmoid, and the derivative of the sigmoid is p (1 - p): largest, a quarter, at z = 0, and near zero where p
# is near zero or one. There the sigmoid is called saturated: a change of z hardly changes p.
#
# For K classes the same holds with A(z) = log(exp(z_1) + ... + exp(z_K)): its derivatives are softmax, and
# those of softmax are the matrix diag(p) - p p'. On its diagonal is p_k (1 - p_k), as for the sigmoid; off it
# is -p_j p_k, what class j loses as the score of class k grows. Rows sum to zero: what one gains others lose.
# Near a corner, where one class is nearly certain, all entries are near zero: there softmax is saturated.

z = np.linspace(-6, 6, 241)
h = 1e-5
slope = (softplus(z + h) - softplus(z - h)) / (2 * h)
curvature = (sigmoid(z + h) - sigmoid(z - h)) / (2 * h)
p = sigmoid(z)
print(f"difference quotient of softplus less sigmoid: at most {np.abs(slope - p).max():.0e}")
print(f"difference quotient of sigmoid less p (1 - p): at most {np.abs(curvature - p * (1 - p)).max():.0e}")
quotients = np.stack([(softmax(scores + h * e) - softmax(scores - h * e)) / (2 * h) for e in np.eye(3)])
matrix = fisher_information(scores)
print(f"those of softmax less diag(p) - p p': at most {np.abs(quotients - matrix).max():.0e}")
print(f"diag(p) - p p' for the scores above:\n{matrix.round(3)}\n")

# %%
# Wrong and sure: what a loss can learn from that
# -----------------------------------------------
# Say the right answer is yes. A model learns by following the derivative of its loss in the score z.
#
# - The squared error (p - 1)^2 / 2 has the derivative (p - 1) p (1 - p). The factor p (1 - p) comes from the
#   sigmoid, and where that is saturated it is near zero: also on the left, where the answer is wrong and
#   sure. The model learns least where it has most to learn.
# - The cross-entropy -log p has the derivative p - 1: the logarithm cancels that factor. The more wrong the
#   answer, the larger it is, and it vanishes only where the answer is right.

wrong = -6.0
of_squared = (sigmoid(wrong) - 1) * sigmoid(wrong) * (1 - sigmoid(wrong))
of_entropy = sigmoid(wrong) - 1
print(f"at z = {wrong:g}, where p = {sigmoid(wrong):.4f}: derivative of the squared error {of_squared:.4f},")
print(f"of the cross-entropy {of_entropy:.4f}, {of_entropy / of_squared:.0f} times as large\n")

blue, orange, green = class_colours(range(3)).values()
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
left.plot(z, softplus(z), color="0.6", lw=1.8, label="softplus (nats)")
left.plot(z, p, color=blue, lw=1.8, label="sigmoid, its slope")
left.plot(z, p * (1 - p), color=orange, lw=1.8, label="p (1 - p), the slope\nof the sigmoid")
left.set(xlabel="score z (nats)", ylim=(-0.1, 3))
right.plot(z, 1 - p, color=blue, lw=1.8, label="of cross-entropy")
right.plot(z, (1 - p) * p * (1 - p), color=orange, lw=1.8, label="of squared error")
right.set(xlabel="score z (nats)", ylabel="size of the derivative in z")
right.set_title("the right answer is yes", fontsize=9)
for panel in (left, right):
    panel.legend(frameon=False, fontsize=8)
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "sigmoid_and_softmax_slopes.png", dpi=100)

# %%
# A descent
# ---------
# The same with three classes, step by step. The model is sure of class 0, and class 1 is right. Each step
# subtracts the gradient from the logits. That is p - t for the cross-entropy, where t is one for the right
# class and zero for the others, and (diag(p) - p p')(p - t) for the squared error |p - t|^2 / 2. The
# cross-entropy begins with its largest gradient. The squared error begins on a plateau, with a gradient that
# is nearly zero, as if all were well.

target, start = np.array([0.0, 1.0, 0.0]), np.array([6.0, 0.0, 0.0])


def squared_error_gradient(t: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Gradient of ``|p - t|^2 / 2`` in the logits."""
    return np.asarray(fisher_information(logits) @ gradient(t, logits))


figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
for colour, name, slope_of in (
    (blue, "cross-entropy", gradient),
    (orange, "squared error", squared_error_gradient),
):
    logits, norms, right_class = start.copy(), [], []
    for _ in range(600):
        step = slope_of(target, logits)
        norms.append(np.linalg.norm(step))
        right_class.append(softmax(logits)[1])
        logits -= step
    first, last = 1 + int(np.argmax(np.array(right_class) > 0.5)), softmax(logits)[1]
    print(
        f"{name}: first gradient of norm {norms[0]:.4f}; p of the right class above a half at step {first},"
    )
    print(f"and {last:.4f} at the end, at a cross-entropy of {cross_entropy(target, logits):.4f}")
    left.loglog(np.arange(1, 601), norms, color=colour, lw=1.8, label=name)
    right.semilogx(np.arange(1, 601), right_class, color=colour, lw=1.8)
left.set(xlabel="step", ylabel="norm of the gradient")
right.set(xlabel="step", ylabel="probability of the right class", ylim=(-0.02, 1.02))
left.legend(frameon=False, fontsize=8)
for panel in (left, right):
    panel.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "sigmoid_and_softmax_descent.png", dpi=100)
