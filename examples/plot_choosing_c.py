"""
Choosing the strength of the penalty
====================================

A model with many coefficients fits the sample that it was given, and the accidents of that sample. The
penalty holds the coefficients back; C is the inverse of its strength. How strong should it be? Here
cross-validation answers, and pictures show what it saw.

The table is a part of the American National Election Study of 1996: from what a person answered we predict
the party identification, in classes from strong Democrat to strong Republican. Run it with
``python examples/plot_choosing_c.py [--output FOLDER]``.
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from smreg import SoftmaxRegression, SoftmaxRegressionCV, regularization_path
from smreg.plots import CoefficientPathDisplay, ScorePathDisplay

HERE = Path(__file__).parent
parser = argparse.ArgumentParser(description="Choosing the strength of the penalty.")
parser.add_argument("--output", type=Path, default=HERE / "output", help="where the pictures go")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# More questions than the sample can answer
# -----------------------------------------
# With the products of any two answers the coefficients become so many that few persons are left for each. The
# answers have different units: years of age, scales from left to right. As there is one penalty for all,
# each feature is divided by its standard deviation, so that all are held back alike.

PARTIES = [
    "0 strong Democrat",
    "1 weak Democrat",
    "2 leaning Democrat",
    "3 independent",
    "4 leaning Republican",
    "5 weak Republican",
    "6 strong Republican",
]
table = pd.read_csv(HERE.parent / "datasets" / "anes96.csv")
answers = table.drop(columns=["PID", "popul"])  # the population stays as its logarithm
party = table["PID"].map(dict(enumerate(PARTIES)))
X_train, X_test, y_train, y_test = train_test_split(answers, party, stratify=party, random_state=0)

expand = make_pipeline(
    StandardScaler(),
    PolynomialFeatures(2, interaction_only=True, include_bias=False),
    StandardScaler(),
).set_output(transform="pandas")
X_train, X_test = expand.fit_transform(X_train), expand.transform(X_test)
n_persons, n_features = X_train.shape
n_coefficients = n_features * len(PARTIES)
print(f"{n_persons} persons, {n_features} features and {len(PARTIES)} classes:")
print(f"{n_coefficients} coefficients, {n_persons / n_coefficients:.1f} persons for each\n")

# %%
# What held-out persons say
# -------------------------
# Each fold is held out once, and the model fitted to the others for every C. The score is the mean
# log-probability that it gives to the party of those held out: higher is better, and zero would be certainty.
#
# - On the left the penalty is so strong that the model knows little more than how frequent each party is.
# - On the right it is so weak that the model learns the accidents of its sample, and of what it has not seen
#   it is wrong and sure.
# - In between is the best C, the disc. But the score is uncertain: the band is one standard error to either
#   side. The rule of one standard error takes the strongest penalty whose score is not below the dotted
#   line, the diamond: the most cautious model that is about as good as the best. On a coarse grid both
#   may be one.

folds = StratifiedKFold(5, shuffle=True, random_state=0)
model = SoftmaxRegressionCV(Cs=60, cv=folds).fit(X_train, y_train)
scores = pd.DataFrame(model.scores_)
best, simplest = model.best_index_, model.one_standard_error_index_
print(scores.loc[[best, simplest]].assign(rule=["best", "one standard error"]).to_string(index=False))

curve = ScorePathDisplay.from_estimator(model)
curve.figure_.savefig(output / "choosing_c_scores.png", dpi=100)

# %%
# What the penalty holds back
# ---------------------------
# The same path, seen in the coefficients (their mean over the folds): a panel for each class, a line for each
# feature, in nats per standard deviation. Where a line is above zero, more of the feature means more of the
# class. From right to left the penalty draws all lines to zero. The dashed line is the chosen C, and named
# are the features with the largest coefficients there. Most grey lines grow only to the right of it, where
# the score falls.

panels = CoefficientPathDisplay.from_estimator(model)
panels.figure_.savefig(output / "choosing_c_coefficients.png", dpi=100)

# %%
# One class, and how many parameters the model has in effect
# ----------------------------------------------------------
# A coefficient that is held back is less than a parameter. The number of parameters in effect, the degrees of
# freedom of the whole model, is written above: the weaker the penalty, the more there are. Here the model is
# fitted to all training persons, and drawn for one class, where the names are those of the largest
# coefficients anywhere on the path.

path = regularization_path(X_train, y_train, Cs=model.Cs_)
panel = CoefficientPathDisplay.from_path(path, class_of_interest=PARTIES[-1])
panel.figure_.savefig(output / "choosing_c_one_class.png", dpi=100)

# %%
# Was it right?
# -------------
# The persons of the test set had no part in the choice. Compare the rules there with the weakest penalty, and
# with guessing from the frequencies of the parties. The loss on the training set falls all the way: it is no
# guide.

weakest = len(model.Cs_) - 1
rows = {}
for name, index in {"one standard error": simplest, "best": best, "weakest penalty": weakest}.items():
    C = model.Cs_[index]
    fitted = SoftmaxRegression(C=C).fit(X_train, y_train)
    rows[name] = {
        "C": f"{C:.3g}",
        "degrees of freedom": f"{path.degrees_of_freedom[index]:.1f}",
        "loss, training set": f"{log_loss(y_train, fitted.predict_proba(X_train)):.3f}",
        "loss, test set": f"{log_loss(y_test, fitted.predict_proba(X_test)):.3f}",
    }
guess = DummyClassifier(strategy="prior").fit(X_train, y_train)
rows["frequencies alone"] = {
    "loss, training set": f"{log_loss(y_train, guess.predict_proba(X_train)):.3f}",
    "loss, test set": f"{log_loss(y_test, guess.predict_proba(X_test)):.3f}",
}
print("\nlog loss in nats")
print(pd.DataFrame(rows).T.fillna("").to_string())
