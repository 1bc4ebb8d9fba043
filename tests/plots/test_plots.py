"""The displays, by what their artists hold: data, colours, labels, places; never by pixels of a picture."""

import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from smreg import RegularizationPath, SoftmaxRegressionCV, regularization_path
from smreg.plots import CoefficientPathDisplay, ScorePathDisplay, class_colours
from smreg.plots._style import FAINT, OKABE_ITO, colours, shorten

LONG = "a name that goes on and on, as those of columns in a survey sometimes do, up to number {}"


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def path(n_classes=3, n_features=4, n_Cs=5, classes=None, names=None):
    """A path of made-up numbers: the display draws what it is given."""
    rng = np.random.default_rng(0)
    rows = 1 if n_classes == 2 else n_classes
    return RegularizationPath(
        Cs=np.logspace(-2, 2, n_Cs),
        l1_ratio=0.0,
        coefs=rng.normal(size=(n_Cs, rows, n_features)).cumsum(axis=0),
        intercepts=np.zeros((n_Cs, rows)),
        objective=np.ones(n_Cs),
        evaluations=np.ones(n_Cs, dtype=int),
        degrees_of_freedom=np.linspace(2, rows * n_features, n_Cs),
        converged=np.ones(n_Cs, dtype=bool),
        classes=np.arange(n_classes) if classes is None else np.array(classes),
        feature_names=None if names is None else np.array(names, dtype=object),
    )


def searched(n_classes=3, n_Cs=5, last_C=100.0, **parameters):
    """A SoftmaxRegressionCV with 4 features, 3 folds and made-up scores."""
    model, rng = SoftmaxRegressionCV(**parameters), np.random.default_rng(0)
    n_l1_ratios, rows = len(model.l1_ratios), 1 if n_classes == 2 else n_classes
    model.classes_, model.n_features_in_ = np.arange(n_classes), 4
    model.Cs_, model.l1_ratios_ = np.logspace(-2, 2, n_Cs), np.array(model.l1_ratios)
    model.Cs_[-1] = last_C
    model.coefs_paths_ = rng.normal(size=(3, n_l1_ratios, n_Cs, rows, 4 + model.fit_intercept))
    l1_ratio, C = (grid.ravel() for grid in np.meshgrid(model.l1_ratios_, model.Cs_, indexing="ij"))
    model.folds = -rng.random((3, len(C)))
    model.scores_ = {
        "C": C,
        "l1_ratio": l1_ratio,
        "mean": model.folds.mean(axis=0),
        "standard_error": model.folds.std(axis=0, ddof=1) / np.sqrt(3),
    }
    order = rng.permutation(model.folds.size)  # a display reads the keys, not the order
    model.cv_results_ = {
        "C": np.tile(C, 3)[order],
        "l1_ratio": np.tile(l1_ratio, 3)[order],
        "fold": np.repeat(np.arange(3), len(C))[order],
        "score": model.folds.ravel()[order],
    }
    model.best_index_ = int(np.argmax(model.scores_["mean"]))
    model.one_standard_error_index_ = model.best_index_ // n_Cs * n_Cs
    model.C_, model.l1_ratio_ = C[model.best_index_], l1_ratio[model.best_index_]
    return model


def legend_texts(display):
    legends = [*display.figure_.legends, *(axes.get_legend() for axes in np.ravel(display.ax_))]
    return [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]


def vertical_lines(axes):
    return [line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1]]


def tick_texts(axis):
    return dict(zip(axis.get_xticks(), (text.get_text() for text in axis.get_xticklabels()), strict=True))


# Colours


@given(st.integers(1, 100))  # viridis has 256 steps
def test_colours_differ(n):
    assert len(set(colours(n))) == n


@given(st.lists(st.text(max_size=5), min_size=1, max_size=12, unique=True))
def test_the_colour_of_a_class_does_not_depend_on_the_order_of_the_classes(classes):
    # NumPy's strings drop zeros at their end, and with them what tells two labels apart
    classes = list({label.rstrip("\0") for label in classes})

    assert class_colours(classes) == class_colours(sorted(classes))
    assert list(class_colours(classes)) == sorted(classes)


