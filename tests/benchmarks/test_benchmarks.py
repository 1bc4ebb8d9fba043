"""The benchmarks run, and the optimum that they hold everyone to is one. Nothing here is timed."""

import json
import pickle
from dataclasses import replace
from functools import partial

import bias
import calibration
import elastic_net
import gate
import gated
import machine
import numpy as np
import paths
import pytest
import scale
import solvers
import tables
from reference import Problem, minimum
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss


@pytest.fixture(params=["three classes", "two classes", "sparse", "wide"])
def problem(request):
    if request.param == "two classes":
        return Problem(*load_breast_cancer(return_X_y=True))
    if request.param == "wide":
        return Problem(*tables.wide(30, 40))
    X, y = load_iris(return_X_y=True)
    return Problem(sparse.csr_matrix(X) if request.param == "sparse" else X, y)


@pytest.fixture
def theirs(problem):
    return LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(problem.X, problem.y)


def test_the_objective_is_that_of_logistic_regression(problem, theirs):
    loss = log_loss(problem.y, theirs.predict_proba(problem.X))
    ridge = np.sum(theirs.coef_**2) / (2 * len(problem.y))

    assert problem.value(theirs.coef_, theirs.intercept_) == pytest.approx(loss + ridge, rel=1e-12)


def test_the_reference_is_its_minimum(problem, theirs):
    best = minimum(problem)

    assert best.decrement < 1e-15
    assert abs(problem.gap(problem.value(theirs.coef_, theirs.intercept_), best.value)) < 1e-12
    assert problem.value(best.coef, best.intercept) == best.value


def test_the_diagonal_preconditioner_leads_to_the_same_minimum(problem):
    best = minimum(problem)

    assert abs(problem.gap(minimum(problem, max_dense=0).value, best.value)) < 1e-12


@pytest.mark.parametrize("name", tables.ALL)
def test_the_data_are_finite_and_have_all_their_classes(name):
    X, y = tables.ALL[name]()

    assert np.array_equal(np.unique(y), np.arange(y.max() + 1))
    assert X.shape[0] == len(y)
    assert np.isfinite(X.data if sparse.issparse(X) else X).all()


def test_the_table_of_solvers_is_printed(capsys):
    assert solvers.main(["--data", "iris", "--limit", "10", "--rounds", "1"]) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line and line[0] in solvers.SOLVERS]
    assert [row[0] for row in rows] == list(solvers.SOLVERS)
    assert all(float(row[-2]) <= 1e-6 for row in rows)


def test_a_value_below_the_reference_is_told(capsys):
    below = [solvers.Result("smreg", objective=0.1925)]

    assert solvers.main(["--data", "iris"], lambda *arguments: below) == 1
    assert "the reference is wrong" in capsys.readouterr().out


def test_the_table_of_the_elastic_net_is_printed(capsys):
    assert elastic_net.main(["--data", "wine", "--limit", "10"]) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line and line[0] == "wine"]
    assert [row[2] for row in rows] == ["smreg", "saga"] * 2
    assert all(0 <= float(row[5]) <= 1e-6 for row in rows)


def test_the_table_of_the_bias_is_printed(capsys):
    assert bias.main(["--repetitions", "5"]) == 0

    printed = capsys.readouterr().out
    assert all(name in printed for name in bias.MODELS)


def test_the_benchmarks_of_the_machine_are_printed(capsys):
    assert machine.main(["--shrink", "200", "--rounds", "1", "--pause", "0"]) == 0

    printed = capsys.readouterr().out
    assert all(name in printed for name in machine.BENCHMARKS)


def test_the_benchmarks_of_calibration_are_printed(capsys, tmp_path):
    z, y = calibration.draw(200, 3)
    np.savez(tmp_path / "logits.npz", logits_val=z, y_val=y, logits_test=z, y_test=y)

    trial = ["--shrink", "200", "--rounds", "1", "--pause", "0"]
    assert calibration.main([*trial, "--logits", str(tmp_path / "logits.npz")]) == 0

    printed = capsys.readouterr().out
    assert all(name in printed for name in ["temperature", "memory", "95 %", "np.log", "class-wise ECE"])


class InThisProcess:
    """A worker without a process of its own, which the table of solvers tries."""

    def __init__(self, data, warm_up, limit):
        self.data, self.limit = data, limit

    def fit(self, fitting, limit=None):
        """Fit, after the way that a fitting takes to a process."""
        return pickle.loads(pickle.dumps(fitting)).fit(*self.data)

    def stop(self):
        """Nothing to end."""


TRIAL = ["--Cs", "0.01", "1", "--rounds", "1"]


def test_the_table_of_searches_is_printed(capsys):
    compare = partial(paths.compare, worker_of=InThisProcess)

    assert paths.main(["--only", "searches", "--data", "iris", "--threads", "1", *TRIAL], None, compare) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line and line[0] in ("smreg", *paths.PEERS)][:3]
    assert [row[0] for row in rows] == ["smreg", *paths.PEERS]
    assert all(float(row[-3]) <= 1e-6 for row in rows)


