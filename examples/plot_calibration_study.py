"""
A calibration study
===================

A classifier says "class 3, 95 %". Is it right 95 times in a hundred? If so it is *calibrated*. Many are not,
and the best known remedy has a single number: the temperature that all logits are divided by. Here four
classifiers learn to read digits from few examples; we ask whether their probabilities can be believed,
mend them, and show it. Run it with ``python examples/plot_calibration_study.py [--output FOLDER]``; it takes
up to a minute, and tells on the way how far it is.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from smreg import SoftmaxRegression, TemperatureScaling, calibration_study
from smreg.plots import ReliabilityDisplay, TemperatureDisplay

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="A calibration study.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# Four classifiers and few digits
# -------------------------------
# We pretend that few of the digits have labels, and keep the others for the end. The classifiers have four
# different reasons to misjudge how much they know:
#
# - The network is trained long after it reads all of its digits without a mistake.
# - A random forest takes the mean of trees that disagree.
# - Naive Bayes takes neighbouring pixels for independent witnesses, and counts each.
# - The softmax regression has a strong penalty, which keeps its logits small.

digits = pd.read_csv(HERE.parent / "datasets" / "digits.csv.gz")
X, X_new, y, y_new = train_test_split(
    digits.drop(columns="digit"), digits["digit"], train_size=600, stratify=digits["digit"], random_state=0
)
classifiers = {
    "network": MLPClassifier(
        (100, 100), alpha=0, learning_rate_init=0.01, tol=1e-6, max_iter=5000, random_state=0
    ),
    "random forest": RandomForestClassifier(random_state=0),
    "naive Bayes": GaussianNB(var_smoothing=0.01),
    "softmax regression": SoftmaxRegression(C=0.01),
}
print(f"{len(X)} digits to learn from, {len(X_new)} for the end")

# %%
# The study
# ---------
# One call: each fold is held out once, and predicted by classifiers that were fitted to the others, as they
# are ("none") and with a temperature. The temperature is found within the training part, so that no
# digit has a part in its own prediction.

folds = StratifiedKFold(5, shuffle=True, random_state=0)
study = calibration_study(classifiers, X, y, cv=folds, metrics=["log_loss", "calibration_error", "accuracy"])
numbers = study.summary.set_index(["metric", "estimator", "method"]).sort_index()
for metric in ("log_loss", "calibration_error", "accuracy"):
    print(f"\n{metric}, mean over folds, and difference to none with its 95 % interval")
    print(numbers.loc[metric].loc[list(classifiers)].round(3).to_string())

# %%
# What the temperature says
# -------------------------
# Above one, the classifier is too sure, and its logits are made smaller; below one, it knows more than it
# says. A temperature changes no prediction: the accuracy stays what it was. The log loss, which sees the
# probability of what came true, is the measure to trust here. The calibration error of a fold has a floor
# that is nothing but chance: in bins of few digits the share of right answers is never just what it should
# be. The log loss has its own weakness: a few digits that a classifier misreads and is sure of make most of
# it, and how many there are in a fold is chance too.

print()
for name in classifiers:
    temperatures = [fold.temperature_fit_.temperature for fold in study.calibrators[name, "temperature"]]
    judged = "too sure" if min(temperatures) > 1 else "too timid" if max(temperatures) < 1 else "unclear"
    log_losses = numbers.loc["log_loss"].loc[name]
    before, change = log_losses.loc["none"], log_losses.loc["temperature"]
    clear = "clear" if change["difference_high"] < 0 else "not clear from five folds"
    print(
        f"{name} is {judged}: T from {min(temperatures):.2f} to {max(temperatures):.2f}; "
        f"log loss {before['mean']:.3f} before and {change['mean']:.3f} after, "
        f"a difference of {change['difference']:.3f} "
        f"({change['difference_low']:.3f} to {change['difference_high']:.3f}), {clear}"
    )

# %%
# Reliability diagrams, before and after
# --------------------------------------
# All held-out digits together, each predicted once. They are sorted into bins by the probability of the
# predicted class, the confidence; a point shows how often that class was right. On the dashed diagonal a
# classifier is calibrated, below it is too sure, above it too timid. The bars are the gaps; where the band, a
# 95 % interval, reaches the diagonal, a gap may be chance. ECE is the mean gap, with its interval by the
# bootstrap. Scaled is with the temperature. At the bottom stands how many digits each bin has.

figure, grid = plt.subplots(2, 2, figsize=(8, 7.5), layout="constrained")
errors = {}
for axes, name in zip(grid.flat, classifiers, strict=True):
    for method, words in (("none", "as it is"), ("temperature", "scaled")):
        diagram = ReliabilityDisplay.from_predictions(
            study.y,
            study.probabilities[name, method],
            classes=study.classes,
            n_bins=5,
            n_resamples=200,
            name=words,
            ax=axes,
        )
        errors[name, method] = diagram.error
    axes.set_title(name)
figure.savefig(output / "calibration_study_reliability.png", dpi=100)

print("\ncalibration error of all held-out digits together")
print(pd.Series(errors).unstack()[["none", "temperature"]].loc[list(classifiers)].round(3).to_string())

# %%
# Where one number is not enough
# ------------------------------
# Of each classifier we can ask the same class by class: of all digits to which it gave 30 % for an eight,
# were 30 % an eight? Here is naive Bayes, before and after. The temperature moves all classes alike. What
# is wrong with one class alone, it cannot mend.

panels = None
for method, words in (("none", "as it is"), ("temperature", "scaled")):
    by_class = ReliabilityDisplay.from_predictions(
        study.y,
        study.probabilities["naive Bayes", method],
        kind="classwise",
        classes=study.classes,
        n_bins=5,
        name=words,
        ax=panels,
    )
    panels = by_class.ax_
    print(f"naive Bayes, {words}: class-wise calibration error {by_class.error:.3f}")
by_class.figure_.savefig(output / "calibration_study_classes.png", dpi=100)

# %%
# Was it right?
# -------------
# The digits that were kept for the end had no part in anything. Each classifier is fitted to all 600, with
# its temperature from `TemperatureScaling`. The picture shows the log loss of the new digits against the
# temperature: the hollow diamond at T = 1 is the classifier as it is, the disc the best that any temperature
# could have done, with its interval. The losses have a logarithmic scale.

panel = None
rows = {}
for name, classifier in classifiers.items():
    scaled = TemperatureScaling(classifier, cv=folds).fit(X, y)
    curve = TemperatureDisplay.from_estimator(scaled, X_new, y_new, name=name, ax=panel)
    panel = curve.ax_
    low, high = scaled.temperature_interval_
    rows[name] = {
        "T found": f"{scaled.temperature_:.2f} ({low:.2f} to {high:.2f})",
        "best T": f"{curve.fit.temperature:.2f}",
        "loss at T = 1": f"{curve.fit.log_loss_before:.3f}",
        "at T found": f"{log_loss(y_new, scaled.predict_proba(X_new)):.3f}",
        "at best T": f"{curve.fit.log_loss_after:.3f}",
    }
    print(f"{name} fitted")
curve.ax_.set_yscale("log")
curve.figure_.savefig(output / "calibration_study_temperature.png", dpi=100)
print("\nlog loss of the new digits, in nats")
print(pd.DataFrame(rows).T.to_string())