def test_up_to_eight_classes_have_the_palette_of_okabe_and_ito():
    assert list(class_colours(np.arange(8)).values()) == list(OKABE_ITO)
    assert class_colours(np.arange(3))[2] == OKABE_ITO[2]


@pytest.mark.parametrize("classes", [["a", "b", "a"], [["a", "b"]], "a"])
def test_colours_of_what_are_not_distinct_classes_are_an_error(classes):
    with pytest.raises(ValueError, match="classes must be distinct labels"):
        class_colours(classes)


@given(st.text(), st.integers(3, 60))
def test_a_shortened_name_fits_and_a_short_one_stays(name, most):
    short = shorten(name, most)

    assert len(short) <= most
    assert (short == name) == (len(name) <= most)


# Coefficients


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_a_line_holds_the_coefficients_of_its_class_and_feature(n_classes):
    record = path(n_classes)
    display = CoefficientPathDisplay.from_path(record)

    assert display.lines_.shape == (record.coefs.shape[1], 4)
    assert sorted(display.features_) == [0, 1, 2, 3]
    for (row, column), line in np.ndenumerate(display.lines_):
        np.testing.assert_array_equal(line.get_xdata(), record.Cs)
        np.testing.assert_array_equal(line.get_ydata(), record.coefs[:, row, display.features_[column]])
        assert line.axes is np.ravel(display.ax_)[row]
        assert line.axes.get_xscale() == "log"


def test_a_scale_multiplies_the_coefficients_and_ranks_the_features():
    record, scale = path(), np.array([1e-3, 1.0, 1e3, 10.0])
    display = CoefficientPathDisplay.from_path(record, feature_scale=scale)
    largest = np.abs(record.coefs * scale).max(axis=(0, 1))

    np.testing.assert_array_equal(display.features_, np.argsort(-largest))
    for (row, column), line in np.ndenumerate(display.lines_):
        feature = display.features_[column]
        np.testing.assert_array_equal(line.get_ydata(), record.coefs[:, row, feature] * scale[feature])


def test_features_with_the_largest_coefficients_have_a_colour_and_a_name_and_the_others_are_grey():
    names = [f"feature {j}" for j in range(9)]
    display = CoefficientPathDisplay.from_path(path(n_features=9, names=names), n_named=4)

    for lines in display.lines_:
        assert [line.get_color() for line in lines] == [*OKABE_ITO[:4], *[FAINT] * 5]
        assert [line.get_label() for line in lines] == [names[j] for j in display.features_]
    assert legend_texts(display) == [*(names[j] for j in display.features_[:4]), "5 others"]


def test_the_largest_coefficients_are_those_at_the_choice_and_of_equals_those_of_the_path():
    coefs = np.zeros((3, 3, 4))
    coefs[1, 2] = [0.0, -2.0, 1.0, 0.0]
    coefs[2, 0] = [5.0, 0.0, 0.0, 6.0]
    record = replace(path(n_Cs=3), coefs=coefs)
    made = {"Cs": record.Cs, "coefs": coefs, "classes": record.classes}

    assert list(CoefficientPathDisplay(**made, chosen_C=record.Cs[1]).plot().features_) == [1, 2, 3, 0]
    assert list(CoefficientPathDisplay(**made).plot().features_) == [3, 0, 1, 2]


def test_of_very_many_features_the_largest_are_drawn_and_the_legend_says_so():
    record = path(n_features=250, n_Cs=2)
    display = CoefficientPathDisplay.from_path(record, n_named=0, class_of_interest=1)
    size = np.abs(record.coefs[:, 1]).max(axis=0)

    assert display.lines_.shape == (1, 200)
    assert size[display.features_].min() > np.delete(size, display.features_).max()
    assert legend_texts(display) == ["200 of 250 others"]


def test_features_without_names_are_numbered():
    display = CoefficientPathDisplay.from_path(path())

    assert legend_texts(display) == [f"x{j}" for j in display.features_]


@pytest.mark.parametrize(
    ("classes", "label", "row", "title"),
    [
        ([10, 20, 30], 20, 1, "class 20"),
        (["ash", "elm", "oak"], "oak", 2, "oak"),
        (["no", "yes"], "yes", 0, "yes"),
    ],
)
def test_a_class_is_picked_by_its_label(classes, label, row, title):
    record = path(len(classes), classes=classes)
    display = CoefficientPathDisplay.from_path(record, class_of_interest=label)

    assert isinstance(display.ax_, mpl.axes.Axes)
    assert display.ax_.get_title() == title
    for line, feature in zip(display.lines_[0], display.features_, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), record.coefs[:, row, feature])


