"""
Temperature
===========

Softmax of three logits, divided by a number T before: the temperature. A low one makes the probabilities
sharp, a high one makes them flat, and none changes their order. Run it with
``python examples/plot_temperature.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smreg import log_softmax, softmax
from smreg.family import entropy, hardmax, log_partition
from smreg.plots import ProbabilityTemperatureDisplay, SimplexDisplay, class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Temperature.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# Three logits, five temperatures
# -------------------------------
# Dividing the logits by T divides their differences by T, and the ratio of two probabilities is the
# exponential of such a difference. A T below one moves ratios away from one, a T above one towards it.

logits = np.array([3.0, 1.0, 0.2])
temperatures = [0.1, 0.5, 1.0, 2.0, 10.0]
table = pd.DataFrame([softmax(logits, T) for T in temperatures], columns=["p_0", "p_1", "p_2"])
table.insert(0, "T", temperatures)
table["p_0 / p_1"] = np.exp((logits[0] - logits[1]) / table["T"])
table["entropy (nats)"] = entropy(table[["p_0", "p_1", "p_2"]])
table["most probable"] = table[["p_0", "p_1", "p_2"]].to_numpy().argmax(axis=1)
print(f"logits {logits.tolist()}")
print(table.to_string(index=False, float_format="{:.4g}".format), "\n")

colours = list(class_colours(range(3)).values())
figure, panels = plt.subplots(1, len(temperatures), figsize=(6, 2.2), sharey=True, layout="constrained")
for panel, T in zip(panels, temperatures, strict=True):
    bars = panel.bar(range(3), softmax(logits, T), color=colours)
    panel.bar_label(bars, fmt="{:.2f}", fontsize=8)
    panel.set_title(f"T = {T:g}", fontsize=10)
    panel.set(xlabel="class", xticks=range(3), ylim=(0, 1.1))
    panel.spines[["top", "right"]].set_visible(False)
panels[0].set_ylabel("probability")
figure.savefig(output / "temperature_bars.png", dpi=100)

# %%
# All temperatures, and the two limits
# ------------------------------------
# As T goes to zero, softmax goes to hardmax: one for the largest logit, if there is just one, and zero for
# the others. (That is where its name comes from: a soft version of it. What it is a soft version of is not
# the maximum, a number, but the argmax, written as a vector.) As T grows without bound, all three
# probabilities go to a third. On the way the most probable class only loses, and the least probable only
# gains. A class between them gains at first, and loses in the end if its logit is above the mean of all,
# which that of class 1 is not.

display = ProbabilityTemperatureDisplay.from_logits(logits)
display.figure_.savefig(output / "temperature_probabilities.png", dpi=100)
for T in (0.01, 1000.0):
    print(f"T = {T:g}: {softmax(logits, T).round(4).tolist()}")
print(f"hardmax: {hardmax(logits).tolist()}")

# %%
# How uncertain, in one number
# ----------------------------
# The entropy, -(p_1 log p_1 + ... + p_K log p_K), says how uncertain the answer is: zero nats if one class is
# certain, log 3 if all are equally probable. It grows with the temperature, unless all logits are equal. So a
# temperature is a choice of uncertainty, and the order of the classes is no part of it. The triangle shows
# the same way from corner to centre.

grid = np.geomspace(0.1, 10, 201)
nats = entropy([softmax(logits, T) for T in grid])
print(f"\nentropy from {nats[0]:.2g} at T = 0.1 to {nats[-1]:.3f} at T = 10; log 3 is {np.log(3):.3f}")
print(f"it grows at each of the {len(grid) - 1} steps: {bool((np.diff(nats) > 0).all())}")

figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.semilogx(grid, nats, color="0.25", lw=1.8)
axes.axhline(np.log(3), color="0.25", lw=1, ls=":")
axes.annotate("log 3: uniform", (0.1, np.log(3)), (0, -4), textcoords="offset points", va="top", fontsize=9)
axes.set(xlabel="temperature T", ylabel="entropy (nats)", ylim=(-0.03, 1.17))
axes.xaxis.set_major_formatter("{x:g}")
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "temperature_entropy.png", dpi=100)

triangle = SimplexDisplay.from_logits(logits, temperatures=temperatures)
triangle.figure_.savefig(output / "temperature_triangle.png", dpi=100)

# %%
# Drawing labels: certainty against chance
# ----------------------------------------
# Predict the most probable class, and the temperature plays no part. Draw a class at random instead, with
# its probability, and it does: that is what temperature means where texts are generated. Cold, the same
# class comes each time; hot, each comes nearly as often as any other.

rng = np.random.default_rng(0)
n_draws = 1000
figure, panels = plt.subplots(len(temperatures), 1, figsize=(6, 2.8), sharex=True, layout="constrained")
for panel, T in zip(panels, temperatures, strict=True):
    drawn = rng.choice(3, size=n_draws, p=softmax(logits, T))
    shares = np.bincount(drawn, minlength=3) / n_draws
    spread = np.sqrt(softmax(logits, T) * (1 - softmax(logits, T)) / n_draws)
    print(
        f"T = {T:g}: shares of {n_draws} draws {shares.tolist()}, standard errors {spread.round(3).tolist()}"
    )
    first = drawn[:60]
    panel.bar(np.arange(len(first)), 1, 1.0, color=[colours[k] for k in first], ec="white", lw=0.5)
    panel.set_yticks([0.5], [f"T = {T:g}"])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
panels[0].set_xlim(-0.5, 59.5)
panels[-1].set_xticks([0, 19, 39, 59], ["1", "20", "40", "60"])
panels[-1].set_xlabel("draw; colours of class 0 (blue), class 1 (orange) and class 2 (green)")
figure.savefig(output / "temperature_draws.png", dpi=100)

# %%
# One table of functions that are mixed up
# ----------------------------------------
# Of a vector of logits, max is its largest entry, argmax the place of that, hardmax that place as a vector of
# zeros and a one, softmax the probabilities, log-softmax their logarithms, and log-sum-exp the number that is
# subtracted from the logits to get these: a soft maximum, at most log K above the true one. For the second
# vector 0.7, 0.2, 0.1 is often printed; these are the values from the definition.

for vector in ([3.0, 1.0, 0.2], [2.0, 1.0, 0.1]):
    eta = np.array(vector)
    from_definition = np.exp(eta) / np.exp(eta).sum()
    assert np.allclose(softmax(eta), from_definition, rtol=1e-14, atol=0)
    rows = {
        "max": eta.max(),
        "log-sum-exp": log_partition(eta).round(3),
        "argmax": eta.argmax(),
        "hardmax": hardmax(eta),
        "softmax": softmax(eta).round(3),
        "log-softmax": log_softmax(eta).round(3),
    }
    print(f"\nlogits {vector}")
    for name, value in rows.items():
        print(f"{name:>12}  {value}")
