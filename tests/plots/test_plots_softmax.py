"""Displays of softmax and of coefficients, by what their artists hold; never by pixels of a picture."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from smreg import SoftmaxRegression, softmax
from smreg.plots import (
    CoefficientDisplay,
    LogitPlaneDisplay,
    ProbabilityTemperatureDisplay,
    SimplexDisplay,
    class_colours,
)
from smreg.plots._simplex import VERTICES, temperature_path

LONG = "a name that goes on and on, as those of columns in a survey sometimes do, up to number {}"
TREES = ["oak", "ash", "elm"]  # not sorted: colours are of labels, not of places
LOGITS = np.array([3.0, 1.0, 0.2])

# of which a hundredth of any difference, in units of the largest, is still a normal number
some_logits = st.lists(st.floats(-20, 20).filter(lambda z: z == 0 or abs(z) > 1e-280), min_size=3, max_size=3)


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def legend_texts(display):
    legends = [*display.figure_.legends, *(axes.get_legend() for axes in np.ravel(display.ax_))]
    return [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]


def probabilities_of(points):
    """Of points in the triangle: p with ``p @ VERTICES = point`` and ``sum(p) = 1``."""
    known = np.column_stack([VERTICES, np.ones(3)])
    return np.linalg.solve(known.T, np.column_stack([points, np.ones(len(points))]).T).T


def tree_model(n_features=3, classes=TREES, names=None):
    """A fitted model with made-up coefficients: the display draws what it is given."""
    model, rng = SoftmaxRegression(), np.random.default_rng(0)
    model.classes_ = np.array(sorted(classes))
    model.coef_ = rng.normal(size=(1 if len(classes) == 2 else len(classes), n_features))
    model.intercept_, model.n_features_in_ = np.zeros(len(model.coef_)), n_features
    if names is not None:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model


# The simplex


def test_the_marks_are_softmax_at_their_temperatures():
    temperatures = [0.5, 1.0, 7.0]
    display = SimplexDisplay.from_logits([LOGITS, -LOGITS], temperatures=temperatures)

    for points, T in zip(display.marks_, temperatures, strict=True):
        expected = softmax([LOGITS, -LOGITS], T)
        # points of size one and back: some roundings of 2**-53, times a condition number below 4
        np.testing.assert_allclose(probabilities_of(points.get_xydata()), expected, atol=1e-14)
    assert legend_texts(display) == ["T = 0.5", "T = 1", "T = 7"]


@given(some_logits)
@example([0.0, 1.0, 1e-279])
@example([0.0, 0.0, 1e-279])
def test_a_path_leads_from_the_uniform_distribution_to_the_largest_logits_without_a_gap(logits):
    path = temperature_path(np.array(logits))
    top = np.equal(logits, max(logits))

    np.testing.assert_allclose(path[0], 1 / 3, atol=1e-15)  # a rounding of a third
    np.testing.assert_allclose(path[-1], top / top.sum(), atol=1e-15)
    # between two equal steps of log T: dp/dlogT is at most max_x x e^-x < 1/2 for each of two gaps, and
    # a step is log(2000 largest / smallest gap) / 298, with gaps down to what floats make of them
    gaps = np.diff(np.sort(logits))
    widest = np.log(2000 * (max(logits) - min(logits)) / gaps[gaps > 0].min()) / 298 if gaps.any() else 0
    assert np.abs(np.diff(path, axis=0)).max() <= widest + 0.01  # the jumps to the ends are below 1/100


@given(some_logits)
@example([0.0, 1.0, 8.900295434028806e-308])
@example([0.0, 0.0, 1.1945774316841202e-299])
@example([0.0, -1.0, -5e-324])
@example([5e-324, 0.0, 0.0])
def test_no_temperature_changes_which_class_is_most_probable(logits):
    path = temperature_path(np.array(logits))

    # equal probabilities may differ by a rounding
    assert (path[:, int(np.argmax(logits))] >= path.max(axis=1) - 1e-15).all()


def test_a_path_has_the_colour_of_the_class_that_it_leads_to():
    display = SimplexDisplay.from_logits(5 * np.eye(3), classes=TREES)

    assert [line.get_color() for line in display.lines_] == [class_colours(TREES)[tree] for tree in TREES]
    corners = {text.get_text(): text for text in display.ax_.texts if text.get_text() in TREES}
    for tree, place in zip(TREES, VERTICES, strict=True):
        assert corners[tree].get_color() == class_colours(TREES)[tree]
        assert np.hypot(*(np.array(corners[tree].get_position()) - place)) < 0.1


def test_a_tick_stands_beside_the_triangle_where_its_class_has_that_probability():
    display = SimplexDisplay.from_logits(LOGITS)
    ticks = [text for text in display.ax_.texts if text.get_text().startswith("0.")]
    colours = list(class_colours(range(3)).values())

    assert len(ticks) == 12
    for tick in ticks:
        p = probabilities_of(np.array([tick.get_position()]))[0]
        # moved 0.02 outward, along the height of sqrt(3) / 2: the opposite class loses what two gain
        shift = 0.02 / np.sqrt(0.75)
        assert p[colours.index(tick.get_color())] == pytest.approx(float(tick.get_text()) + shift / 2)
        assert p.min() == pytest.approx(-shift)


def test_a_logit_of_minus_infinity_stays_on_the_opposite_side():
    display = SimplexDisplay.from_logits([1.0, 0.0, -np.inf])

    assert (display.paths[0, :, 2] == 0).all()
    np.testing.assert_allclose(display.paths[0, 0], [0.5, 0.5, 0.0])


# The plane of logits


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_map_holds_softmax_of_the_logits_against_the_first_class(temperature):
    display = LogitPlaneDisplay.from_temperature(temperature, limit=4.0)
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, len(display.logits), (20, 2)):
        eta = [0.0, display.logits[column], display.logits[row]]
        np.testing.assert_array_equal(display.probabilities[row, column], softmax(eta, temperature))

    assert display.logits[[0, -1]].tolist() == [-4.0, 4.0]
    for panel in display.ax_:
        assert panel.get_xlim() == panel.get_ylim() == (-4.0, 4.0)


def test_the_boundaries_are_where_the_two_largest_probabilities_are_equal():
    display = LogitPlaneDisplay.from_temperature(2.0)

    for lines in display.boundaries_:
        for line in lines:
            x, y = line.get_xydata()[1]
            p = np.sort(softmax([0.0, x, y]))
            assert p[2] == p[1] > p[0]


def test_a_map_goes_from_white_to_the_colour_of_its_class():
    display = LogitPlaneDisplay.from_temperature(classes=TREES)

    assert [panel.get_title() for panel in display.ax_] == [f"p of {tree}" for tree in TREES]
    for filled, tree in zip(display.maps_, TREES, strict=True):
        assert same_color(filled.get_cmap()(0.0), "white")
        assert same_color(filled.get_cmap()(1.0), class_colours(TREES)[tree])
        np.testing.assert_allclose(filled.levels, np.arange(11) / 10, atol=1e-15)
    assert display.ax_[0].get_xlabel() == "logit (nats)\nash - oak"
    assert display.ax_[0].get_ylabel() == "logit (nats)\nelm - oak"


# Probability against temperature


def test_a_line_holds_the_probabilities_of_its_class():
    temperatures = [0.1, 1.0, 10.0]
    display = ProbabilityTemperatureDisplay.from_logits(LOGITS, temperatures=temperatures, classes=TREES)

    for k, line in enumerate(display.lines_):
        np.testing.assert_array_equal(line.get_xdata(), temperatures)
        np.testing.assert_array_equal(line.get_ydata(), [softmax(LOGITS, T)[k] for T in temperatures])
        assert line.get_color() == class_colours(TREES)[TREES[k]]
    assert legend_texts(display) == [*TREES, "uniform"]
    assert display.ax_.get_xscale() == "log"


def test_temperatures_reach_from_a_tenth_to_ten_and_the_uniform_distribution_is_a_line():
    display = ProbabilityTemperatureDisplay.from_logits(np.arange(4.0))
    levels = [line.get_ydata()[0] for line in display.ax_.lines if list(line.get_xdata()) == [0, 1]]

    np.testing.assert_allclose(display.temperatures[[0, 100, -1]], [0.1, 1.0, 10.0])
    assert levels == [0.25]


def test_of_many_classes_the_most_probable_are_named_and_the_others_counted():
    display = ProbabilityTemperatureDisplay.from_logits(np.arange(15.0))

    assert len(display.lines_) == 15
    assert legend_texts(display) == [
        *(f"class {k}" for k in range(14, 5, -1)),
        "class 5 (and 5 more)",
        "uniform",
    ]


# Coefficients


@pytest.mark.parametrize("classes", [TREES, ["no", "yes"], list(range(7))])
def test_a_point_holds_a_coefficient_and_its_line_leads_to_zero(classes):
    model = tree_model(classes=classes)
    display = CoefficientDisplay.from_estimator(model)

    assert len(display.stems_) == len(model.coef_)
    for coef, stem, label in zip(
        model.coef_, display.stems_, model.classes_[-len(model.coef_) :].tolist(), strict=True
    ):
        points, _, (lines,) = stem
        np.testing.assert_array_equal(points.get_xdata(), coef[display.features_])
        assert same_color(points.get_color(), class_colours(classes)[label])
        for x, y, segment in zip(points.get_xdata(), points.get_ydata(), lines.get_segments(), strict=True):
            assert sorted(segment[:, 0]) == pytest.approx(sorted([0.0, x]))
            assert (segment[:, 1] == y).all()


def test_rows_are_named_after_their_features_and_the_largest_is_at_the_top():
    scale = [1.0, 1e3, 1e-3]
    model = tree_model(names=["a", "b", "c"])
    display = CoefficientDisplay.from_estimator(model, feature_scale=scale)
    ticks = display.ax_.get_yticklabels()

    assert [tick.get_text() for tick in ticks] == ["b", "a", "c"]
    assert display.features_.tolist() == [1, 0, 2]
    assert display.ax_.yaxis_inverted()
    np.testing.assert_array_equal(
        display.stems_[0].lines[0].get_xdata(), (model.coef_[0] * scale)[display.features_]
    )
    for stem in display.stems_:
        assert np.round(stem.lines[0].get_ydata()).tolist() == [0, 1, 2]
    assert display.ax_.get_xlabel() == "coefficient times scale (nats)"


def test_of_many_features_the_largest_are_drawn_and_the_label_says_so():
    model = tree_model(n_features=50)
    display = CoefficientDisplay.from_estimator(model, n_features=4)
    size = np.abs(model.coef_).max(axis=0)

    assert size[display.features_].min() > np.delete(size, display.features_).max()
    assert display.ax_.get_xlabel() == "coefficient (nats per unit), 4 largest of 50 features"


def test_the_single_row_of_two_classes_belongs_to_the_second():
    display = CoefficientDisplay.from_estimator(tree_model(classes=["no", "yes"]))

    assert display.ax_.get_xlabel() == "coefficient of yes (nats per unit)"
    assert legend_texts(display) == []


def test_features_of_a_pipeline_have_the_names_that_its_steps_give_them(table):
    iris = table("iris.csv")
    X, y = iris.drop(columns="species"), iris["species"]
    X["wide"] = np.where(X["petal_width_cm"] > 1, "yes", "no")
    encode = make_column_transformer(
        (OneHotEncoder(drop="first"), ["wide"]),
        (StandardScaler(), ["petal_length_cm"]),
        verbose_feature_names_out=False,
    )
    model = make_pipeline(encode, SoftmaxRegression()).fit(X, y)
    nameless = make_pipeline(FunctionTransformer(), SoftmaxRegression()).fit(X[["petal_length_cm"]], y)
    nameless.steps[0] = ("unknown", FunctionTransformer(np.asarray).fit(X[["petal_length_cm"]]))
    del nameless[-1].feature_names_in_

    assert sorted(CoefficientDisplay.from_estimator(model).feature_names) == ["petal_length_cm", "wide_yes"]
    assert list(CoefficientDisplay.from_estimator(nameless).feature_names) == ["x0"]
    assert list(CoefficientDisplay.from_estimator(model[-1]).feature_names) == ["x0", "x1"]


def test_sparse_coefficients_are_drawn_as_dense_ones():
    model = tree_model()
    dense = CoefficientDisplay.from_estimator(model)
    sparse = CoefficientDisplay.from_estimator(model.sparsify())

    np.testing.assert_array_equal(sparse.coef, dense.coef)


# What all keep to


def draw_simplex(ax=None):
    return SimplexDisplay.from_logits(LOGITS, ax=ax)


def draw_plane(ax=None):
    return LogitPlaneDisplay.from_temperature(ax=ax)


def draw_temperatures(ax=None):
    return ProbabilityTemperatureDisplay.from_logits(LOGITS, ax=ax)


def draw_coefficients(ax=None):
    return CoefficientDisplay.from_estimator(tree_model(), ax=ax)


ALL = [draw_simplex, draw_plane, draw_temperatures, draw_coefficients]


@pytest.mark.parametrize("draw", ALL)
def test_axes_that_are_given_are_drawn_on_and_pyplot_knows_nothing_of_it(draw):
    axes = Figure().subplots(1, 3) if draw is draw_plane else Figure().subplots()
    display = draw(axes)

    assert np.ravel(display.ax_).tolist() == np.ravel(axes).tolist()
    assert display.figure_ is np.ravel(axes)[0].figure
    assert legend_texts(display)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("draw", ALL)
def test_a_display_makes_one_figure_and_leaves_the_settings_of_matplotlib(draw):
    before = dict(mpl.rcParams)
    display = draw()

    assert plt.get_fignums() == [display.figure_.number]
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("draw", ALL)
def test_a_display_can_be_plotted_again(draw):
    display = draw()
    before = [len(panel.get_children()) for panel in np.ravel(display.ax_)]
    again = display.plot()

    assert again is display
    assert [len(panel.get_children()) for panel in np.ravel(again.ax_)] == before
    assert len(plt.get_fignums()) == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda: SimplexDisplay.from_logits(LOGITS, classes=[LONG.format(k) for k in range(3)]),
        lambda: LogitPlaneDisplay.from_temperature(),
        lambda: LogitPlaneDisplay.from_temperature(classes=[LONG.format(k) for k in range(3)]),
        lambda: ProbabilityTemperatureDisplay.from_logits(
            np.arange(9.0), classes=[LONG.format(k) for k in range(9)]
        ),
        lambda: CoefficientDisplay.from_estimator(
            tree_model(12, [LONG.format(k) for k in range(9)], [LONG.format(j) for j in range(12)])
        ),
        lambda: CoefficientDisplay.from_estimator(tree_model(30, names=[f"column {j}" for j in range(30)])),
        lambda: CoefficientDisplay.from_estimator(tree_model(1, ["no", LONG])),
    ],
)
def test_texts_of_a_figure_of_600_pixels_are_in_it_and_apart(draw):
    figure = draw().figure_
    figure.set_dpi(100)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [*figure.texts]
    for panel in figure.axes:
        ticks = panel.get_yticklabels() if isinstance(panel.yaxis.get_major_locator(), FixedLocator) else []
        labels = [panel.title, panel.xaxis.label, panel.yaxis.label]
        texts += [text for text in [*panel.texts, *labels, *ticks] if text.get_text() and text.get_visible()]
    boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
    panels = [panel.get_tightbbox(renderer) for panel in figure.axes]
    extents = [text.get_window_extent(renderer) for text in texts]

    assert figure.bbox.width == 600
    for box in [*boxes, *extents]:  # a glyph may reach half a pixel beyond the place where it is set
        assert box.x0 >= figure.bbox.x0 - 1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= figure.bbox.y0 - 1
        assert box.y1 <= figure.bbox.y1 + 1
    assert not any(box.overlaps(panel) for box in boxes for panel in panels)
    assert not any(one.overlaps(other) for i, one in enumerate(extents) for other in extents[:i])


@pytest.mark.parametrize("name", ["price_$", "$a_$", "_hidden", "<b>"])
def test_names_are_shown_as_they_are(name):
    classes = [name, name + "b", name + "c"]
    shown = [
        CoefficientDisplay.from_estimator(tree_model(1, classes, [name])),
        SimplexDisplay.from_logits(LOGITS, classes=classes),
        ProbabilityTemperatureDisplay.from_logits(LOGITS, classes=classes),
    ]
    for display in shown:
        display.figure_.draw_without_rendering()

    assert shown[0].ax_.get_yticklabels()[0].get_text() == name
    assert legend_texts(shown[0]) == sorted(classes)
    assert name in [text.get_text() for text in shown[1].ax_.texts]
    assert legend_texts(shown[2])[0] == name


# Errors


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: SimplexDisplay.from_logits([1.0, 2.0]), ValueError, "logits must have shape"),
        (lambda: SimplexDisplay.from_logits(np.zeros((1, 1, 3))), ValueError, "logits must have shape"),
        (lambda: SimplexDisplay.from_logits([0, 0, np.nan]), ValueError, "logits must be finite or -inf"),
        (lambda: SimplexDisplay.from_logits(LOGITS, temperatures=[0.0]), ValueError, "temperatures must be"),
        (lambda: SimplexDisplay.from_logits(LOGITS, temperatures=[]), ValueError, "temperatures must be"),
        (
            lambda: SimplexDisplay.from_logits(LOGITS, temperatures=range(1, 9)),
            ValueError,
            "temperatures must be at most 7, .* got 8",
        ),
        (lambda: SimplexDisplay.from_logits(LOGITS, classes="ab"), ValueError, "classes must be 3 distinct"),
        (lambda: SimplexDisplay.from_logits(LOGITS, classes=[1, 1, 2]), ValueError, "classes must be 3"),
        (
            lambda: SimplexDisplay(paths=np.zeros((2, 3)), marks=np.zeros((1, 1, 3)), temperatures=[1.0]),
            ValueError,
            "paths must have shape",
        ),
        (
            lambda: SimplexDisplay(paths=np.zeros((1, 5, 3)), marks=np.zeros((1, 2, 3)), temperatures=[1.0]),
            ValueError,
            r"marks must have shape \(1, 1, 3\)",
        ),
        (lambda: LogitPlaneDisplay.from_temperature(0.0), ValueError, "temperature must be a positive"),
        (lambda: LogitPlaneDisplay.from_temperature(limit=0.0), ValueError, "limit must be a positive"),
        (lambda: LogitPlaneDisplay.from_temperature(classes=[1, 2]), ValueError, "classes must be 3"),
        (
            lambda: LogitPlaneDisplay(logits=[1.0, 2.0], probabilities=np.zeros((2, 2, 3))),
            ValueError,
            "logits must be increasing",
        ),
        (
            lambda: LogitPlaneDisplay(logits=[-1.0, 2.0], probabilities=np.zeros((2, 2, 2))),
            ValueError,
            "probabilities must have shape",
        ),
        (lambda: draw_plane(Figure().subplots()), ValueError, "ax must hold 3 Axes"),
        (lambda: draw_simplex("axes"), TypeError, "ax must be None"),
        (lambda: draw_temperatures(Figure().subplots(2)), ValueError, "ax must hold 1 Axes"),
        (
            lambda: ProbabilityTemperatureDisplay.from_logits([LOGITS]),
            ValueError,
            "logits must have shape",
        ),
        (
            lambda: ProbabilityTemperatureDisplay.from_logits(LOGITS, temperatures=[2.0, 1.0]),
            ValueError,
            "temperatures must be increasing",
        ),
        (
            lambda: ProbabilityTemperatureDisplay(temperatures=[1.0], probabilities=[0.5, 0.5]),
            ValueError,
            "probabilities must have shape",
        ),
        (
            lambda: CoefficientDisplay(coef=np.zeros((2, 4)), classes=TREES),
            ValueError,
            r"coef must have shape \(3, n_features\)",
        ),
        (
            lambda: CoefficientDisplay(coef=np.zeros((3, 4)), classes=TREES, feature_names=["a"]),
            ValueError,
            "feature_names must have shape",
        ),
        (
            lambda: CoefficientDisplay.from_estimator(tree_model(), feature_scale=[1.0]),
            ValueError,
            "feature_scale must have shape",
        ),
        (
            lambda: CoefficientDisplay.from_estimator(tree_model(), n_features=0),
            ValueError,
            "n_features must be at least 1",
        ),
        (
            lambda: CoefficientDisplay.from_estimator(LogisticRegression()),
            TypeError,
            "must be a SoftmaxRegression or a Pipeline that ends in one, got LogisticRegression",
        ),
        (
            lambda: CoefficientDisplay.from_estimator(make_pipeline(StandardScaler())),
            TypeError,
            "got StandardScaler",
        ),
        (lambda: CoefficientDisplay.from_estimator(SoftmaxRegression()), NotFittedError, "not fitted"),
    ],
)
def test_bad_input_is_an_error_that_says_so_and_no_figure_is_made(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
    assert plt.get_fignums() == []
