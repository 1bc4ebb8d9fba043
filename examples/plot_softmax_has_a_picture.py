"""
Softmax has a picture
=====================

The sigmoid is known by its S-shaped curve. Softmax, which does for many classes what the sigmoid does for
two, is seldom drawn. Here it is drawn three times: as a curve, as a map and as a triangle. Run it with
``python examples/plot_softmax_has_a_picture.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from smreg import softmax
from smreg.family import sigmoid
from smreg.plots import LogitPlaneDisplay, SimplexDisplay, class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Softmax has a picture.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# What softmax does
# -----------------
# It takes a vector of K scores, one for each class, and gives a vector of K probabilities. The scores may be
# any numbers; they are called logits. Softmax takes the exponential of each, which makes it positive, and
# divides by their sum, so that they sum to one. A larger logit gives a larger probability. What counts is
# the difference between logits: one that is larger by one (logits are measured in nats) has e times the
# probability, and adding the same number to all of them changes nothing.

logits = np.array([3.0, 1.0, 0.2])
p = softmax(logits)
print(f"softmax({logits.tolist()}) = {p.round(4).tolist()}, whose sum is {p.sum():.4f}")
print(f"p_0 / p_1 = {p[0] / p[1]:.4f}, and exp(3 - 1) = {np.exp(2):.4f}")
shift = np.abs(softmax(logits + 100.0) - p).max()
print(f"with 100 added to each logit the probabilities change by at most {shift:.0e}: by rounding\n")

# %%
# Two classes: one curve
# ----------------------
# With two classes, two numbers go in and two come out. But only the difference of the logits counts, and the
# second probability is what the first leaves. So one number decides, and one says all: a curve. It is the
# sigmoid of the difference, 1 / (1 + exp(-difference)).
#
# On the left is the probability of class 1 over the plane of both logits. It is the same along every
# diagonal line, where the difference is the same. On the right are the points of the left, each against its
# difference: they lie on the curve.

rng = np.random.default_rng(0)
pairs = rng.uniform(-4, 4, (40, 2))
p_second = softmax(pairs)[:, 1]
difference = pairs[:, 1] - pairs[:, 0]
off = np.abs(p_second - sigmoid(difference)).max()
print(f"two classes: softmax and the sigmoid of the difference differ by at most {off:.0e}\n")

colour = class_colours([0, 1])[1]
dots = {"s": 14, "color": "0.1", "ec": "white", "lw": 0.5, "zorder": 3}
figure, (plane, curve) = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
axis = np.linspace(-4, 4, 101)
both = np.stack(np.meshgrid(axis, axis), axis=-1)
shades = plane.contourf(axis, axis, softmax(both)[..., 1], levels=np.linspace(0, 1, 11), cmap="Oranges")
plane.scatter(*pairs.T, **dots)
plane.set(xlabel="logit of class 0 (nats)", ylabel="logit of class 1 (nats)", aspect="equal")
figure.colorbar(shades, ax=plane, location="top", label="probability of class 1", ticks=[0, 0.5, 1])
line = np.linspace(-8, 8, 201)
curve.plot(line, sigmoid(line), color=colour, lw=2, label="sigmoid")
curve.scatter(difference, p_second, label="softmax", **dots)
curve.set(xlabel="logit 1 - logit 0 (nats)", ylabel="probability of class 1")
curve.legend(frameon=False)
curve.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "softmax_has_a_picture_two.png", dpi=100)

# %%
# Three classes: three maps
# -------------------------
# With three classes there are two differences, and two probabilities that say all: no curve can show that.
# But two differences are a plane, and over a plane we can draw a map, one for each probability. The maps are
# for the logits of class 1 and class 2, each less that of class 0.
#
# Each class has a part of the plane where it is most probable. Far from the dashed lines one class is
# nearly certain, and across a dashed line, far from the origin, the change is the sigmoid's again: the
# third class has no say there. In the origin all three are equal.

centre = softmax([0.0, 0.0, 0.0])
print(f"at the origin: {centre.round(3).tolist()}")
across = softmax([0.0, -5.0, 1.0])
print(f"far to the left, class 2 one nat above class 0: {across.round(3).tolist()},")
print(f"where the sigmoid alone gives {float(sigmoid(1.0)):.3f} to class 2\n")

maps = LogitPlaneDisplay.from_temperature()
maps.figure_.savefig(output / "softmax_has_a_picture_three.png", dpi=100)

# %%
# Three classes: one triangle
# ---------------------------
# Or draw what comes out. Three probabilities that sum to one are a point of a triangle, the simplex: at a
# corner one class is certain, in the centre all are equal. Softmax bends the whole plane of the maps into
# this triangle. Each line here was a straight ray from the origin: the logits of a direction, multiplied by
# 1/T for all positive temperatures T. When T is large all logits are near zero, and the probabilities are
# near the centre. When T is near zero the largest logit is far above the others, and the probabilities are
# near its corner. The rays that start out at equal angles crowd together at the corners. No ray crosses a
# dotted line: the temperature does not change which class is most probable.

angles = np.deg2rad(15 + 30 * np.arange(12))
# two directions of length one, at right angles, in the plane of logits that sum to zero
plane_of_logits = np.array([[-1, 1, 0] / np.sqrt(2), [-1, -1, 2] / np.sqrt(6)])
rays = 2 * np.column_stack([np.cos(angles), np.sin(angles)]) @ plane_of_logits
triangle = SimplexDisplay.from_logits(rays, temperatures=[0.5, 1.0, 2.0, 4.0])
triangle.figure_.savefig(output / "softmax_has_a_picture_triangle.png", dpi=100)

for T in (1000.0, 1.0, 0.01):
    print(f"a ray at T = {T:g}: {softmax(rays[0], T).round(3).tolist()}")

# %%
# More classes
# ------------
# With K classes there are K - 1 differences, and beyond three no picture on paper holds them all. What can
# be drawn is a line through the space: all probabilities along the temperature, or against one logit while
# the others stay. See the example on temperature.
