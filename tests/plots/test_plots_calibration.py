"""The displays of calibration, by what their artists hold; never by pixels of a picture."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from smreg import SoftmaxRegression, TemperatureScaling, cross_entropy, fit_temperature, softmax
from smreg.metrics import bootstrap_interval, calibration_error, reliability_table
from smreg.plots import ReliabilityDisplay, TemperatureDisplay
from smreg.plots._style import OKABE_ITO

LONG = "a name that goes on and on, as those of columns in a survey sometimes do, up to number {}"


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def sample(n_classes=4, n=300, seed=0):
    """Logits, and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, n_classes))
    return z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def predictions(n_classes=4, n=300, confidence=2.0):
    """Labels, and probabilities that are too confident."""
    z, y = sample(n_classes, n)
    return y, softmax(confidence * z)


def legend_texts(display):
    legends = [*display.figure_.legends, *(axes.get_legend() for axes in np.ravel(display.ax_))]
    return [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]


def corners(band):
    """Corners of all polygons of a band."""
    return {tuple(corner) for polygon in band.get_paths() for corner in polygon.vertices}


def assert_panel_shows(table, line, band, gaps, counts):
    """All artists of a panel hold the numbers of a table."""
    seen = table[table["count"] > 0]
    x, y = seen["confidence"], seen["accuracy"]
    np.testing.assert_array_equal(line.get_xydata(), table[["confidence", "accuracy"]])
    assert corners(band) == {*zip(x, seen["low"], strict=True), *zip(x, seen["high"], strict=True)}
    np.testing.assert_array_equal(
        gaps.get_segments(), np.stack([np.column_stack([x, x]), np.column_stack([x, y])], 1)
    )
    np.testing.assert_array_equal(counts.get_data().values, table["count"])
    np.testing.assert_array_equal(counts.get_data().edges, [*table["left"], table["right"].iloc[-1]])


# Reliability


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("n_bins", [1, 3, 15])
def test_points_bands_gaps_and_counts_are_those_of_the_reliability_table(strategy, n_bins):
    y, p = predictions()
    display = ReliabilityDisplay.from_predictions(y, p, n_bins=n_bins, strategy=strategy)
    table = reliability_table(y, p, n_bins=n_bins, strategy=strategy)
    (line,), (band,), (gaps,), (counts,) = display.lines_, display.bands_, display.gaps_, display.counts_

    assert_panel_shows(table, line, band, gaps, counts)
    assert isinstance(display.ax_, mpl.axes.Axes)
    assert {line.axes, band.axes, gaps.axes} == {display.ax_}


@pytest.mark.parametrize("n_classes", [3, 10])
def test_a_class_wise_diagram_has_a_panel_for_each_class(n_classes):
    y, p = predictions(n_classes)
    display = ReliabilityDisplay.from_predictions(y, p, kind="classwise", n_bins=6)
    tables = reliability_table(y, p, kind="classwise", n_bins=6).groupby("class")
    drawn = zip(display.lines_, display.bands_, display.gaps_, display.counts_, strict=True)

    assert display.classes_ == list(range(n_classes))
    assert [panel.get_title() for panel in display.ax_] == [f"class {k}" for k in range(n_classes)]
    for (_, table), artists, panel in zip(tables, drawn, display.ax_, strict=True):
        assert_panel_shows(table, *artists)
        assert artists[0].axes is panel


@pytest.mark.parametrize("kind", ["confidence", "classwise"])
def test_the_legend_tells_the_calibration_error_and_its_interval(kind):
    y, p = predictions()
    error = calibration_error(y, p, kind=kind, n_bins=7)
    interval = bootstrap_interval(calibration_error, y, p, n_resamples=20, seed=3, kind=kind, n_bins=7)
    name = "ECE" if kind == "confidence" else "class-wise ECE"
    made = {"kind": kind, "n_bins": 7}
    without = ReliabilityDisplay.from_predictions(y, p, **made, name="net")
    within = ReliabilityDisplay.from_predictions(y, p, **made, n_resamples=20, seed=3)

    assert without.error == error
    assert legend_texts(without) == ["perfectly calibrated", f"net: {name} {error:.3f}"]
    assert within.interval == (interval.low, interval.high)
    text = f"{name} {error:.3f} ({interval.low:.3f} to {interval.high:.3f})"
    assert legend_texts(within) == ["perfectly calibrated", text]


