"""calibration_study: nothing is learnt from a test part, and the table says what was measured."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from smreg import (
    SoftmaxRegression,
    SoftmaxRegressionCV,
    TemperatureScaling,
    calibration_study,
    log_softmax,
    softmax,
)
from smreg.calibration.measures import METRICS
from smreg.calibration.methods import NAMED
from smreg.calibration.study import _plan, _Progress
from smreg.data.targets import check_targets
from smreg.metrics import calibration_error, smooth_calibration_error
from tests.problems import labels, sample

NAMES = np.array(["a", "b", "c"])


@pytest.fixture
def data(rng):
    X, y = sample(rng, n=180, p=3)
    return X, NAMES[y]


def models():
    return {"bayes": GaussianNB(), "forest": RandomForestClassifier(5, random_state=0), "margins": SVC()}


class Traced(ClassifierMixin, BaseEstimator):
    """Its logits of a sample, whose X is its number, show which it is, and whether it was fitted to it."""

    def fit(self, X, y):
        """Remember the samples."""
        self.classes_, self.seen_ = np.unique(y), set(X[:, 0])
        return self

    def decision_function(self, X):
        """Number, whether seen, and the count of those seen."""
        seen = [float(number in self.seen_) for number in X[:, 0]]
        return np.column_stack([X[:, 0], seen, np.full(len(X), float(len(self.seen_)))])


class Recorder(ClassifierMixin, BaseEstimator):
    """A calibrator that keeps what it is given."""

    def fit(self, logits, y):
        """Keep it."""
        self.classes_, self.given_ = np.unique(y), (logits, np.asarray(y))
        return self

    def predict_proba(self, logits):
        """Keep it, and know nothing."""
        self.asked_ = logits
        return np.full(logits.shape, 1 / 3)


def trace(data, **options):
    y = data[1]
    numbers = np.arange(len(y), dtype=float)[:, np.newaxis]
    methods = {"recorder": Recorder()}
    study = calibration_study(
        {"traced": Traced()}, numbers, y, methods=methods, metrics=["accuracy"], **options
    )
    return study, study.calibrators["traced", "recorder"]


def rows_of(logits):
    return logits[:, 0].astype(int)


def test_a_calibrator_sees_the_training_part_out_of_fold_and_the_test_part_never(data):
    y = data[1]
    study, recorders = trace(data)
    for number, ((train, test), recorder) in enumerate(
        zip(StratifiedKFold(5).split(y, y), recorders, strict=True)
    ):
        logits, labels = recorder.given_

        assert_array_equal(np.sort(rows_of(logits)), train)
        assert_array_equal(labels, y[rows_of(logits)])
        assert not logits[:, 1].any()  # by a clone that had not seen the sample
        assert_array_equal(rows_of(recorder.asked_), test)
        assert not recorder.asked_[:, 1].any()
        assert (recorder.asked_[:, 2] == len(train)).all()  # by the classifier fitted to the training part
        assert_array_equal(study.rows[study.folds == number], test)
    assert_array_equal(study.y, y[study.rows])


@pytest.mark.parametrize("cv", [4, GroupKFold(4), LeaveOneGroupOut()], ids=str)
def test_groups_are_torn_neither_by_folds_nor_within_training_parts(data, cv):
    groups = np.arange(len(data[1])) % 9
    plan = _plan(*data, check_targets(data[1])[1], cv, groups)

    for fold, inner in plan:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        within = groups[fold.train]
        for part in inner:
            assert not set(within[part.train]) & set(within[part.test])


def test_a_splitter_divides_the_training_parts_too(data):
    """Of a series in time no clone sees the future of what it predicts: it saw less than the first of it."""
    _, recorders = trace(data, cv=TimeSeriesSplit(3))

    for recorder in recorders:
        logits = recorder.given_[0]
        assert (logits[:, 2] <= logits[:, 0]).all()
        assert not logits[:, 1].any()


@pytest.mark.parametrize("predefined", [False, True])
def test_folds_that_are_given_are_taken_and_training_parts_divided_into_five(data, predefined):
    X, y = data
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    where = np.zeros(len(y), dtype=int)
    for number, (_, test) in enumerate(folds):
        where[test] = number
    _, recorders = trace(data, cv=PredefinedSplit(where) if predefined else iter(folds))

    for (train, test), recorder in zip(folds, recorders, strict=True):
        sizes = {
            len(train) - len(part) for _, part in StratifiedKFold(5).split(np.zeros(len(train)), y[train])
        }
        assert_array_equal(np.sort(rows_of(recorder.given_[0])), train)
        assert_array_equal(rows_of(recorder.asked_), test)
        assert set(recorder.given_[0][:, 2]) == sizes


def test_the_table_has_the_measures_of_the_probabilities(data):
    X, y = data
    metrics = {name: name for name in METRICS}
    metrics["norm 2"] = lambda y, p, classes: calibration_error(y, p, norm=2, classes=classes)
    study = calibration_study(models(), X, y, cv=3, metrics=metrics)
    classes = {"labels": study.classes}
    theirs = {
        "log_loss": lambda y, p: log_loss(y, p, **classes),
        "brier_score": lambda y, p: brier_score_loss(y, p, **classes, scale_by_half=False),
        "calibration_error": lambda y, p: calibration_error(y, p, classes=study.classes),
        "classwise_calibration_error": lambda y, p: calibration_error(
            y, p, kind="classwise", classes=study.classes
        ),
        "smooth_calibration_error": lambda y, p: smooth_calibration_error(y, p, classes=study.classes),
        "accuracy": lambda y, p: accuracy_score(y, study.classes[p.argmax(axis=1)]),
        "norm 2": lambda y, p: calibration_error(y, p, norm=2, classes=study.classes),
    }

    assert list(study.table.columns) == ["estimator", "method", "fold", "metric", "value"]
    assert len(study.table) == 3 * 2 * 3 * 7
    assert not study.table.duplicated(["estimator", "method", "fold", "metric"]).any()
    for row in study.table.itertuples():
        fold = study.folds == row.fold
        p = study.probabilities[row.estimator, row.method][fold]
        # some 60 logarithms are summed in another order
        assert_allclose(row.value, theirs[row.metric](study.y[fold], p), rtol=1e-12)


def test_none_is_what_the_classifier_predicts_itself(data):
    X, y = data
    study = calibration_study(models(), X, y, cv=3, methods=["none"])
    for train, test in StratifiedKFold(3).split(X, y):
        place = np.isin(study.rows, test)
        for name, model in models().items():
            model.fit(X[train], y[train])
            own = (
                softmax(model.decision_function(X[test]))
                if name == "margins"
                else model.predict_proba(X[test])
            )
            assert_array_equal(study.probabilities[name, "none"][place], own)


@pytest.mark.parametrize("name", list(models()))
def test_temperature_is_temperature_scaling_of_the_training_part(data, name):
    X, y = data
    fold = next(StratifiedKFold(3).split(X, y))
    study = calibration_study({name: models()[name]}, X, y, cv=[fold])
    model = TemperatureScaling(models()[name], cv=5).fit(X[fold[0]], y[fold[0]])

    assert study.calibrators[name, "temperature"][0].temperature_fit_ == model.temperature_fit_
    assert_array_equal(study.probabilities[name, "temperature"], model.predict_proba(X[fold[1]]))


def test_a_frozen_classifier_is_calibrated_with_all_of_the_training_part(data):
    X, y = data
    fold = next(StratifiedKFold(3).split(X, y))
    frozen = FrozenEstimator(GaussianNB().fit(X, y))
    study = calibration_study({"frozen": frozen}, X, y, cv=[fold])
    model = TemperatureScaling(frozen).fit(X[fold[0]], y[fold[0]])

    assert study.calibrators["frozen", "temperature"][0].temperature_fit_ == model.temperature_fit_


def test_the_summary_has_means_and_paired_differences_with_the_corrected_interval(data):
    X, y = data
    pair = {"bayes": GaussianNB(), "margins": SVC()}
    study = calibration_study(pair, X, y, cv=ShuffleSplit(6, test_size=60, random_state=0))
    key = ["estimator", "method", "metric"]
    folds = study.table.set_index([*key, "fold"])["value"].unstack("fold")
    none = folds.xs("none", level="method")
    summary = study.summary.set_index(key)

    assert list(summary.index) == list(
        study.table.drop_duplicates(key)[key].itertuples(index=False, name=None)
    )
    for index, values in folds.iterrows():
        row, paired = summary.loc[index], values - none.loc[index[0], index[2]]
        half = stats.t(5).ppf(0.975) * paired.std() * np.sqrt(1 / 6 + 60 / 120)
        # values of at most 10, to rounding
        assert_allclose(row["mean"], values.mean(), atol=1e-14)
        assert_allclose(row["standard_error"], values.sem(), atol=1e-14)
        assert_allclose(row["difference"], paired.mean(), atol=1e-14)
        assert_allclose(row["difference_low"], paired.mean() - half, atol=1e-14)
        assert_allclose(row["difference_high"], paired.mean() + half, atol=1e-14)


@pytest.mark.parametrize("names", [[0, 1, 2], [1, 2, 3], [0, 10, 20], ["a", "b", "c"]])
def test_a_class_that_no_calibrator_would_see_is_named_whatever_its_label(names, rng):
    """Six samples of it, of which no clone's test part has one: random splits are not stratified."""
    X, y = rng.normal(size=(106, 2)), np.array(names)[np.r_[np.arange(100) % 2, np.full(6, 2)]]
    cv = ShuffleSplit(1, test_size=0.12, random_state=1)

    with pytest.raises(ValueError, match=rf"see in fold 0 have none of the classes \[{names[2]!r}\]"):
        calibration_study({"bayes": GaussianNB()}, X, y, cv=cv, methods=["temperature"])


