"""TemperatureScaling: one temperature for the logits of any classifier, whatever its labels are called."""

import pickle
from inspect import Parameter, signature

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from smreg import SoftmaxRegression, TemperatureScaling, fit_temperature, softmax
from tests.problems import sample

NEWTON = 1e-6  # fit_temperature ends within 1e-8 of 1/T relatively, and scikit-learn's search within 1e-6


@pytest.fixture
def data(rng):
    """Three classes that overlap; dependent features, so that naive Bayes is too sure."""
    X, y = sample(rng, n=240, p=3)
    return np.column_stack([X, X + 0.1 * rng.normal(size=X.shape)]), y


@parametrize_with_checks(
    [
        TemperatureScaling(SoftmaxRegression(), cv=2),
        TemperatureScaling(DecisionTreeClassifier(max_depth=3, random_state=0), cv=3),
    ]
)
@pytest.mark.filterwarnings(
    "ignore:.*likelihood has its maximum at T"
)  # the checks' labels are noise, or easy
def test_scikit_learn_s_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("classifier", "method"),
    [
        (LogisticRegression(), "decision_function"),
        (SVC(), "decision_function"),
        (GaussianNB(), "predict_log_proba"),
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_the_temperature_is_that_of_the_logits_out_of_fold(data, classifier, method):
    X, y = data
    logits = cross_val_predict(classifier, X, y, method=method)
    model = TemperatureScaling(classifier).fit(X, y)
    whole = clone(classifier).fit(X, y)

    # the folds' logits stand in another order here, so that sums are rounded otherwise
    expected = fit_temperature(logits, y)
    assert_allclose(model.temperature_, expected.temperature, rtol=1e-9)
    assert_allclose(model.temperature_interval_, expected.confidence_interval, rtol=1e-9)
    assert_array_equal(model.predict_proba(X), softmax(getattr(whole, method)(X), model.temperature_))
    assert_array_equal(model.decision_function(X), getattr(whole, method)(X))


def test_a_frozen_classifier_is_taken_as_it_is_and_all_data_are_for_the_temperature(data):
    X, y = data
    fitted = GaussianNB().fit(X[:100], y[:100])
    model = TemperatureScaling(FrozenEstimator(fitted)).fit(X[100:], y[100:])

    assert model.temperature_fit_ == fit_temperature(fitted.predict_log_proba(X[100:]), y[100:])
    assert model.estimator_.estimator is fitted


@pytest.mark.parametrize(
    "classifier",
    [GaussianNB(), RandomForestClassifier(10, random_state=0), LogisticRegression(), LinearSVC()],
)
def test_the_temperature_changes_no_prediction(data, classifier):
    X, y = data
    model = TemperatureScaling(classifier, cv=2).fit(X, y)

    assert_array_equal(model.predict(X), clone(classifier).fit(X, y).predict(X))
    assert_array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])


@pytest.mark.parametrize(
    "names",
    [["b", "c", "d"], [1, 2, 3], [0, 10, 20], [-1.0, 0.0, 1.0], np.array(["x", "y", "z"], dtype=object)],
    ids=str,
)
def test_other_names_for_the_classes_change_nothing(data, names):
    X, y = data
    ours = TemperatureScaling(GaussianNB()).fit(X, y)
    renamed = TemperatureScaling(GaussianNB()).fit(X, np.array(names)[y])

    assert renamed.temperature_fit_ == ours.temperature_fit_
    assert_array_equal(renamed.predict_proba(X), ours.predict_proba(X))
    assert_array_equal(renamed.predict(X), np.array(names)[ours.predict(X)])


@pytest.mark.parametrize("names", [[False, True], ["no", "yes"], [1, 2], [-1, 1]], ids=str)
def test_so_it_is_for_two_classes(data, names):
    X, y = data
    y = (y > 0).astype(int)
    ours = TemperatureScaling(SoftmaxRegression()).fit(X, y)
    renamed = TemperatureScaling(SoftmaxRegression()).fit(X, np.array(names)[y])

    assert renamed.temperature_fit_ == ours.temperature_fit_
    assert_array_equal(renamed.predict_proba(X), ours.predict_proba(X))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("classifier", [GaussianNB(), SVC(), SoftmaxRegression(tol=1e-10)])