def test_an_interval_of_the_error_is_cut_at_zero():
    """All predictions are right and certain but one, which a third of the resamples lack: e**-1."""
    y, p = [0] * 20, np.array([1.0, *np.ones(19)])
    p = np.column_stack([p, 1 - p])
    p[0] = 0.9, 0.1
    raw = bootstrap_interval(calibration_error, y, p, n_resamples=50)
    display = ReliabilityDisplay.from_predictions(y, p, n_resamples=50)

    assert raw.low < 0
    assert display.interval == (0.0, raw.high)


def test_lines_and_bands_are_broken_at_empty_bins():
    y, p = [1, 0, 1, 1, 0], [0.05, 0.15, 0.55, 0.85, 0.95]
    display = ReliabilityDisplay.from_predictions(y, p, kind="classwise", n_bins=10)
    missing = np.isnan(display.lines_[0].get_ydata())

    assert list(np.flatnonzero(~missing)) == [0, 1, 5, 8, 9]
    assert len(display.bands_[0].get_paths()) == 3
    assert len(display.gaps_[0].get_segments()) == 5


def test_a_perfect_model_stands_on_the_diagonal():
    y = np.arange(60) % 3
    display = ReliabilityDisplay.from_predictions(y, np.eye(3)[y], kind="classwise")

    for line, gaps in zip(display.lines_, display.gaps_, strict=True):
        np.testing.assert_array_equal(line.get_xydata()[[0, -1]], [[0, 0], [1, 1]])
        assert all((start == end).all() for start, end in gaps.get_segments())
    assert legend_texts(display)[-1] == "class-wise ECE 0.000"


def test_of_two_classes_the_second_is_drawn_and_the_first_may_be_asked_for():
    y, p = predictions(2)
    names = np.array(["no", "yes"])
    made = {"kind": "classwise", "n_bins": 5}
    second = ReliabilityDisplay.from_predictions(names[y], p, **made)
    first = ReliabilityDisplay.from_predictions(names[y], p, **made, classes_of_interest=["no"])
    tables = reliability_table(names[y], p, **made)

    for display, label in ((second, "yes"), (first, "no")):
        assert display.classes_ == [label]
        assert display.ax_.get_title() == label
        rows = tables[tables["class"] == label]
        np.testing.assert_array_equal(display.lines_[0].get_xydata(), rows[["confidence", "accuracy"]])


def test_of_many_classes_those_with_the_largest_errors_are_drawn_and_the_figure_says_so():
    y, p = predictions(40, n=2000)
    display = ReliabilityDisplay.from_predictions(y, p, kind="classwise", n_bins=10)
    table = reliability_table(y, p, kind="classwise", n_bins=10)
    table["part"] = table["count"] * (table["confidence"] - table["accuracy"]).abs()
    error = table.groupby("class")["part"].sum()

    assert display.classes_ == list(error.sort_values(ascending=False).index[:12])
    text = "12 of 40 classes, those with the largest calibration errors"
    assert display.figure_.get_suptitle() == text
    # the error of the legend is of all classes; 600 roundings of at most 1e-16 each
    assert display.error == pytest.approx(error.mean() / len(y), abs=1e-13)


def test_several_models_share_axes_scales_and_one_legend():
    y, p = predictions(40, n=1000)
    made = {"kind": "classwise", "n_bins": 5}
    first = ReliabilityDisplay.from_predictions(y, p, **made, name="one")
    height = first.figure_.get_figheight()
    second = ReliabilityDisplay.from_predictions(
        y, p**0.5 / (p**0.5).sum(axis=1, keepdims=True), **made, name="_two", ax=first.ax_,
        classes_of_interest=first.classes_,
    )  # fmt: skip
    labels = [line.get_label() for line in (first.lines_[0], second.lines_[0])]

    assert second.figure_ is first.figure_
    assert len(second.figure_.legends) == 1
    assert legend_texts(second) == ["perfectly calibrated", *labels]
    assert second.figure_.get_figheight() == pytest.approx(height)  # three short entries fit in a row
    for i, panel in enumerate(second.ax_):
        assert first.lines_[i].axes is second.lines_[i].axes is panel
        assert [line.get_color() for line in panel.lines[1:]] == list(OKABE_ITO[:2])
        assert [line.get_label() for line in panel.lines].count("perfectly calibrated") == 1
        (strip,) = panel.child_axes
        assert {first.counts_[i].axes, second.counts_[i].axes} == {strip}
    assert len({panel.child_axes[0].get_ylim() for panel in second.ax_}) == 1


def test_every_count_is_within_the_strip():
    y, p = predictions()
    with pytest.warns(UserWarning, match="sample_weight sums to 75 over 300 samples") as told:
        display = ReliabilityDisplay.from_predictions(
            y, p, kind="classwise", sample_weight=np.full(len(y), 0.25), n_resamples=5
        )
    assert len(told) == 1
    for panel, counts in zip(display.ax_, display.counts_, strict=True):
        low, high = panel.child_axes[0].get_ylim()
        values = counts.get_data().values
        assert low < values[values > 0].min() <= values.max() < high