def test_one_fold_has_no_interval(data):
    X, y = data
    fold = next(StratifiedKFold(3).split(X, y))
    summary = calibration_study({"bayes": GaussianNB()}, X, y, cv=[fold]).summary

    assert summary[["standard_error", "difference_low", "difference_high"]].isna().all(axis=None)
    assert summary[["mean", "difference"]].notna().all(axis=None)


def test_the_number_of_processes_changes_no_bit(data):
    X, y = data
    random = {
        "forest": RandomForestClassifier(5, random_state=np.random.RandomState(0)),
        "bayes": GaussianNB(),
    }
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    one, two = (calibration_study(random, X, y, cv=cv, n_jobs=n) for n in (1, 2))

    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    pd.testing.assert_frame_equal(one.summary, two.summary, check_exact=True)
    for pair, p in one.probabilities.items():
        assert_array_equal(p, two.probabilities[pair])


def test_the_temperature_mends_what_is_too_sure_and_changes_no_accuracy(data):
    X, y = data
    copies = np.tile(X, 8)  # naive Bayes takes each for news
    study = calibration_study({"bayes": GaussianNB()}, copies, y, cv=10)
    summary = study.summary.set_index(["method", "metric"])

    assert summary.loc[("temperature", "log_loss"), "difference_high"] < 0
    assert summary.loc[("temperature", "accuracy"), "difference"] == 0