def test_panels_are_named_after_their_classes_in_order_and_share_their_scales():
    display = CoefficientPathDisplay.from_path(path(classes=["ash", "elm", "oak"]))

    assert [panel.get_title() for panel in display.ax_] == ["ash", "elm", "oak"]
    assert len({panel.get_ylim() for panel in display.ax_}) == 1


def test_degrees_of_freedom_stand_above_their_penalties():
    record = path(2)
    (top,) = CoefficientPathDisplay.from_path(record).ax_.child_axes

    assert tick_texts(top) == {
        C: f"{count:.3g}" for C, count in zip(record.Cs, record.degrees_of_freedom, strict=True)
    }
    assert top.get_xlabel() == "degrees of freedom"


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l1_ratios", [(0.0,), (0.0, 0.5, 1.0)])
def test_paths_of_cross_validation_are_drawn_as_their_mean_and_the_choice_is_marked(l1_ratios, fit_intercept):
    model = searched(l1_ratios=l1_ratios, fit_intercept=fit_intercept)
    display = CoefficientPathDisplay.from_estimator(model)
    mean = model.coefs_paths_[:, l1_ratios.index(model.l1_ratio_), :, :, :4].mean(axis=0)

    assert display.lines_.shape == (3, 4)
    for (row, column), line in np.ndenumerate(display.lines_):
        np.testing.assert_array_equal(line.get_ydata(), mean[:, row, display.features_[column]])
    assert all(vertical_lines(panel) == [model.C_] for panel in display.ax_)
    assert legend_texts(display)[-1] == f"chosen C = {model.C_:.3g}"


@pytest.mark.parametrize(
    ("Cs", "places", "ticks"),
    [
        (
            [0.02, 0.3, 4.0, np.inf],
            [0.02, 0.3, 4.0, 40.0],
            {0.1: "$10^{-1}$", 1.0: "$10^{0}$", 10.0: "$10^{1}$"},
        ),
        ([np.inf], [10.0], {}),
    ],
)
def test_no_penalty_stands_a_decade_beyond_the_others_under_its_sign(Cs, places, ticks):
    record = replace(path(n_Cs=len(Cs)), Cs=np.array(Cs))
    made = {"Cs": record.Cs, "coefs": record.coefs, "classes": record.classes, "chosen_C": np.inf}
    display = CoefficientPathDisplay(**made).plot()

    for panel in display.ax_:
        assert tick_texts(panel) == ticks | {places[-1]: "∞"}
        assert vertical_lines(panel) == [places[-1]]
    assert all(list(line.get_xdata()) == places for line in display.lines_.flat)
    assert legend_texts(display)[-1] == "chosen C = inf"


def test_degrees_of_freedom_that_are_not_known_are_left_out():
    some = np.array([2.0, np.nan, 4.0, np.nan, 6.0])
    (top,) = CoefficientPathDisplay.from_path(replace(path(2), degrees_of_freedom=some)).ax_.child_axes
    none = CoefficientPathDisplay.from_path(replace(path(2), degrees_of_freedom=np.full(5, np.nan)))

    assert [text.get_text() for text in top.get_xticklabels()] == ["2", "4", "6"]
    assert none.ax_.child_axes == []


# Scores


@pytest.mark.parametrize("l1_ratios", [(0.0,), (0.0, 0.5, 1.0)])
def test_a_line_holds_the_mean_scores_its_band_their_standard_errors_and_faint_lines_the_folds(l1_ratios):
    model = searched(l1_ratios=l1_ratios)
    display = ScorePathDisplay.from_estimator(model)
    mean, error = (model.scores_[key].reshape(-1, 5) for key in ("mean", "standard_error"))

    assert display.ax_.get_xscale() == "log"
    assert len(display.lines_) == len(display.bands_) == len(l1_ratios)
    for i, (line, band) in enumerate(zip(display.lines_, display.bands_, strict=True)):
        np.testing.assert_array_equal(line.get_xdata(), model.Cs_)
        np.testing.assert_array_equal(line.get_ydata(), mean[i])
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        assert corners == {
            *zip(model.Cs_, mean[i] - error[i], strict=True),
            *zip(model.Cs_, mean[i] + error[i], strict=True),
        }
    best = l1_ratios.index(model.l1_ratio_)
    np.testing.assert_array_equal(
        [line.get_ydata() for line in display.fold_lines_],
        model.folds.reshape(3, len(l1_ratios), 5)[:, best],
    )