@pytest.mark.parametrize("soft", [False, True])
def test_a_fitted_classifier_is_drawn_by_its_probabilities_and_its_name(soft):
    X, y = load_iris(return_X_y=True)
    names = np.array(["z", "y", "x"])  # sorted, they are not in the order of the codes
    model = GaussianNB().fit(X, names[y])
    target = np.eye(3)[2 - y] if soft else names[y]
    display = ReliabilityDisplay.from_estimator(model, X, target, n_bins=5)
    table = reliability_table(target, model.predict_proba(X), n_bins=5, classes=model.classes_)

    np.testing.assert_array_equal(display.lines_[0].get_xydata(), table[["confidence", "accuracy"]])
    assert legend_texts(display)[-1].startswith("GaussianNB: ECE 0.0")
    assert legend_texts(ReliabilityDisplay.from_estimator(model, X, target, name="a"))[-1].startswith("a: ")


# Temperature


def mean_loss(z, y, T):
    return cross_entropy(np.eye(z.shape[1])[y], z / T).mean()


def test_the_curve_is_the_log_loss_and_its_marks_are_the_fit():
    z, y = sample()
    display = TemperatureDisplay.from_predictions(3 * z, y, name="net")
    fit = fit_temperature(3 * z, y)
    x, loss = display.line_.get_data()
    low, high = fit.confidence_interval

    # sums of 300 numbers of about 1, in another order: 300 roundings of 2e-16
    np.testing.assert_allclose(loss, [mean_loss(3 * z, y, T) for T in x], rtol=1e-13)
    assert display.fit == fit
    np.testing.assert_array_equal(display.minimum_.get_xydata(), [[fit.temperature, fit.log_loss_after]])
    np.testing.assert_array_equal(display.one_.get_xydata(), [[1.0, fit.log_loss_before]])
    np.testing.assert_allclose(
        [display.band_.get_x(), display.band_.get_width()], [low, high - low], rtol=1e-15
    )
    assert x[0] < min(1.0, low) <= max(1.0, high) < x[-1]
    assert loss.min() >= fit.log_loss_after
    assert legend_texts(display) == [
        "T = 1",
        f"net\nT = 1: {fit.log_loss_before:.3f} nats\n"
        f"T = {fit.temperature:.2f} ({low:.2f} to {high:.2f}): {fit.log_loss_after:.3f} nats",
    ]


@pytest.mark.parametrize(
    ("pick", "limit", "end", "text"),
    [("argmax", "zero", 0, "T → 0 (0 to "), ("argmin", "infinity", -1, "to inf): 1.386 nats")],
)
def test_where_the_log_loss_falls_for_ever_the_minimum_stands_at_the_end_of_the_curve(pick, limit, end, text):
    z, _ = sample(n=50)
    with pytest.warns(UserWarning, match="the likelihood has its maximum at"):
        display = TemperatureDisplay.from_predictions(z, getattr(z, pick)(axis=1))
    x, loss = display.line_.get_data()
    low, high = display.band_.get_x(), display.band_.get_x() + display.band_.get_width()

    assert display.fit.limit == limit
    assert tuple(display.minimum_.get_xydata()[0]) == (x[end], loss[end])
    # a sum of a difference
    assert (low, high)[end] == pytest.approx(x[end], rel=1e-14)
    assert x[-1] < 1e5 * x[0]  # around T = 1 and the interval, not what stands for the limit
    assert text in legend_texts(display)[-1]


def test_logits_that_say_nothing_give_a_flat_line_with_room_around_it():
    with pytest.warns(UserWarning, match="all equal"):
        display = TemperatureDisplay.from_predictions(np.zeros((6, 3)), [0, 1, 2] * 2)
    x, loss = display.line_.get_data()

    assert x[0] < 1 < x[-1]
    # log 3, of weights 1/6 that are rounded
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-15)


def test_weights_are_repetitions_in_both_displays():
    z, y = sample(n=80)
    weights = np.arange(80) % 3
    many = np.repeat(np.arange(80), weights)
    weighted = TemperatureDisplay.from_predictions(z, y, sample_weight=weights)
    repeated = TemperatureDisplay.from_predictions(z[many], y[many])
    diagrams = [
        ReliabilityDisplay.from_predictions(y, softmax(z), sample_weight=weights),
        ReliabilityDisplay.from_predictions(y[many], softmax(z[many])),
    ]

    # ends of the curve are at the ends of intervals, which are found to 1e-6 of their width
    np.testing.assert_allclose(weighted.line_.get_xydata(), repeated.line_.get_xydata(), rtol=1e-5)
    # sums of 80 numbers in another order
    np.testing.assert_allclose(*(display.lines_[0].get_xydata() for display in diagrams), rtol=1e-13)


