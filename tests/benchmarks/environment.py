"""What a measurement depends on beside the code: the machine, the versions, the number of threads."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits


def describe() -> str:
    """Processor and what else it is doing, versions, BLAS."""
    packages = ("smreg", "scikit-learn", "scipy", "numpy")
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    blas = {
        f"{info['internal_api']} {info['version']}"
        for info in threadpool_info()
        if "blas" in info["user_api"]
    }
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    where = f"{_processor()}, {os.cpu_count()} CPUs, load {load} before the start"
    return f"{where}; Python {platform.python_version()}, {versions}, BLAS {' and '.join(sorted(blas))}"


@contextmanager
def pinned(threads: int, blas: int) -> Iterator[None]:
    """Hold OpenMP and BLAS to numbers of threads."""
    with threadpool_limits(threads, user_api="openmp"), threadpool_limits(blas, user_api="blas"):
        yield


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