@pytest.mark.parametrize("l1_ratios", [(0.0,), (0.0, 0.5, 1.0)])
def test_the_choices_of_both_rules_are_marked_and_told(l1_ratios):
    model = searched(l1_ratios=l1_ratios)
    display = ScorePathDisplay.from_estimator(model)
    chosen = [model.best_index_, model.one_standard_error_index_]
    C, mean = model.scores_["C"], model.scores_["mean"]
    points = {line.get_xydata()[0].tobytes() for line in display.ax_.lines if len(line.get_xdata()) == 1}

    assert points == {np.array([C[i], mean[i]]).tobytes() for i in chosen}
    assert set(vertical_lines(display.ax_)) == {C[i] for i in chosen}
    share = "" if len(l1_ratios) == 1 else f", l1_ratio = {model.l1_ratio_:.3g}"
    assert legend_texts(display)[-2:] == [
        f"best: C = {C[chosen[0]]:.3g}{share}",
        f"one standard error: C = {C[chosen[1]]:.3g}{share}",
    ]


def test_scores_without_a_penalty_stand_a_decade_beyond_the_others():
    model = searched(last_C=np.inf)
    model.best_index_ = 4
    display = ScorePathDisplay.from_estimator(model)

    for line in [*display.lines_, *display.fold_lines_]:
        np.testing.assert_array_equal(line.get_xdata(), [*model.Cs_[:-1], 10 * model.Cs_[-2]])
    assert set(vertical_lines(display.ax_)) == {model.Cs_[0], 10 * model.Cs_[-2]}
    assert legend_texts(display)[-2] == "best: C = inf"


def neg_cross_entropy(estimator, X, y):
    """Stand for a scorer, of which the display reads the name."""


@pytest.mark.parametrize(
    ("scoring", "label"),
    [
        ("neg_log_loss", "negative log loss on held-out folds (nats)"),
        ("accuracy", "accuracy on held-out folds"),
        (neg_cross_entropy, "negative cross entropy on held-out folds (nats)"),
        (None, "accuracy on held-out folds"),
    ],
)
def test_the_axis_of_scores_is_named_after_the_scorer_with_its_unit(scoring, label):
    assert ScorePathDisplay.from_estimator(searched(scoring=scoring)).ax_.get_ylabel() == label


def test_a_fit_to_the_wines_is_drawn_as_it_was_found(table):
    wines = table("wine.csv")
    X, y = wines.drop(columns="cultivar"), wines["cultivar"]
    model = SoftmaxRegressionCV(Cs=4, cv=3, l1_ratios=[0.0, 0.5]).fit(X, y)
    scores, coefs = ScorePathDisplay.from_estimator(model), CoefficientPathDisplay.from_estimator(model)
    along = regularization_path(X, y, Cs=model.Cs_, l1_ratio=model.l1_ratio_)
    alone = CoefficientPathDisplay.from_path(along, class_of_interest="class_1")
    means = np.concatenate([line.get_ydata() for line in scores.lines_])
    found = pd.DataFrame(model.cv_results_).groupby(["l1_ratio", "C"])["score"]

    assert means.argmax() == model.best_index_
    # means of the same three numbers: apart by a few roundings of 2e-16
    np.testing.assert_allclose(means, found.mean(), rtol=1e-15)
    assert coefs.lines_.shape == (3, 13)
    assert [panel.get_title() for panel in coefs.ax_] == list(model.classes_)
    assert alone.lines_[0, 0].get_label() in X.columns
    assert alone.ax_.child_axes


# What both keep to


def draw_coefficients(ax=None):
    return CoefficientPathDisplay.from_path(path(2), ax=ax)


def draw_scores(ax=None):
    return ScorePathDisplay.from_estimator(searched(), ax=ax)