def test_the_interval_of_a_temperature_is_not_drawn_in_silence_for_weights_that_count_no_samples():
    z, y = sample()
    with pytest.warns(UserWarning, match="sample_weight sums to 1 over 300 samples") as told:
        TemperatureDisplay.from_predictions(z, y, sample_weight=np.full(300, 1 / 300))
    assert len(told) == 1


@pytest.mark.parametrize(
    "model",
    [GaussianNB(), SoftmaxRegression(temperature=3.0), DecisionTreeClassifier(max_depth=2), Perceptron()],
)
def test_the_temperature_of_a_fitted_classifier_is_that_of_temperature_scaling(model):
    """A TemperatureScaling around it, frozen, fits its temperature to the same logits."""
    X, y = load_iris(return_X_y=True)
    names = np.array(["z", "y", "x"])[y]
    weights = np.random.default_rng(0).integers(1, 4, len(y))
    model.fit(X[::2], names[::2])
    display = TemperatureDisplay.from_estimator(model, X, names, sample_weight=weights)
    scaled = TemperatureScaling(FrozenEstimator(model)).fit(X, names, sample_weight=weights)

    assert display.fit == scaled.temperature_fit_
    assert legend_texts(display)[-1].startswith(type(model).__name__ + "\n")


def test_several_classifiers_share_axes_and_one_legend():
    z, y = sample()
    first = TemperatureDisplay.from_predictions(3 * z, y, name="one")
    second = TemperatureDisplay.from_predictions(0.2 * z, y, name="two", ax=first.ax_)

    assert second.ax_ is first.ax_
    assert [first.line_.get_color(), second.line_.get_color()] == list(OKABE_ITO[:2])
    assert legend_texts(second) == ["T = 1", first.line_.get_label(), second.line_.get_label()]
    assert sum(line.get_label() == "T = 1" for line in second.ax_.lines) == 1


@pytest.mark.parametrize("factor", [0.01, 0.3, 1.0, 3.0, 1000.0])
def test_the_axis_of_temperatures_has_several_numbers(factor):
    z, y = sample()
    axes = TemperatureDisplay.from_predictions(factor * z, y).ax_
    axes.figure.draw_without_rendering()
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]

    assert axes.get_xscale() == "log"
    assert 3 <= len(ticks) <= 12


# What both keep to


def reliability(ax=None):
    return ReliabilityDisplay.from_predictions(*predictions(), ax=ax)


def classwise(ax=None):
    return ReliabilityDisplay.from_predictions(*predictions(2), kind="classwise", ax=ax)


def temperature(ax=None):
    return TemperatureDisplay.from_predictions(*sample(), ax=ax)


EACH = pytest.mark.parametrize("draw", [reliability, classwise, temperature])


@EACH
def test_axes_that_are_given_are_drawn_on_and_pyplot_knows_nothing_of_it(draw):
    axes = Figure().subplots()
    display = draw(axes)

    assert display.ax_ is axes
    assert display.figure_ is axes.figure
    assert legend_texts(display)
    assert axes.figure.legends == []
    assert plt.get_fignums() == []


@EACH
def test_a_display_makes_one_figure_and_leaves_the_settings_of_matplotlib(draw):
    before = dict(mpl.rcParams)
    display = draw()

    assert plt.get_fignums() == [display.figure_.number]
    assert dict(mpl.rcParams) == before


@EACH
def test_a_display_can_be_plotted_again(draw):
    first = draw()
    before = first.ax_
    texts = legend_texts(first)

    assert first.plot() is first
    assert first.ax_ is not before
    assert legend_texts(first) == texts


@pytest.mark.parametrize("name", ["price_$", "$a_$", "_hidden", "<b>", "_child"])
def test_names_of_models_are_shown_as_they_are(name):
    display = ReliabilityDisplay.from_predictions(*predictions(), name=name)
    curve = TemperatureDisplay.from_predictions(*sample(), name=name)
    for one in (display, curve):
        one.figure_.draw_without_rendering()
        assert legend_texts(one)[-1].startswith(name)


