"""Newton's method in the row space of wide sparse data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from objectives import Sample, objective_of
from optima import assert_optimal, optimum
from problems import labels
from scipy import sparse

from smreg import SoftmaxRegression
from smreg.fit import rownewton
from smreg.fit.dual import DualRows
from smreg.objective import information
from smreg.objective.rowspace import is_wide

EPS = np.finfo(np.float64).eps


def texts(rng, n_classes=3, n=160, p=300):
    """Counts, in a twentieth of the columns or in hardly any; all rows have something in the first one."""
    often = rng.random(p) < 0.05
    X = rng.poisson(np.where(often, 0.5, 0.03), size=(n, p)) * 0.5
    X[:, 0] = 3 + rng.normal(size=n)
    y = labels(X[:, often] @ rng.normal(size=(often.sum(), n_classes)), rng)
    y[:n_classes] = np.arange(n_classes)
    return X, y


def problem(rng, n_classes=3, C=10.0, *, fit_intercept=True, **options):
    """An objective, its rows with one of them left out, a point that is no optimum, and its model."""
    X, y = texts(rng, n_classes)
    weights = rng.random(len(y))
    weights[-1] = 0.0
    weights /= weights.sum()
    priors = np.bincount(y, weights)
    objective = objective_of(
        sparse.csr_array(X),
        Sample(y, weights, priors),
        ridge=1 / (C * len(y)),
        fit_intercept=fit_intercept,
    )
    rows = DualRows(objective, **options)
    dual = rng.normal(size=rows.target.shape)
    dual -= dual.mean(axis=0)
    dual -= dual.mean(axis=1, keepdims=True)
    intercept = np.log(priors) - np.log(priors).mean() if fit_intercept else np.zeros(n_classes)
    return objective, rows, rows.state(dual * 0.02, rows.gram(dual) * 0.02, intercept)


def plain(X, y, C):
    """The objective of rows of equal weight."""
    sample = Sample(y, np.full(len(y), 1 / len(y)), np.bincount(y) / len(y))
    return objective_of(sparse.csr_array(X), sample, ridge=1 / (C * len(y)))


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_the_texts_of_these_tests_are_solved_in_the_row_space_that_is_never_made(n_classes, rng):
    X, y = texts(rng, n_classes)
    objective = plain(X, y, C=1e4)

    assert not is_wide(objective.rows, len(y) * 2 // 3, penalised=True)
    assert rownewton.applies(objective)


@pytest.mark.parametrize("C", [0.01, 1.0, 1e4])
@pytest.mark.parametrize(("n_classes", "fit_intercept"), [(2, True), (3, True), (2, False), (4, False)])
def test_the_optimum_is_reached(C, n_classes, fit_intercept, rng):
    X, y = texts(rng, n_classes)
    weights = rng.integers(0, 3, len(y)).astype(float)
    weights[:n_classes] = 1.0

    model = SoftmaxRegression(C=C, tol=1e-6, fit_intercept=fit_intercept)
    model.fit(sparse.csr_array(X), y, sample_weight=weights)

    assert model.converged_
    assert_optimal(model, X, optimum(X, y, weights, C, fit_intercept=fit_intercept), 1e-6)


def test_a_looser_tolerance_never_costs_more(rng):
    X, y = texts(rng)
    spent = [
        SoftmaxRegression(C=1e4, tol=tol).fit(sparse.csr_array(X), y).solution_.evaluations
        for tol in (0.5, 0.1, 1e-2, 1e-4)
    ]

    assert spent == sorted(spent)


def test_soft_targets_reach_their_optimum(rng):
    X, y = texts(rng)
    T = 0.9 * np.eye(3)[y] + 0.1 / 3

    model = SoftmaxRegression(tol=1e-6).fit(sparse.csr_array(X), T)

    assert_optimal(model, X, optimum(X, T), 1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_step_is_newtons(n_classes, fit_intercept, rng):
    objective, rows, state = problem(rng, n_classes, fit_intercept=fit_intercept)
    phi = rows.coordinates(state)
    value, gradient = objective(phi)
    H = information.information(objective, phi)
    newton = -np.linalg.solve(H, gradient)
    decrement = np.sqrt(-gradient @ newton)

    step = rownewton._Model(rows, state, rows.penalty).minimised(0.0, enough=2.0**-40)
    reached = rows.state(
        state.dual + step.dual, state.predictors + step.predictors, state.intercept + step.intercept
    )
    error = rows.coordinates(reached) - phi - newton

    assert_allclose(state.value, value, rtol=1e-13)
    # at most 2**-40 of the model's decrease is missing: of its root, the length in H, 2**-20
    assert np.sqrt(error @ H @ error) <= 2.0**-20 * decrement
    assert_allclose(step.norm, decrement, rtol=2.0**-40)


def test_the_norm_is_bounded_from_above_however_early_conjugate_gradients_end(rng):
    objective, rows, state = problem(rng)
    phi = rows.coordinates(state)
    gradient = objective(phi)[1]
    H = information.information(objective, phi)
    decrement = np.sqrt(gradient @ np.linalg.solve(H, gradient))

    for enough in (10.0, 1.0, 0.1, 0.01):
        norm = rownewton._Model(rows, state, rows.penalty).minimised(0.0, enough=enough).norm

        assert decrement * (1 - 1e-12) <= norm <= np.sqrt(1 + enough) * decrement * (1 + 1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("rank", [0, 40])
def test_the_preconditioner_inverts_the_diagonal_and_the_dense_columns(n_classes, rank, rng):
    _, rows, state = problem(rng, n_classes, rank=rank)
    model = rownewton._Model(rows, state, 3 * rows.penalty)
    r = rng.normal(size=rows.target.shape)

    w = model.preconditioned(r)
    image = model.information(w)
    back = 3 * rows.penalty * w + rows.diagonal * image + rows.dense @ (rows.dense.T @ image)

    assert rows.dense.shape[1] == rank // n_classes
    # factors carry a jitter of 2**-40 of the diagonal
    assert_allclose(back, r, rtol=0, atol=2.0**-38 * np.abs(rows.diagonal * image).max() + 1e-9)


def test_diagonal_and_dense_columns_are_those_of_the_centred_rows(rng):
    objective, rows, _ = problem(rng)
    X = objective.rows.csr.toarray()[:-1]
    mean = objective.coordinates.mean
    centred = X - mean

    squares = _squares(rows.dense) + rows.diagonal[:, 0]

    assert_allclose(squares, _squares(centred), rtol=1e-12)
    assert_allclose(_squares(rows.dense.T)[0], np.sum((X[:, 0] - mean[0]) ** 2), rtol=1e-12)


def _squares(rows):
    return np.sum(rows**2, axis=1)


def test_every_step_lowers_the_objective(rng):
    objective, _, _ = problem(rng, C=1e4)
    values = [objective.null.value]

    def report(coordinates, value, norm):
        assert_allclose(objective(coordinates())[0], value, rtol=1e-12)
        values.append(value)
        return False

    found = rownewton.minimize(objective, None, tol=1e-5, max_iter=100, on_iteration=report)

    assert found.reason == "converged"
    assert len(values) == found.iterations + 1
    assert (np.diff(values) < 0).all()


def test_a_limit_and_a_callback_end_the_search_with_the_norm_of_the_place(rng):
    objective, _, _ = problem(rng)

    last = rownewton.minimize(objective, None, tol=0.0, max_iter=2)
    stopped = rownewton.minimize(objective, None, tol=0.0, max_iter=9, on_iteration=lambda *_: True)
    H = information.information(objective, last.point.x)
    decrement = np.sqrt(last.point.gradient @ np.linalg.solve(H, last.point.gradient))

    assert (last.reason, last.iterations) == ("max_iter", 2)
    assert (stopped.reason, stopped.iterations) == ("callback", 1)
    # conjugate gradients leave a tenth of the decrease
    assert decrement <= last.point.norm * (1 + 1e-12) <= np.sqrt(1.1) * decrement * (1 + 2e-12)


def test_an_optimum_of_any_penalty_is_found_again_from_its_coefficients(rng):
    objective, rows, _ = problem(rng)
    cold = rownewton.minimize(objective, None, tol=1e-8, max_iter=100)

    again = rownewton.minimize(objective, cold.point.x, tol=1e-4, max_iter=100)
    state = rows.state_at(cold.point.x)

    # V is -R / gamma, where R is off by S e, and e by 1e-8 in the norm of S: the excess is at most the square
    # of that times kappa (1 + kappa) / 2, with the largest eigenvalue kappa of X' S X / gamma
    largest = np.linalg.norm(objective.rows.csr.toarray(), 2) ** 2 * objective.rows.weights.max() / 2
    kappa = largest / objective.penalty.ridge
    assert abs(state.value - cold.point.value) <= kappa * (1 + kappa) / 2 * 1e-16 + 1e-14
    assert again.iterations == 1
    assert again.evaluations < cold.evaluations


@pytest.mark.parametrize("seed", [0, 1])
def test_where_conjugate_gradients_fail_lbfgs_goes_on(seed):
    """Many columns in other units are common to most rows, and hardly any penalty."""
    rng, C = np.random.default_rng(seed), 1e4
    X = rng.normal(size=(300, 320)) * (rng.random((300, 320)) < np.where(np.arange(320) < 150, 0.8, 0.02))
    X[:, :150] *= 10.0 ** rng.uniform(-1, 2, 150)
    y = labels(X[:, :3] / 10, rng)
    alone = rownewton.minimize(plain(X, y, C), None, tol=1e-6, max_iter=1000)

    model = SoftmaxRegression(C=C, tol=1e-6, max_iter=1000).fit(sparse.csr_array(X), y)

    assert (alone.reason, alone.point.norm) == ("rounding", np.inf)
    assert model.solution_.evaluations > alone.evaluations
    assert model.converged_
    assert_optimal(model, X, optimum(X, y, C=C), 1e-6)


@pytest.mark.parametrize("unit", [1e-120, 1e-8, 1e8, 1e120])
def test_columns_of_any_unit_are_solved(unit, rng):
    X, y = texts(rng)

    model = SoftmaxRegression(C=unit**-2, tol=1e-6).fit(sparse.csr_array(X * unit), y)
    expected = SoftmaxRegression(tol=1e-6).fit(sparse.csr_array(X), y)

    # both are within 1e-6 of the optimum, in the root of the excess
    assert abs(model.solution_.objective - expected.solution_.objective) <= 1e-12
    assert model.converged_


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_column_of_large_unit_among_others_is_solved(seed):
    """With 0 and 5 twenty conjugate gradients find a tenth of the decrement, which passes for all of it."""
    X, y = texts(np.random.default_rng(seed))
    X[:, 1:4] *= [1e5, 1e-5, 1e3]

    model = SoftmaxRegression(C=100.0, tol=1e-6).fit(sparse.csr_array(X), y)

    assert model.converged_
    assert_optimal(model, X, optimum(X, y, C=100.0), 1e-6)


def test_the_number_of_threads_changes_no_bit(rng):
    X, y = texts(rng)
    one, two = (SoftmaxRegression(n_jobs=n).fit(sparse.csr_array(X), y) for n in (1, 2))

    assert_array_equal(one.coef_, two.coef_)
    assert_array_equal(one.intercept_, two.intercept_)


def test_empty_rows_and_columns_take_no_part(rng):
    X, y = texts(rng)
    X[::7] = 0.0
    X[:, ::5] = 0.0

    model = SoftmaxRegression(tol=1e-6).fit(sparse.csr_array(X), y)

    assert_array_equal(model.coef_[:, ::5], 0.0)
    assert_optimal(model, X, optimum(X, y), 1e-6)


def test_it_is_for_sparse_data_of_fewer_rows_than_columns_with_a_penalty(rng):
    X, y = texts(rng)
    sample = Sample(y, np.full(len(y), 1 / len(y)), np.bincount(y) / len(y))

    def applies(X, penalty=1.0):
        return rownewton.applies(
            objective_of(
                X,
                Sample(sample.target[: X.shape[0]], sample.weights[: X.shape[0]], sample.priors),
                ridge=penalty,
            )
        )

    wide = sparse.csr_array(X)
    assert applies(wide)
    assert not applies(X)
    assert not applies(wide, penalty=0.0)
    assert not applies(sparse.csr_array(X[:, :50]))
    assert not applies(wide * 0.0)


def rows_of_two_numbers(seed, n=40, p=273, n_classes=4):
    """Whole numbers in units from 2**-6 to 2**6, two in a row, and soft targets."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, p))
    for _ in range(2):
        X[np.arange(n), rng.integers(0, p, n)] = rng.integers(1, 4, n)
    return X * 2.0 ** rng.integers(-6, 7, p), rng.dirichlet(np.ones(n_classes), n)