def test_another_order_of_the_classes_changes_their_columns_alone(data, classifier, n_classes):
    X, y = data
    y = np.minimum(y, n_classes - 1)
    order = np.roll(np.arange(n_classes), 1)
    ours = TemperatureScaling(classifier).fit(X, y)
    permuted = TemperatureScaling(classifier).fit(X, order[y])

    # solvers of SVC (tolerance 1e-3) and of others round in another order
    assert_allclose(
        permuted.temperature_, ours.temperature_, rtol=1e-2 if isinstance(classifier, SVC) else 1e-8
    )
    if not isinstance(classifier, SVC):
        assert_allclose(permuted.predict_proba(X)[:, order], ours.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("frozen", [False, True])
def test_scikit_learn_finds_the_same_inverse_temperature_and_half_of_it_for_two_classes(
    data, frozen, n_classes
):
    X, y = data
    y = np.minimum(y, n_classes - 1)
    classifier = LogisticRegression()
    if frozen:
        classifier = FrozenEstimator(classifier.fit(X[::2], y[::2]))
    ours = TemperatureScaling(classifier).fit(X, y)
    theirs = CalibratedClassifierCV(classifier, method="temperature", ensemble=False).fit(X, y)
    beta = theirs.calibrated_classifiers_[0].calibrators[0].beta_

    assert_allclose(1 / ours.temperature_, beta * (2 if n_classes == 2 else 1), rtol=NEWTON)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=10 * NEWTON)


def test_softmax_regression_with_this_temperature_is_the_same_model(data):
    X, y = data
    scaled = TemperatureScaling(SoftmaxRegression(C=10.0)).fit(X, y)
    model = SoftmaxRegression(C=10.0, temperature=scaled.temperature_).fit(X, y)

    assert_array_equal(scaled.predict_proba(X), model.predict_proba(X))
    assert_array_equal(scaled.predict_log_proba(X), model.predict_log_proba(X))
    assert_array_equal(scaled.decision_function(X), model.decision_function(X))


@pytest.mark.parametrize(
    "inner", [SoftmaxRegression(temperature=7.0), TemperatureScaling(SoftmaxRegression())]
)
def test_logits_are_those_before_a_temperature_that_the_classifier_has_of_its_own(data, inner):
    X, y = data
    folds = list(StratifiedKFold(3).split(X, y))

    assert_allclose(
        TemperatureScaling(inner, cv=folds).fit(X, y).temperature_,
        TemperatureScaling(SoftmaxRegression(), cv=folds).fit(X, y).temperature_,
        rtol=0,
    )


