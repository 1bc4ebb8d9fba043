"""
In a pipeline
=============

A table as it comes: numbers and words, some of them missing. The way from there to probabilities, with the
strength of the penalty and the temperature chosen on held-out persons, and coefficients that can be read. Run
it with ``python examples/plot_pipeline.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from smreg import SoftmaxRegression
from smreg.plots import CoefficientDisplay

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="In a pipeline.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# The table
# ---------
# A part of the American National Election Study of 1996: what a person answered, and the party the person
# identifies with. The education and the expected vote are words here. This table has no gaps, and so
# we make some: a tenth of all answers, at random.

PARTIES = ["Democrat", "Independent", "Republican"]
NUMBERS = ["age", "income", "logpopul", "TVnews", "selfLR", "ClinLR", "DoleLR"]
WORDS = ["educ", "vote"]
table = pd.read_csv(HERE.parent / "datasets" / "anes96.csv")
answers = table[NUMBERS].astype(float)
answers["educ"] = pd.cut(table["educ"], [0, 3, 4, 7], labels=["school", "some college", "degree"]).astype(
    object
)
answers["vote"] = table["vote"].map({0: "Clinton", 1: "Dole"}).astype(object)
party = pd.cut(table["PID"], [-1, 1, 4, 6], labels=PARTIES).astype(str)
missing = np.random.default_rng(0).random(answers.shape) < 0.1
answers = answers.mask(missing)
X_train, X_test, y_train, y_test = train_test_split(answers, party, stratify=party, random_state=0)
print(
    f"{len(X_train)} persons to learn from, {len(X_test)} to test on, {missing.mean():.1%} of answers missing"
)
print(X_train.head(3).to_string(), "\n")

# %%
# The pipeline
# ------------
# Numbers that are missing are replaced by the median, and a column of zeros and ones tells where; then each
# column is divided by its standard deviation, so that the penalty holds all back alike. Each word becomes a
# column of zeros and ones, and "missing" is a word among them. What is learned of the table, medians and
# words, is learned from the training part alone, in each fold anew: that is what pipelines are for.

numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
words = make_pipeline(
    SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder(sparse_output=False)
)
columns = make_column_transformer((numbers, NUMBERS), (words, WORDS), verbose_feature_names_out=False)
model = make_pipeline(columns, SoftmaxRegression())

# %%
# C and temperature
# -----------------
# Both are parameters of the model, and a grid search can choose both. It must be asked for the log loss: the
# accuracy is the same at every temperature. The two have to do with one another. A strong penalty, a small C,
# holds the logits back, and the probabilities become too cautious; a temperature below one undoes a part of
# that. A penalty that is too weak may let the model be too sure, and then a temperature above one is the
# remedy. At the best C the best temperature is usually near one.

grid = {
    "softmaxregression__C": np.logspace(-3, 1, 5),
    "softmaxregression__temperature": np.geomspace(0.25, 2, 7).round(3),
}
folds = StratifiedKFold(5, shuffle=True, random_state=0)
search = GridSearchCV(model, grid, scoring="neg_log_loss", cv=folds).fit(X_train, y_train)
results = pd.DataFrame(search.cv_results_)
losses = -results.pivot(
    index="param_softmaxregression__C",
    columns="param_softmaxregression__temperature",
    values="mean_test_score",
)
losses.index, losses.columns = losses.index.rename("C"), losses.columns.rename("T")
print("log loss on held-out folds, in nats")
print(losses.round(4).to_string())
print("best temperature for each C:", losses.idxmin(axis=1).to_dict())
C, T = (search.best_params_[f"softmaxregression__{name}"] for name in ("C", "temperature"))
print(f"chosen: C = {C:g}, T = {T:g}\n")

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(losses)))
temperatures = losses.columns.to_numpy()
for strength, row, shade in zip(losses.index, losses.to_numpy(), shades, strict=True):
    axes.semilogx(temperatures, row, color=shade, lw=1.8, label=f"C = {strength:g}")
    axes.plot(temperatures[row.argmin()], row.min(), "o", color=shade, ms=5)
axes.axvline(1, color="0.25", lw=1, ls="--")
axes.set_xticks([0.25, 0.5, 1, 2], ["0.25", "0.5", "1", "2"])
axes.minorticks_off()
axes.set(xlabel="temperature T", ylabel="log loss on held-out folds (nats)")
axes.set_ylim(losses.min().min() - 0.02, 1.2)
axes.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside right center", frameon=False, fontsize=8)
figure.savefig(output / "pipeline_search.png", dpi=100)

# %%
# What was learned
# ----------------
# The coefficients by name. That of a number is in nats per standard deviation, that of a word in nats. They
# sum to zero over the classes: a feature speaks for some parties against others. That of a word is to be
# compared with those of the other words of the same question.

best = search.best_estimator_
names = best[:-1].get_feature_names_out()
coefficients = pd.DataFrame(best[-1].coef_.T, index=names, columns=best[-1].classes_)
print(coefficients.round(3).to_string(), "\n")

display = CoefficientDisplay.from_estimator(best, n_features=10)
display.figure_.savefig(output / "pipeline_coefficients.png", dpi=100)

# %%
# And on persons it has not seen
# ------------------------------
# The test persons had no part in any choice. Beside it is the guess from the frequencies of the parties.

guess = DummyClassifier(strategy="prior").fit(X_train, y_train)
for name, classifier in {"pipeline": best, "frequencies alone": guess}.items():
    loss = log_loss(y_test, classifier.predict_proba(X_test))
    print(f"{name}: log loss {loss:.3f} nats, accuracy {classifier.score(X_test, y_test):.3f}")
print(pd.DataFrame(best.predict_proba(X_test[:3]), X_test.index[:3], best.classes_).round(3).to_string())
