"""Softmax regression on a table in raw units: fit, choose C, choose the temperature, look.

The table is the wine data (178 wines of three cultivars, 13 chemical measurements, from a hue near 1 to
a proline content near 1000 mg/L); nothing is scaled. Run it with

    python examples/quickstart.py [--output FOLDER]
"""

import argparse
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.callback import ScoringMonitor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from smreg import SoftmaxRegression, cross_entropy

HERE = Path(__file__).parent
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
BLUE, ORANGE = "#0072b2", "#d55e00"  # of Okabe and Ito's palette, which colour-blind readers can tell


def objective(model: SoftmaxRegression | LogisticRegression, X: np.ndarray, y: np.ndarray) -> float:
    """Return what both estimators minimise: the mean cross-entropy plus the ridge penalty."""
    penalty = np.sum(model.coef_**2) / (2 * model.C * len(y))
    one_hot = (y[:, np.newaxis] == model.classes_).astype(float)
    return float(cross_entropy(one_hot, model.decision_function(X)).mean() + penalty)


def compare(X: pd.DataFrame, y: pd.Series, X_test: pd.DataFrame, y_test: pd.Series) -> pd.DataFrame:
    """Fit both estimators at their defaults to the raw table, on one thread; warnings are printed."""
    rows = {}
    for model in (SoftmaxRegression(), LogisticRegression()):
        name, seconds = type(model).__name__, []
        with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
            warnings.simplefilter("always")
            for _ in range(5):
                start = perf_counter()
                model.fit(X, y)
                seconds.append(perf_counter() - start)
        for warning in caught[:1]:
            print(f"{name} warns -- {warning.category.__name__}: {warning.message}\n")
        # LogisticRegression tells its iterations, each of which takes an evaluation or more
        ours = isinstance(model, SoftmaxRegression)
        evaluations = str(model.solution_.evaluations) if ours else f">= {np.max(model.n_iter_)}"
        rows[name] = {
            "accuracy": f"{accuracy_score(y_test, model.predict(X_test)):.3f}",
            "log loss": f"{log_loss(y_test, model.predict_proba(X_test)):.4f}",
            "evaluations": evaluations,
            "seconds (median of 5)": f"{np.median(seconds):.4f}",
            "converged": "no" if caught else "yes",
        }
    return pd.DataFrame(rows).T


def choose(X: pd.DataFrame, y: pd.Series) -> tuple[SoftmaxRegression, pd.DataFrame]:
    """Choose C and then the temperature by the log loss on held-out folds."""
    grid = {"C": np.logspace(-3, 4, 8)}
    by_c = GridSearchCV(SoftmaxRegression(), grid, scoring="neg_log_loss", cv=FOLDS).fit(X, y)
    model = by_c.best_estimator_
    grid = {"temperature": np.geomspace(0.25, 4, 33)}
    by_t = GridSearchCV(model, grid, scoring="neg_log_loss", cv=FOLDS).fit(X, y)
    curve = pd.DataFrame(
        {
            "temperature": by_t.cv_results_["param_temperature"].astype(float),
            "log loss": -by_t.cv_results_["mean_test_score"],
        }
    )
    return by_t.best_estimator_, curve


def trace(X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Objective above its minimum after every step, in nats, of both estimators until they stop."""
    minimum = objective(SoftmaxRegression(tol=1e-10).fit(X, y), X, y)
    traces = {}
    for model in (SoftmaxRegression(), LogisticRegression(max_iter=10_000)):
        monitor = ScoringMonitor(scoring={"objective": objective})
        model.set_callbacks(monitor).fit(X, y)
        log = monitor.get_logs().data_as_pandas
        steps = log[log["parent_task_id_path"].map(len) > 0]  # without the row of the whole fit
        traces[type(model).__name__] = steps["objective"].to_numpy() - minimum
    return traces


def draw(traces: dict[str, np.ndarray], curve: pd.DataFrame, chosen: SoftmaxRegression, path: Path) -> None:
    """Save the two panels: how the fits converge, and how the temperature is chosen."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    labels = ("SoftmaxRegression", "LogisticRegression (lbfgs),\nmax_iter raised to 10000")
    for gap, colour, label in zip(traces.values(), (BLUE, ORANGE), labels, strict=True):
        left.loglog(np.arange(1, len(gap) + 1), gap, color=colour, lw=2, label=label)
        left.plot(len(gap), gap[-1], "o", color=colour)
    left.set(xlabel="iterations", ylabel="objective above its minimum (nats)", ylim=(1e-11, 3))
    left.set_title("One objective, raw units, until each solver stops", fontsize=10)
    left.legend(frameon=False, loc="lower right")
    right.semilogx(curve["temperature"], curve["log loss"], color=BLUE, lw=2)
    lowest = chosen.temperature, curve["log loss"].min()
    right.plot(*lowest, "o", color=ORANGE)
    right.axvline(1.0, color="0.7", lw=1, zorder=0)
    right.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    right.minorticks_off()
    right.set(xlabel="temperature T", ylabel="log loss on held-out folds (nats)")
    right.set_title(f"Temperature by cross-validation: T = {chosen.temperature:.2f}", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the quickstart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE / "output", help="where the picture goes")
    output = parser.parse_args(arguments).output
    output.mkdir(parents=True, exist_ok=True)

    table = pd.read_csv(HERE.parent / "datasets" / "wine.csv")
    X, y = table.drop(columns="cultivar"), table["cultivar"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    print(f"{len(X_train)} wines to fit, {len(X_test)} to test, {X.shape[1]} features in raw units\n")
    print(compare(X_train, y_train, X_test, y_test).to_string() + "\n")

    chosen, curve = choose(X_train, y_train)
    print(f"chosen on held-out folds: C = {chosen.C:.3g}, temperature = {chosen.temperature:.3g}")
    print("(a temperature near 1 changes little: C was chosen by the same log loss)")
    for T in (1.0, chosen.temperature):
        loss = log_loss(y_test, chosen.predict_proba(X_test, temperature=T))
        print(f"log loss on the test wines at temperature {T:.3g}: {loss:.4f}")

    print("\ncoefficients, in nats per unit of each feature:")
    coefficients = pd.DataFrame(chosen.coef_.T, X.columns, chosen.classes_)
    print(coefficients.to_string(float_format="{:.4f}".format))

    path = output / "quickstart.png"
    draw(trace(X_train.to_numpy(), y_train.to_numpy()), curve, chosen, path)
    print(f"\npicture: {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