@pytest.mark.parametrize("draw", [draw_coefficients, draw_scores])
def test_axes_that_are_given_are_drawn_on_and_pyplot_knows_nothing_of_it(draw):
    axes = Figure().subplots()
    display = draw(axes)

    assert display.ax_ is axes
    assert display.figure_ is axes.figure
    assert {line.axes for line in display.lines_.flat} == {axes}
    assert legend_texts(display)
    assert plt.get_fignums() == []


def test_several_panels_take_an_array_of_axes_also_of_a_subfigure():
    _, below = Figure().subfigures(2)
    display = CoefficientPathDisplay.from_path(path(4), ax=below.subplots(2, 2))

    assert [panel.get_title() for panel in display.ax_] == [f"class {k}" for k in range(4)]
    assert display.figure_ is below


@pytest.mark.parametrize("draw", [draw_coefficients, draw_scores])
def test_a_display_makes_one_figure_and_leaves_the_settings_of_matplotlib(draw):
    before = dict(mpl.rcParams)
    display = draw()

    assert plt.get_fignums() == [display.figure_.number]
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("draw", [draw_coefficients, draw_scores])
def test_a_display_can_be_plotted_again(draw):
    first = draw()
    before = first.lines_.copy()
    again = first.plot()

    assert again is first
    for old, new in zip(before.flat, again.lines_.flat, strict=True):
        assert old.axes is not new.axes
        np.testing.assert_array_equal(old.get_xydata(), new.get_xydata())


