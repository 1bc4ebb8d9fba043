"""What all tests share: settings that must stand before SciPy is imported, and the tables."""

import os
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # without it scikit-learn skips check_array_api_input
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from sklearn import datasets
from threadpoolctl import threadpool_limits

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "thorough",
    max_examples=10_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("repeatable")

TABLES = Path(__file__).parents[1] / "datasets"


@pytest.fixture(params=["iris", "wine", "digits", "breast_cancer"])
def raw_data(request):
    """Features in raw units, and class codes."""
    return getattr(datasets, f"load_{request.param}")(return_X_y=True)


@pytest.fixture
def wine():
    return datasets.load_wine(return_X_y=True)


@pytest.fixture
def table():
    """Read one of the project's tables: ``table("wine.csv")``."""
    return lambda name: pd.read_csv(TABLES / name)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread():
    """The pools of NumPy's and SciPy's BLAS contend: scikit-learn's solvers take ten times as long."""
    with threadpool_limits(1, user_api="blas"):
        yield