@pytest.mark.parametrize(
    ("name", "pipeline"),
    [
        ("matrix", SoftmaxRegressionCV()),
        ("dirichlet", make_pipeline(FunctionTransformer(log_softmax), SoftmaxRegressionCV())),
    ],
)
def test_matrix_scaling_and_dirichlet_calibration_are_softmax_regressions(data, name, pipeline):
    X, y = data
    study = calibration_study({"bayes": GaussianNB()}, X, y, cv=2, methods={"named": name, "own": pipeline})

    assert_array_equal(study.probabilities["bayes", "named"], study.probabilities["bayes", "own"])


@pytest.mark.parametrize("name", ["temperature", "dirichlet"])
def test_a_constant_added_to_the_logits_of_a_sample_changes_nothing(rng, name):
    """Constants and logits are multiples of 1/8, so that the sums are exact."""
    logits, constants = rng.integers(-32, 33, size=(180, 3)) / 8, rng.integers(-32, 33, size=(180, 1)) / 8
    y = labels(logits, rng)
    calibrator = NAMED[name]()
    p = calibrator.fit(logits, y).predict_proba(logits)

    # sums of gaps, or of log-probabilities, are those of equal numbers
    assert_allclose(calibrator.fit(logits + constants, y).predict_proba(logits + constants), p, atol=1e-12)


def test_a_kernel_is_divided_by_rows_and_columns(data):
    X, y = data
    kernel = calibration_study({"svc": SVC(kernel="precomputed")}, X @ X.T, y, cv=2)
    linear = calibration_study({"svc": SVC(kernel="linear")}, X, y, cv=2)

    assert_allclose(kernel.table["value"], linear.table["value"], atol=1e-2)  # SVC stops at 1e-3


def test_two_classes_have_two_columns_of_logits(data):
    X, y = data
    y = np.where(y == "a", "yes", "no")
    study = calibration_study({"margins": SVC()}, X, y, cv=2, methods=list(NAMED))

    for method in ("none", *NAMED):
        p = study.probabilities["margins", method]
        assert p.shape == (180, 2)
        assert_allclose(p.sum(axis=1), 1, atol=1e-15)


def test_soft_targets_of_zeros_and_ones_are_labels(data):
    X, y = data
    soft = pd.DataFrame(np.eye(3)[np.searchsorted(NAMES, y)], columns=NAMES)
    model = {"softmax": SoftmaxRegression()}
    cv = KFold(3)
    metrics = ["log_loss", "brier_score", "calibration_error", "accuracy"]
    methods = {"temperature": "temperature", "matrix": SoftmaxRegression()}
    one, other = (calibration_study(model, X, t, cv=cv, methods=methods, metrics=metrics) for t in (y, soft))

    assert_allclose(other.table["value"], one.table["value"], atol=1e-6)  # fits end within tol of each other
    assert_array_equal(other.classes, one.classes)


def test_a_short_study_is_silent(data, capsys):
    calibration_study({"bayes": GaussianNB()}, *data, cv=2)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [True, False])