@pytest.mark.parametrize("seed", [1, 23, 31])
def test_a_fit_at_a_tight_tolerance_is_not_led_away_by_the_rounding_of_a_last_step(seed):
    """As near to the optimum, in the metric of the Hessian, as it says: tol, and 1e-10 of the dense fit."""
    X, y = rows_of_two_numbers(seed)
    dense = SoftmaxRegression(C=10.0, tol=1e-10).fit(X, y)
    stored = SoftmaxRegression(C=10.0, tol=1e-8).fit(sparse.csr_array(X), y)
    p, off = dense.predict_proba(X), stored.decision_function(X) - dense.decision_function(X)
    off -= (p * off).sum(axis=1, keepdims=True)
    squared = (p * off**2).sum(axis=1).mean() + ((stored.coef_ - dense.coef_) ** 2).sum() / (10.0 * len(y))

    assert stored.converged_
    assert np.sqrt(squared) <= 1e-8 + 1e-10


@pytest.mark.parametrize("exponent", [0, 3, 5, 6, 8, 15, 100])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_column_in_a_huge_unit_among_words_hides_none_of_them(n_classes, exponent, rng):
    """Its square times the inverse penalty is beyond float64's digits: the fit was called converged where it
    began. Dense X is solved in another way; both excesses are at most ``tol**2``.
    """
    X, y = texts(rng, n_classes)
    X = np.column_stack([X, 10.0**exponent * rng.normal(size=len(X))])
    dense, stored = (SoftmaxRegression(tol=1e-6).fit(Z, y) for Z in (X, sparse.csr_array(X)))

    assert dense.converged_
    assert stored.converged_
    assert stored.solution_.objective == pytest.approx(dense.solution_.objective, abs=1e-12)


def test_a_rise_of_the_model_that_rounding_makes_is_no_norm_of_zero(rng):
    """The model of a column of 1e8 and its bound are of order 1e33, and their difference was zero."""
    X, y = texts(rng, 3)
    X = np.column_stack([X, 1e8 * rng.normal(size=len(X))])
    objective = plain(X, y, C=1.0)
    rows = DualRows(objective)
    step = rownewton._Model(rows, rows.state_at(objective.start()), rows.penalty).minimised(1e-6)

    assert step.norm > 1e-6