def test_the_logits_of_a_forest_are_log_probabilities_with_a_thousandth_for_zero(data):
    X, y = data
    forest = RandomForestClassifier(10, random_state=0).fit(X[::2], y[::2])
    model = TemperatureScaling(FrozenEstimator(forest)).fit(X[1::2], y[1::2])
    p = forest.predict_proba(X)

    assert (p == 0).any()
    assert_array_equal(model.decision_function(X), np.log(np.where(p == 0, 1e-3, p)))
    assert model.log_floor_ == np.log(1e-3)
    assert (model.predict_proba(X) > 0).all()
    assert np.isfinite(model.predict_log_proba(X)).all()


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are its X."""

    def fit(self, X, y):
        """Keep the labels."""
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        """X itself."""
        return X


def test_where_smaller_probabilities_than_a_thousandth_were_predicted_zero_is_the_smallest():
    """Underflow comes of a larger difference of logits than any that does not: the order stays."""
    p = np.array([[0.5, 0.5], [1 - 1e-9, 1e-9], [1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    y = np.array([0, 0, 0, 1, 0])
    model = TemperatureScaling(FrozenEstimator(Given().fit(p, y))).fit(p, y)

    assert_allclose(model.log_floor_, np.log(1e-9), rtol=1e-15)
    assert_allclose(model.decision_function(p)[:4], [0, np.log(1e-9), np.log(1e-9), -np.log(1e-9)], atol=1e-8)


def test_what_has_no_weight_does_not_set_the_floor():
    p = np.array([[0.75, 0.25], [1 - 1e-9, 1e-9], [0.0, 1.0], [0.5, 0.5], [0.25, 0.75]])
    y = [0, 1, 1, 0, 0]
    frozen = FrozenEstimator(Given().fit(p, y))
    model = TemperatureScaling(frozen).fit(p, y, sample_weight=[1.0, 0.0, 1.0, 1.0, 1.0])

    assert model.log_floor_ == np.log(1e-3)


def test_neighbours_have_their_probabilities_alone(data):
    X, y = data
    model = TemperatureScaling(KNeighborsClassifier(7)).fit(X, y)
    p = KNeighborsClassifier(7).fit(X, y).predict_proba(X)

    assert_array_equal(model.decision_function(X), np.log(np.where(p == 0, 1e-3, p)))


class Pairs(GaussianNB):
    """Naive Bayes with a decision function for each of the three pairs, as SVC has."""

    def __init__(self, decision_function_shape="ovo"):
        super().__init__()
        self.decision_function_shape = decision_function_shape

    def decision_function(self, X):
        """Differences between classes: the first against the second, and so on."""
        joint = self.predict_joint_log_proba(X)
        return joint[:, [0, 0, 1]] - joint[:, [1, 2, 2]]


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline, lambda m: GridSearchCV(m, {}, cv=2)])
def test_three_columns_for_the_three_pairs_of_classes_are_no_logits(data, wrap):
    X, y = data

    assert (
        TemperatureScaling(wrap(Pairs())).fit(X, y).temperature_
        == TemperatureScaling(GaussianNB()).fit(X, y).temperature_
    )


def test_a_classifier_without_other_outputs_is_an_error(data):
    with pytest.raises(ValueError, match=r"estimator must have .* column .*SVC.*decision_function_shape="):
        TemperatureScaling(SVC(decision_function_shape="ovo")).fit(*data)


def test_for_two_classes_there_is_one_pair(data):
    X, y = data
    shapes = [SVC(decision_function_shape=shape) for shape in ("ovo", "ovr")]

    one, other = (TemperatureScaling(shape).fit(X, y > 0).temperature_fit_ for shape in shapes)
    assert one == other


def test_an_integer_weight_is_so_many_equal_samples(data, rng):
    X, y = data
    weights = rng.integers(0, 4, len(y))
    frozen = FrozenEstimator(GaussianNB().fit(X[::2], y[::2]))
    weighted = TemperatureScaling(frozen).fit(X, y, sample_weight=weights).temperature_fit_
    repeated = TemperatureScaling(frozen).fit(X.repeat(weights, axis=0), y.repeat(weights)).temperature_fit_

    # sums of 240 and of some 360 terms, rounded otherwise
    assert_allclose(weighted.temperature, repeated.temperature, rtol=1e-9)
    assert_allclose(weighted.standard_error, repeated.standard_error, rtol=1e-9)


def test_weights_go_to_all_fits(data, rng):
    X, y = data
    weights, names = rng.uniform(1, 2, size=len(y)), np.array(["a", "b", "c"])
    folds = list(StratifiedKFold(3).split(X, y))
    model = TemperatureScaling(LogisticRegression(), cv=folds).fit(X, names[y], sample_weight=weights)
    logits = np.empty((len(y), 3))
    for train, test in folds:
        part = LogisticRegression().fit(X[train], y[train], weights[train])
        logits[test] = part.decision_function(X[test])
    expected = fit_temperature(logits, y, sample_weight=weights)
    whole = LogisticRegression().fit(X, y, weights)

    assert_allclose(model.temperature_, expected.temperature, rtol=1e-9)  # sums in another order
    assert_array_equal(model.decision_function(X), whole.decision_function(X))


@pytest.mark.parametrize(
    "cv",
    [3, RepeatedKFold(n_splits=3, n_repeats=4, random_state=0), ShuffleSplit(3, random_state=0)],
)
def test_weights_that_count_samples_are_shared_out_in_silence(data, rng, cv):
    """Warnings are errors: of a sample that is in several test parts each counts for a part of it."""
    X, y = data
    for weights in (None, np.ones(len(y)), np.bincount(rng.integers(0, len(y), len(y)), minlength=len(y))):
        TemperatureScaling(GaussianNB(), cv=cv).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("frozen", [False, True])
def test_an_interval_by_weights_that_count_no_samples_is_warned_of_once(data, frozen):
    X, y = data
    model = FrozenEstimator(GaussianNB().fit(X, y)) if frozen else GaussianNB()
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    with pytest.warns(UserWarning, match=f"sample_weight sums to 1 over {len(y)} samples") as caught:
        TemperatureScaling(model, cv=cv).fit(X, y, sample_weight=np.full(len(y), 1 / len(y)))
    assert len(caught) == 1


def test_one_weight_for_all_changes_no_temperature(data):
    X, y = data
    plain, weighted = (TemperatureScaling(GaussianNB()).fit(X, y, sample_weight=s) for s in (None, 4.0))

    assert_allclose(weighted.temperature_, plain.temperature_, rtol=1e-9)  # means of 4 times as much
    assert_allclose(
        weighted.temperature_fit_.standard_error, plain.temperature_fit_.standard_error / 2, rtol=1e-9
    )


def test_a_sample_in_several_test_parts_counts_once(data):
    X, y = data
    folds = list(StratifiedKFold(4).split(X, y))
    once = TemperatureScaling(GaussianNB(), cv=folds).fit(X, y).temperature_fit_
    thrice = TemperatureScaling(GaussianNB(), cv=3 * folds).fit(X, y).temperature_fit_

    # weights of 1/3 are rounded
    assert_allclose(thrice.temperature, once.temperature, rtol=1e-9)
    assert_allclose(thrice.standard_error, once.standard_error, rtol=1e-9)


def test_soft_targets_of_zeros_and_ones_are_labels(data):
    X, y = data
    cv = KFold(4)
    names = np.array(["b", "a", "c"])
    hard = TemperatureScaling(SoftmaxRegression(), cv=cv).fit(X, names[y])
    soft = TemperatureScaling(SoftmaxRegression(), cv=cv).fit(X, pd.DataFrame(np.eye(3)[y], columns=names))

    assert_array_equal(soft.classes_, hard.classes_)
    assert_allclose(soft.temperature_, hard.temperature_, rtol=NEWTON)
    assert_allclose(soft.predict_proba(X), hard.predict_proba(X), atol=NEWTON)


def test_the_number_of_processes_changes_no_bit(data):
    X, y = data
    forest = RandomForestClassifier(5, random_state=np.random.RandomState(0))
    one, two = (TemperatureScaling(clone(forest), n_jobs=n).fit(X, y) for n in (1, 2))

    assert one.temperature_fit_ == two.temperature_fit_
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_a_kernel_is_divided_by_rows_and_columns(data):
    X, y = data
    linear = TemperatureScaling(SVC(kernel="linear")).fit(X, y)
    kernel = TemperatureScaling(SVC(kernel="precomputed")).fit(X @ X.T, y)

    assert_allclose(kernel.temperature_, linear.temperature_, rtol=1e-2)  # SVC stops at 1e-3
    assert_array_equal(kernel.predict(X @ X.T), linear.predict(X))


def test_documents_go_through_a_pipeline():
    words = ["cat purr", "dog bark", "cat bark", "dog purr bark", "purr purr", "bark bark", "bark"] * 5
    y = ["cat", "dog", "cat", "dog", "cat", "dog", "cat"] * 5
    model = TemperatureScaling(make_pipeline(CountVectorizer(), MultinomialNB()), cv=3).fit(words, y)

    assert_array_equal(model.predict(["purr", "bark"]), ["cat", "dog"])
    assert not hasattr(model, "n_features_in_")


def test_names_of_features_are_the_classifier_s(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = TemperatureScaling(make_pipeline(StandardScaler(), GaussianNB())).fit(frame, y)

    assert_array_equal(model.feature_names_in_, list("abcdef"))
    assert model.n_features_in_ == 6
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_it_can_be_searched_cloned_and_pickled(data):
    X, y = data
    grid = {"estimator__var_smoothing": [1e-9, 0.1]}
    search = GridSearchCV(TemperatureScaling(GaussianNB()), grid, scoring="neg_log_loss", cv=2).fit(X, y)
    best = search.best_estimator_

    assert best.estimator.var_smoothing == search.best_params_["estimator__var_smoothing"]
    assert_array_equal(pickle.loads(pickle.dumps(best)).predict_proba(X), best.predict_proba(X))
    assert_array_equal(clone(best).fit(X, y).predict_proba(X), best.predict_proba(X))


def test_groups_go_to_the_splitter(data):
    X, y = data
    groups = np.arange(len(y)) % 5
    model = TemperatureScaling(GaussianNB(), cv=GroupKFold(5)).fit(X, y, groups=groups)
    given = list(GroupKFold(5).split(X, y, groups))

    assert model.temperature_fit_ == TemperatureScaling(GaussianNB(), cv=given).fit(X, y).temperature_fit_


def test_metadata_routing_gives_each_what_it_asks_for(data, rng):
    X, y = data
    groups, weights = np.arange(len(y)) % 5, rng.uniform(1, 2, size=len(y))
    given = list(GroupKFold(5).split(X, y, groups))
    plain = TemperatureScaling(LogisticRegression(), cv=given).fit(X, y, sample_weight=weights)
    with config_context(enable_metadata_routing=True):
        classifier = make_pipeline(
            StandardScaler(with_mean=False, with_std=False).set_fit_request(sample_weight=False),
            LogisticRegression().set_fit_request(sample_weight=True),
        )
        model = TemperatureScaling(classifier, cv=GroupKFold(5)).set_fit_request(sample_weight=True)
        model.fit(X, y, sample_weight=weights, groups=groups)
        assert model.temperature_fit_ == plain.temperature_fit_

        classifier = SoftmaxRegression().set_fit_request(sample_weight=True)
        default = TemperatureScaling(classifier).set_fit_request(sample_weight=True)
        default.set_score_request(sample_weight=False)
        result = cross_validate(default, X, y, params={"sample_weight": weights}, return_estimator=True, cv=2)
        assert all(each.temperature_ > 0 for each in result["estimator"])


def test_a_classifier_that_takes_no_weights_is_named(data):
    X, y = data
    with pytest.warns(UserWarning, match="KNeighborsClassifier takes no sample_weight"):
        TemperatureScaling(KNeighborsClassifier()).fit(X, y, sample_weight=np.ones(len(y)))


def test_a_fold_whose_training_part_lacks_a_class_is_named_with_the_class(data):
    X, y = data
    names = np.array(["a", "b", "c"])[y]
    folds = [(np.flatnonzero(y != 1), np.flatnonzero(y == 1)), *StratifiedKFold(2).split(X, y)]

    with pytest.raises(ValueError, match=r"training part of fold 0 .*'b'"):
        TemperatureScaling(GaussianNB(), cv=folds).fit(X, names)


def test_so_is_a_class_without_weight_that_a_training_part_lacks(data):
    X, y = data
    y = np.append("d", np.array(["a", "b", "c"])[y[1:]])
    weights = np.append(0.0, np.ones(len(y) - 1))

    with pytest.raises(ValueError, match=r"training part of fold 0 has the classes \['a', 'b', 'c'\]"):
        TemperatureScaling(SoftmaxRegression(), cv=KFold(3)).fit(X, y, sample_weight=weights)


def test_a_failed_fit_leaves_everything_as_it_was(data):
    """Here the temperature fails, after the classifier."""
    X, y = data
    model = TemperatureScaling(GaussianNB()).fit(X, y)
    model.set_params(estimator=FrozenEstimator(GaussianNB().fit(X, y)))
    before = dict(vars(model))

    with pytest.raises(ValueError, match="not among the classes"):
        model.fit(X, y + 1)
    assert vars(model) == before


class Broken(GaussianNB):
    """Naive Bayes with a hole in its logits."""

    def decision_function(self, X):
        """All but one row of numbers."""
        scores = self.predict_log_proba(X)
        scores[3] = np.nan
        return scores


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"y": None}, ValueError, "y.*None"),
        ({"y": np.full(240, np.nan)}, ValueError, "y contains NaN"),
        ({"y": np.zeros(240)}, ValueError, "y must have at least 2 classes"),
        ({"y": np.arange(3)}, ValueError, "inconsistent numbers of samples"),
        ({"y": []}, ValueError, "y must have at least one sample"),
        ({"sample_weight": np.zeros(240)}, ValueError, "sample_weight must have a positive weight"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight must have one weight for each"),
        ({"estimator": StandardScaler()}, ValueError, "'estimator' parameter"),
        ({"estimator": Broken()}, ValueError, "decision_function of Broken.*must give numbers"),
        ({"estimator": FrozenEstimator(GaussianNB())}, NotFittedError, "not fitted"),
        ({"cv": "prefit"}, ValueError, r"'cv' parameter .*'prefit'.*FrozenEstimator\(classifier\)"),
        ({"estimator": None}, ValueError, r"'estimator' parameter.*NoneType.*logits, use fit_temperature"),
        ({"estimator": np.zeros((240, 3))}, TypeError, r"ndarray\. If these are logits, use fit_temperature"),
        ({"estimator": SoftmaxRegression}, TypeError, "'estimator' parameter"),
        ({"cv": 500}, ValueError, "n_splits=500"),
        ({"n_jobs": 1.5}, ValueError, "'n_jobs' parameter"),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_bad_input_is_named(data, change, error, words):
    X, y = data
    parameters = {"estimator": GaussianNB(), "cv": 2, "y": y, "sample_weight": None, **change}
    y, sample_weight = parameters.pop("y"), parameters.pop("sample_weight")

    with pytest.raises(error, match=words):
        TemperatureScaling(**parameters).fit(X, y, sample_weight=sample_weight)


def test_a_classifier_has_to_be_given():
    """Logits taken for features would be fitted by some default, without a word."""
    with pytest.raises(TypeError, match=r"needs an estimator.*If these are logits, use fit_temperature"):
        TemperatureScaling()
    with pytest.raises(TypeError, match=r"needs an estimator"):
        TemperatureScaling(cv=3)
    given = TemperatureScaling(estimator=GaussianNB(), cv=3)
    assert list(signature(TemperatureScaling).parameters) == ["estimator", "cv", "n_jobs"]
    assert signature(TemperatureScaling).parameters["estimator"].default is Parameter.empty
    assert repr(clone(pickle.loads(pickle.dumps(given)))) == repr(given)


def test_folds_of_one_s_own_may_leave_a_class_of_one_sample_where_it_is(data):
    X, y = data
    y = np.where(np.arange(len(y)) == 5, "rare", np.array(["a", "b", "c"])[y])
    folds = [(np.setdiff1d(np.arange(240), part), part) for part in np.array_split(np.arange(6, 240), 3)]
    model = TemperatureScaling(GaussianNB(var_smoothing=0.1), cv=folds).fit(X, y)

    assert "rare" in model.classes_


def test_labels_that_a_frozen_classifier_does_not_know_are_named(data):
    X, y = data
    frozen = FrozenEstimator(GaussianNB().fit(X, np.array(["a", "b", "c"])[y]))

    with pytest.raises(ValueError, match=r"\['d'\].*not among the classes \['a', 'b', 'c'\]"):
        TemperatureScaling(frozen).fit(X, np.array(["a", "b", "d"])[y])


def test_where_all_are_right_the_temperature_is_at_its_limit_and_says_so(rng):
    X = rng.normal(size=(60, 2)) + 20 * np.eye(3, 2)[np.arange(60) % 3]
    with pytest.warns(UserWarning, match="T -> 0"):
        model = TemperatureScaling(SoftmaxRegression(), cv=2).fit(X, np.arange(60) % 3)

    assert model.temperature_fit_.limit == "zero"
    assert model.temperature_ > 0


def test_a_class_of_one_sample_is_named_with_what_helps(rng):
    """scikit-learn warns that it is in one fold alone, and from that nothing can be fitted to."""
    y = np.append(np.arange(239) % 2, 2)
    with pytest.warns(UserWarning, match="least populated class"):  # noqa: SIM117
        with pytest.raises(ValueError, match=r"class 2 has 1 sample, .*FrozenEstimator"):
            TemperatureScaling(SoftmaxRegression()).fit(rng.normal(size=(240, 2)), y)