def test_a_study_that_lasts_longer_than_patience_prints_its_progress(verbose, capsys):
    progress = _Progress(total=2, n_folds=2, verbose=verbose, patience=0.0)
    for number in range(2):
        progress.update("bayes", number)

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" done")[0] for line in lines] == ["1/2", "2/2"] * verbose
    assert all(line.endswith(f"bayes, fold {i + 1} of 2") for i, line in enumerate(lines))


class Narrow(Recorder):
    """It forgets a class."""

    def predict_proba(self, logits):
        """Two columns of three."""
        return super().predict_proba(logits)[:, 1:]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"estimators": GaussianNB()}, TypeError, "estimators must be a dict"),
        ({"estimators": {}}, TypeError, "estimators must be a dict of at least one"),
        ({"estimators": {"scaler": FunctionTransformer()}}, TypeError, "estimators must have fit .*'scaler'"),
        ({"methods": "none"}, TypeError, "methods must be a sequence"),
        ({"methods": ["isotonic"]}, ValueError, "methods must be among .*'isotonic'"),
        ({"methods": {"none": "matrix"}}, ValueError, "'matrix' as 'none'"),
        ({"methods": {"raw": "none"}}, ValueError, "'none' as 'raw'"),
        ({"methods": {"mine": 3}}, TypeError, "calibrator 'mine' of methods must have fit"),
        ({"methods": {"mine": Narrow()}}, ValueError, r"calibrator 'mine' must have .*3 classes.*\(60, 2\)"),
        ({"metrics": "log_loss"}, TypeError, "metrics must be a sequence"),
        ({"metrics": ["auc"]}, ValueError, "metrics must be among .*'auc'"),
        ({"metrics": []}, ValueError, "metrics must have at least one"),
        ({"cv": 1}, ValueError, "n_splits=1"),
        ({"cv": []}, ValueError, "cv must have at least one fold"),
        ({"cv": "prefit"}, ValueError, r"cv must be .* got 'prefit'.* sklearn\.frozen\.FrozenEstimator"),
        (
            {"cv": 70},
            ValueError,
            "n_splits=70 needs a class of so many samples, but the largest, '[abc]', has",
        ),
        ({"cv": [(np.arange(0, 180, 2), [1, 2])], "y": ["a", "b"] * 90}, ValueError, "fold 0 .*'b'"),
        ({"groups": np.zeros(3)}, ValueError, "inconsistent numbers of samples"),
        ({"y": None}, ValueError, "y.*None"),
        ({"y": np.zeros(180)}, ValueError, "y must have at least 2 classes"),
    ],
    ids=lambda part: (
        " ".join(f"{key}={value}"[:30] for key, value in part.items()) if isinstance(part, dict) else ""
    ),
)
def test_bad_input_is_named(data, change, error, words):
    X, y = data
    arguments = {"estimators": {"bayes": GaussianNB()}, "X": X, "y": y, "cv": 3, **change}
    estimators = arguments.pop("estimators")

    with pytest.raises(error, match=words):
        calibration_study(estimators, arguments.pop("X"), arguments.pop("y"), **arguments)


def test_a_class_that_a_part_of_a_training_part_lacks_is_named_with_the_fold(data):
    X, _ = data
    number = np.arange(180)
    y = np.where((number >= 40) & (number < 80), "rare", np.where(number % 2, "odd", "even"))
    with pytest.raises(ValueError, match=r"Within the training part of fold 0: .*'rare'"):
        calibration_study({"bayes": GaussianNB()}, X, y, cv=KFold(3))


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_class_needs_three_samples_or_two_for_frozen_classifiers(data, n):
    """What is wrong is said with the class and the number of its samples, and with what helps."""
    X, y = data
    X, y = np.append(X, X[:n], axis=0), np.append(y, n * ["rare"])
    options = {"cv": StratifiedKFold(3), "metrics": ["log_loss"]}
    frozen = {"frozen": FrozenEstimator(GaussianNB().fit(X, y))}
    if n < 3:
        where = "Within the training part of fold 0: " if n == 2 else "^The training part of fold 0 "
        instead = "leave such a class out" + (", or .*FrozenEstimator" if n == 2 else r"\.$")
        with pytest.raises(ValueError, match=rf"{where}.*class 'rare' has 1 sample, .*{instead}"):
            calibration_study({"bayes": GaussianNB()}, X, y, **options)
    else:
        assert np.isfinite(calibration_study({"bayes": GaussianNB()}, X, y, **options).table["value"]).all()
    if n == 1:
        with pytest.raises(ValueError, match=r"class 'rare' has 1 sample, .*leave such a class out\."):
            calibration_study(frozen, X, y, **options)
    else:
        assert np.isfinite(calibration_study(frozen, X, y, **options).table["value"]).all()
