"""
Soft targets: learning from votes
=================================

Several annotators look at the same sample and do not agree. Often the majority is taken for the truth and the
votes are thrown away. But the votes say how uncertain the answer is, and softmax regression can learn from
them as they are. Run it with ``python examples/plot_soft_targets.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from smreg import SoftmaxRegression, cross_entropy
from smreg.family import entropy
from smreg.plots import class_colours

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Soft targets: learning from votes.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# A truth that is known
# ---------------------
# To measure who comes closer to the truth we must know it, and so it is simulated, from a real table. In a
# part of the American National Election Study of 1996 persons answered questions, and said which party they
# identify with. A model with all products of two answers, fitted to what they said, is our truth: for each
# person a distribution over Democrat, Independent and Republican.
#
# Annotators read the answers of a person and name a party. Each names one drawn from the true distribution,
# but for a share of the cases, stated below, in which the annotator does not look and names any party.

CARELESS = 0.05
PARTIES = ["Democrat", "Independent", "Republican"]
table = pd.read_csv(HERE.parent / "datasets" / "anes96.csv")
answers = table.drop(columns=["PID", "popul"])  # the population stays as its logarithm
said = pd.cut(table["PID"], [-1, 1, 4, 6], labels=PARTIES).astype(str)
truth = make_pipeline(
    StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(), SoftmaxRegression(C=0.1)
)
q = truth.fit(answers, said).predict_proba(answers)
X_train, X_test, q_train, q_test = train_test_split(answers, q, test_size=0.5, random_state=0)
floor = entropy(q_test).mean()
print(
    f"{len(X_train)} persons to learn from, {len(X_test)} to test on; annotators careless in {CARELESS:.0%}"
)
print(f"mean entropy of the truth on the test persons: {floor:.4f} nats, which no prediction can beat\n")

# %%
# Votes or majority
# -----------------
# Both learners are the same softmax regression on the answers alone, without products. One learns from
# the shares of the votes, a distribution for each person: ``fit(X, shares)``. The other learns from the
# party with most votes; of equals the first in the alphabet.

rng = np.random.default_rng(0)


def votes(n_annotators: int) -> np.ndarray:
    """Votes for each party, of shape (n_persons, 3)."""
    named = (1 - CARELESS) * q_train + CARELESS / 3
    return np.asarray(rng.multinomial(n_annotators, named))


def learner() -> Pipeline:
    """A softmax regression on standardised answers."""
    return make_pipeline(StandardScaler(), SoftmaxRegression())


def by_votes(counted: np.ndarray) -> Pipeline:
    """Learn from the shares of the votes."""
    shares = pd.DataFrame(counted / counted.sum(axis=1, keepdims=True), columns=PARTIES)
    return learner().fit(X_train, shares)


def by_majority(counted: np.ndarray) -> Pipeline:
    """Learn from the party with most votes."""
    return learner().fit(X_train, np.array(PARTIES)[counted.argmax(axis=1)])


def excess(model: Pipeline) -> float:
    """Log loss against the true distribution of the test persons, less its minimum, in nats."""
    return float(cross_entropy(q_test, model.decision_function(X_test)).mean() - floor)


counted = votes(5)
print(
    pd.DataFrame(counted[:5], columns=PARTIES).assign(majority=np.array(PARTIES)[counted[:5].argmax(axis=1)])
)
print(f"\npersons on whom all 5 agree: {np.mean(counted.max(axis=1) == 5):.0%}\n")

# %%
# Learning from shares is no new method. It is the same as writing each person down once for every vote, with
# that vote as the label. Weighted with the number of votes, both have the same penalty, and the same
# coefficients:

scaled = StandardScaler().fit_transform(X_train)
soft = SoftmaxRegression(tol=1e-8).fit(scaled, counted / 5, sample_weight=np.full(len(scaled), 5.0))
rows, labels = np.nonzero(counted)
repeated = np.repeat(np.column_stack([rows, labels]), counted[rows, labels], axis=0)
hard = SoftmaxRegression(tol=1e-8).fit(scaled[repeated[:, 0]], repeated[:, 1])
print(
    f"{len(repeated)} votes one by one: coefficients differ by {np.abs(soft.coef_ - hard.coef_).max():.0e}\n"
)

# %%
# Who comes closer to the truth
# -----------------------------
# With one annotator both learn the same. With more, the votes come closer to the truth. The majority goes the
# other way: the more annotators, the more certain is the name of the larger party, also where that party
# is only a little ahead, and the learner takes that for certainty. It finds the most probable party
# about as often, but is too sure of it.

ANNOTATORS, REPEATS = [1, 3, 5, 9, 15, 31], 12
draws = []
for n_annotators in ANNOTATORS:
    for _ in range(REPEATS):
        counted = votes(n_annotators)
        for name, learn in (("votes", by_votes), ("majority", by_majority)):
            model = learn(counted)
            right = (model.predict_proba(X_test).argmax(axis=1) == q_test.argmax(axis=1)).mean()
            draws.append((n_annotators, name, excess(model), right))
results = pd.DataFrame(draws, columns=["annotators", "learner", "excess (nats)", "most probable party right"])
means = results.groupby(["annotators", "learner"]).mean().unstack()
print(means.round(4).to_string())

blue, orange, green = class_colours(PARTIES).values()
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, style, colour in (("votes", "o-", "0.1"), ("majority", "s--", "0.5")):
    groups = results[results["learner"] == name].groupby("annotators")["excess (nats)"]
    error = 2 * groups.std() / np.sqrt(REPEATS)
    axes.errorbar(ANNOTATORS, groups.mean(), error, fmt=style, color=colour, lw=1.8, ms=5, label=name)
axes.set_xscale("log")
axes.set_xticks(ANNOTATORS, [str(n) for n in ANNOTATORS])
axes.minorticks_off()
axes.set(xlabel="annotators for each person", ylabel="log loss above its minimum (nats)", ylim=(0, None))
axes.legend(frameon=False, fontsize=9, title=f"mean of {REPEATS} draws, 2 standard errors", title_fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "soft_targets_loss.png", dpi=100)

# %%
# Too sure
# --------
# The predicted probabilities against the true ones, for the last draw, of the most annotators. A point is a
# person and a party. The learner of the majority gives to probable parties more than their due, and to
# improbable ones less. The learner of the votes errs on the side of caution: it does not know the
# products of answers, its penalty holds it back, and it has learned what careless annotators do, too.

figure, panels = plt.subplots(1, 2, figsize=(6, 3.6), sharey=True, layout="constrained")
for panel, (name, learn) in zip(panels, (("votes", by_votes), ("majority", by_majority)), strict=True):
    predicted = learn(counted).predict_proba(X_test)
    panel.axline((0, 0), slope=1, color="0.25", lw=1, ls="--")
    for k, colour in enumerate((blue, orange, green)):
        panel.plot(q_test[:, k], predicted[:, k], ".", color=colour, ms=3, label=PARTIES[k])
    slope = np.polyfit(q_test.ravel() - 1 / 3, predicted.ravel() - 1 / 3, 1)[0]
    print(f"{name}: the predictions differ from a third {slope:.2f} times as far as the truth does")
    panel.set_title(f"learned from {name}", fontsize=10)
    panel.set(xlabel="true probability", aspect="equal", xlim=(0, 1), ylim=(0, 1))
panels[0].set_ylabel("predicted probability")
handles, labels = panels[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, markerscale=3, fontsize=8)
figure.savefig(output / "soft_targets_probabilities.png", dpi=100)