@pytest.mark.parametrize(
    "draw",
    [
        lambda: CoefficientPathDisplay.from_path(path(3, names=[LONG.format(j) for j in range(4)])),
        lambda: CoefficientPathDisplay.from_path(path(7, 10, classes=[LONG.format(k) for k in range(7)])),
        lambda: CoefficientPathDisplay.from_estimator(searched(13)),
        lambda: CoefficientPathDisplay.from_path(path(2, n_Cs=1)),
        lambda: ScorePathDisplay.from_estimator(searched(l1_ratios=(0.0, 0.1, 0.5, 0.9, 1.0))),
        lambda: ScorePathDisplay.from_estimator(searched(n_Cs=1)),
    ],
)
def test_texts_of_a_figure_of_600_pixels_are_in_it_and_apart(draw):
    figure = draw().figure_
    figure.set_dpi(100)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    titles = [panel.title for panel in figure.axes]
    labels = [axis.label for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    texts = [text for text in [*titles, *labels, *figure.texts] if text.get_text()]
    boxes = [legend, *(text.get_window_extent(renderer) for text in texts)]

    assert figure.bbox.width == 600
    for box in boxes:  # a glyph may reach half a pixel beyond the place where it is set, rounded up: 1
        assert box.x0 >= figure.bbox.x0 - 1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= figure.bbox.y0 - 1
        assert box.y1 <= figure.bbox.y1 + 1
    assert not any(legend.overlaps(panel.get_tightbbox(renderer)) for panel in figure.axes)
    titles = boxes[1 : 1 + sum(title in texts for title in titles)]
    assert not any(one.overlaps(other) for i, one in enumerate(titles) for other in titles[:i])


@pytest.mark.parametrize("name", ["price_$", "$a_$", "_hidden", "<b>", "ä\n", ""])
def test_names_are_shown_as_they_are(name):
    record = path(2, n_features=1, classes=["no", name + "!"], names=[name])
    display = CoefficientPathDisplay.from_path(record)
    display.figure_.draw_without_rendering()

    assert legend_texts(display) == [name]
    assert display.ax_.get_title() == name + "!"


# Errors


def test_without_matplotlib_smreg_is_imported_and_smreg_plots_says_what_to_install():
    code = """
import sys
import smreg, smreg.metrics
assert "matplotlib" not in sys.modules
sys.modules["matplotlib"] = None  # as if it were not installed
try:
    import smreg.plots
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install smreg[plots]" in run.stdout


@pytest.mark.parametrize("display", [CoefficientPathDisplay, ScorePathDisplay])
def test_an_estimator_must_be_of_the_right_kind_and_fitted(display, wine):
    with pytest.raises(NotFittedError):
        display.from_estimator(SoftmaxRegressionCV())
    with pytest.raises(TypeError, match="estimator must be a SoftmaxRegressionCV, got LogisticRegression"):
        display.from_estimator(LogisticRegression().fit([[0], [1]], [0, 1]))
    with pytest.raises(TypeError, match="estimator must be a SoftmaxRegressionCV, got tuple"):
        display.from_estimator(wine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Cs": [0.0, 1.0, 2.0, 3.0, 4.0]}, "Cs must be positive increasing numbers"),
        ({"Cs": [1.0, 3.0, 2.0, 4.0, 5.0]}, "Cs must be positive increasing numbers"),
        ({"Cs": [np.nan]}, "Cs must be positive increasing numbers"),
        ({"Cs": [[1.0]]}, "Cs must be positive increasing numbers"),
        ({"Cs": [1.0, 2.0]}, r"coefs must have shape \(2, 3, n_features\).*got \(5, 3, 4\)"),
        ({"classes": np.arange(2)}, r"coefs must have shape \(5, 1, n_features\).*got \(5, 3, 4\)"),
        ({"feature_names": ["a"]}, r"feature_names must have shape \(4,\), got \(1,\)"),
        ({"degrees_of_freedom": [1.0]}, r"degrees_of_freedom must have shape \(5,\), got \(1,\)"),
    ],
)
def test_a_path_of_shapes_that_do_not_match_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        CoefficientPathDisplay.from_path(replace(path(), **change))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"feature_scale": [1.0]}, ValueError, r"feature_scale must have shape \(4,\), got \(1,\)"),
        (
            {"class_of_interest": 3},
            ValueError,
            r"class_of_interest must be None or one of \[0, 1, 2\].*got 3",
        ),
        ({"n_named": -1}, ValueError, "n_named must not be negative, got -1"),
        ({"ax": "left"}, TypeError, "ax must be None, matplotlib Axes or an array of them, got str"),
    ],
)
def test_arguments_that_fit_no_panel_are_an_error_and_no_figure_is_made(arguments, error, message):
    with pytest.raises(error, match=message):
        CoefficientPathDisplay.from_path(path(), **arguments)
    assert plt.get_fignums() == []


def test_the_number_of_axes_must_be_that_of_the_panels():
    with pytest.raises(ValueError, match="ax must hold 3 Axes, one for each panel, got 1"):
        CoefficientPathDisplay.from_path(path(), ax=Figure().subplots())
    with pytest.raises(ValueError, match="ax must hold 1 Axes, one for each panel, got 2"):
        ScorePathDisplay.from_estimator(searched(), ax=Figure().subplots(2))


def test_the_first_of_two_classes_has_no_coefficients_to_draw():
    with pytest.raises(ValueError, match=r"one of \['yes'\], which have coefficients; got 'no'"):
        CoefficientPathDisplay.from_path(path(2, classes=["no", "yes"]), class_of_interest="no")


def test_the_choice_must_be_on_the_path():
    made = {"Cs": [1.0, 2.0], "coefs": np.ones((2, 1, 1)), "classes": [0, 1]}

    with pytest.raises(ValueError, match=r"chosen_C must be one of Cs = \[1.0, 2.0\], got 3.0"):
        CoefficientPathDisplay(**made, chosen_C=3.0)


def test_what_is_no_path_is_an_error():
    with pytest.raises(TypeError, match="path must be a RegularizationPath, got SoftmaxRegressionCV"):
        CoefficientPathDisplay.from_path(searched())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.zeros(3)}, r"mean must have shape \(1, 3\), got \(3,\)"),
        ({"fold_scores": np.zeros((2, 3))}, r"fold_scores must have shape \(2, 1, 3\), got \(2, 3\)"),
        ({"best_index": 3}, "best_index must be an index from 0 to 2, got 3"),
        ({"one_standard_error_index": -1}, "one_standard_error_index must be an index from 0 to 2, got -1"),
    ],
)
def test_scores_of_shapes_that_do_not_match_are_an_error(change, message):
    right = {
        "Cs": [0.1, 1.0, 10.0],
        "l1_ratios": [0.0],
        "fold_scores": np.zeros((2, 1, 3)),
        "mean": np.zeros((1, 3)),
        "standard_error": np.ones((1, 3)),
        "best_index": 0,
        "one_standard_error_index": 0,
    }
    with pytest.raises(ValueError, match=message):
        ScorePathDisplay(**right | change)