def long_names(n_classes):
    names = np.array([LONG.format(k) for k in range(n_classes)])
    y, p = predictions(n_classes, n=2000)
    return ReliabilityDisplay.from_predictions(
        names[y], p, kind="classwise", n_bins=5, classes=names, name=LONG, n_resamples=2
    )


def temperatures():
    z, y = sample()
    display = TemperatureDisplay.from_predictions(z, y, name=LONG)
    for k in range(3):
        display = TemperatureDisplay.from_predictions(k * z + z, y, name=LONG.format(k), ax=display.ax_)
    return display


@pytest.mark.parametrize(
    "draw",
    [reliability, classwise, temperature, temperatures, *(lambda k=k: long_names(k) for k in (3, 7, 100))],
)
def test_texts_of_a_figure_of_600_pixels_are_in_it_and_apart(draw):
    figure = draw().figure_
    figure.set_dpi(100)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    titles = [panel.title for panel in figure.axes if panel.get_title()]
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
    named = boxes[1 : 1 + len(titles)]
    assert not any(one.overlaps(other) for i, one in enumerate(named) for other in named[:i])


# Errors


@pytest.mark.parametrize("display", [ReliabilityDisplay, TemperatureDisplay])
def test_an_estimator_must_be_a_fitted_classifier(display, wine):
    with pytest.raises(NotFittedError):
        display.from_estimator(SoftmaxRegression(), *wine)
    with pytest.raises(TypeError, match=r"estimator must be a fitted classifier with .*, got tuple"):
        display.from_estimator(wine, *wine)


def test_a_diagram_needs_probabilities(wine):
    with pytest.raises(TypeError, match="classifier with predict_proba, got Perceptron"):
        ReliabilityDisplay.from_estimator(Perceptron().fit(*wine), *wine)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "top"}, ValueError, "kind must be"),
        ({"n_bins": 0}, ValueError, "n_bins must be an integer of at least 1, got 0"),
        ({"strategy": "width"}, ValueError, "strategy must be"),
        ({"n_resamples": 1}, ValueError, "n_resamples must be an integer of at least 2, got 1"),
        ({"n_resamples": -1}, ValueError, "n_resamples must be an integer of at least 2, got -1"),
        ({"classes_of_interest": [0]}, ValueError, 'classes_of_interest needs .*kind="classwise"'),
        ({"kind": "classwise", "classes_of_interest": [0, 9]}, ValueError, r"\[0, 1, 2, 3\], got \[0, 9\]"),
        ({"kind": "classwise", "classes_of_interest": []}, ValueError, r"classes_of_interest .* got \[\]"),
        ({"kind": "classwise", "classes_of_interest": 3}, TypeError, "classes_of_interest must .* got 3"),
        ({"kind": "classwise", "classes_of_interest": "3"}, TypeError, "classes_of_interest must .* got '3'"),
        ({"ax": "left"}, TypeError, "ax must be None, matplotlib Axes or an array of them, got str"),
        ({"ax": Figure().subplots(2)}, ValueError, "ax must hold 1 Axes, one for each panel, got 2"),
    ],
)
def test_arguments_that_fit_no_diagram_are_an_error_and_no_figure_is_made(arguments, error, message):
    with pytest.raises(error, match=message):
        ReliabilityDisplay.from_predictions(*predictions(), **arguments)
    assert plt.get_fignums() == []


def test_what_is_no_table_is_an_error():
    y, p = predictions()
    table = reliability_table(y, p)
    with pytest.raises(TypeError, match="table must be a DataFrame of reliability_table, got ndarray"):
        ReliabilityDisplay(table=p, error=0.1)
    with pytest.raises(ValueError, match=r"of the columns not \['low'\]"):
        ReliabilityDisplay(table=table.drop(columns="low"), error=0.1)
    with pytest.raises(ValueError, match="got 0 rows"):
        ReliabilityDisplay(table=table[:0], error=0.1)


def test_what_is_no_fit_and_no_curve_is_an_error():
    z, y = sample()
    fit = fit_temperature(z, y)
    with pytest.raises(TypeError, match="fit must be a TemperatureFit, got float"):
        TemperatureDisplay(fit=1.0, temperatures=[1.0], log_loss=[1.0])
    with pytest.raises(ValueError, match="temperatures must be positive increasing numbers"):
        TemperatureDisplay(fit=fit, temperatures=[2.0, 1.0], log_loss=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"log_loss must have shape \(2,\), got \(1,\)"):
        TemperatureDisplay(fit=fit, temperatures=[1.0, 2.0], log_loss=[1.0])
    with pytest.raises(ValueError, match="Input logits contains NaN"):
        TemperatureDisplay.from_predictions(z * np.nan, y)
    assert plt.get_fignums() == []