@pytest.mark.parametrize(("exact", "lowest"), [("1e-2", 0.0), ("1e-8", -1e-6)])
def test_a_minimum_that_is_not_one_is_told(exact, lowest, capsys):
    """It is not the exact one, or a fit goes below it."""
    found, options = [paths.Result("smreg", lowest=lowest)], ["--only", "searches", "--data", "iris", *TRIAL]

    assert paths.main([*options, "--exact", exact], None, lambda *arguments: found) == 1
    assert "A minimum is wrong" in capsys.readouterr().out


def test_the_benchmark_of_paths_takes_other_data(capsys):
    data = {"letters": tables.ALL["iris"], "mine": tables.ALL["wine"]}

    assert paths.main(["--only", "threads", "memory", "--shrink", "200", *TRIAL], data) == 0

    printed = capsys.readouterr().out
    assert all(text in printed for text in ("letters ", "mine ", "memory of a search on 1000 x 50"))


@pytest.mark.slow
def test_the_benchmarks_of_scale_are_printed(capsys, monkeypatch):
    """All but the search, on some rows in each partition; the same bits come from any number of workers."""
    monkeypatch.setattr(scale, "FITS", 1)

    assert scale.main(["--shrink", "1000", "--only", "fit", "workers", "parquet", "growth", "peer"]) == 0

    printed = capsys.readouterr().out
    assert all(text in printed for text in ("two against one", "plain read", "to the power", "dask-ml"))
    assert "NO" not in printed


COUNTS = gated.Counts(evaluations=10, passes=100, refreshes=3, converged=True)


@pytest.mark.parametrize(
    "change", [{"evaluations": 13}, {"passes": 111}, {"refreshes": 6}, {"converged": False}]
)
def test_what_costs_more_or_converges_no_longer_is_a_fault(change):
    [fault] = gate.faults({"iris": replace(COUNTS, **change)}, {"iris": COUNTS})

    assert fault.startswith("iris: ")


@pytest.mark.parametrize(
    "change",
    [{"evaluations": 12}, {"passes": 110}, {"refreshes": 5}, {"evaluations": 1}, {"refreshes": None}],
)
def test_the_larger_of_two_and_a_tenth_more_is_no_fault_and_less_is_none(change):
    assert gate.faults({"iris": replace(COUNTS, **change)}, {"iris": COUNTS}) == []


def test_a_fit_that_did_not_converge_before_need_not():
    never = replace(COUNTS, converged=False)

    assert gate.faults({"iris": never}, {"iris": never}) == []
    assert gate.faults({"iris": COUNTS}, {"iris": never}) == []


def test_a_case_that_is_new_or_gone_is_a_fault_that_says_to_update():
    faults = gate.faults({"new": COUNTS}, {"gone": COUNTS})

    assert [fault.split(":")[0] for fault in faults] == ["new", "gone"]
    assert all("--update" in fault for fault in faults)


@pytest.fixture
def two_cases():
    return {name: gated.ALL[name] for name in ("iris, C=1", "path of wine")}


def test_the_gate_keeps_its_record_and_the_reason_of_each_update(two_cases, tmp_path, capsys):
    """Without a record all cases are new; with one the same code passes; lower counts there are told."""
    path = tmp_path / "gate.json"
    assert gate.main([], two_cases, path) == 1
    assert not path.exists()

    assert gate.main(["--update", "first"], two_cases, path) == 0
    assert gate.main(["--update", "second"], two_cases, path) == 0
    assert gate.main([], two_cases, path) == 0

    stored = json.loads(path.read_text())
    assert (stored["reasons"], stored["kernel"]) == (["first", "second"], gate.kernel())
    assert list(stored["counts"]) == list(two_cases)
    assert gate.Record.read(path).counts["iris, C=1"].evaluations > 0

    stored["counts"]["iris, C=1"]["evaluations"] = 0
    path.write_text(json.dumps(stored))
    capsys.readouterr()
    assert gate.main([], two_cases, path) == 1
    assert "iris, C=1: " in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["", " "])
def test_an_update_needs_a_reason(reason, two_cases, tmp_path):
    with pytest.raises(SystemExit):
        gate.main(["--update", reason], two_cases, tmp_path / "gate.json")


def test_the_record_of_the_gate_knows_all_of_its_cases():
    record = gate.Record.read(gate.RECORD)

    assert list(record.counts) == list(gated.ALL)
    assert all(reason.strip() for reason in record.reasons)


def test_passes_are_counted_and_the_design_is_as_before():
    """An evaluation is a pass at least; what counts them is gone afterwards."""
    before = gated.MatrixRows.map_blocks
    counts, _ = gated.ALL["units, C=1"].run()

    assert counts.passes >= counts.evaluations > 0
    assert gated.MatrixRows.map_blocks is before
