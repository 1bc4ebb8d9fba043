"""Past one machine's memory: what fits of Dask collections and of batches take, beside the fit in memory.

From the root of the repository: ``python tests/benchmarks/scale.py``, which tries a tenth of the sizes in
some minutes; ``--shrink 1`` is all of them, and ``--only`` some of the parts:

- *fit*: passes over 1e6 x 50 numbers, 10 classes, 32 partitions, features in raw units; how many come before
  the first evaluation; its logits and its time, on Dask's threads, against the fit in memory;
- *workers*: the same on processes of one thread: bits and time of one and of two, and with workers killed
  (SIGKILL) in three passes drawn at random;
- *search*: passes of a search over 10 values of C and 5 folds against one fit;
- *parquet*: 4 GB on disk, 1e7 x 50 numbers, fitted by a process of its own, in batches and by Dask's threads:
  its peak resident size, and its time against one plain read of the files times the passes;
- *growth*: seconds, and memory of the client, for 1e5, 1e6 and 1e7 rows, 20 features and 5 classes;
- *peer*: dask-ml if it is installed, and scikit-learn's default in memory, on two and on ten classes.

All data are generated from stated seeds. Times are medians of a few fits.
"""

import argparse
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, partialmethod
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Timer
from time import perf_counter
from typing import Any

import dask
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import tables
from dask import array as da
from dask import dataframe as dd
from distributed import Client, LocalCluster, wait
from environment import describe
from machine import peak_of, resident
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from smreg import SoftmaxRegression, SoftmaxRegressionCV
from smreg.data import Batches
from smreg.data.dask_rows import DaskRows
from smreg.data.kernels import innermost

Array = NDArray[np.float64]

SEED = 11
FITS = 3  # of which the median is taken
PARTITIONS = 32
LIMIT = 1.5e9  # bytes of resident size, for a fit of files
BATCH = 65_536  # rows
EVALUATION = "value_and_gradients"


@dataclass(frozen=True)
class Size:
    """Of generated data: rows in all partitions, features, classes."""

    n: int
    p: int = 50
    n_classes: int = 10

    @property
    def rows(self) -> int:
        """In a partition."""
        return max(self.n // PARTITIONS, 1)

    @property
    def n_rows(self) -> int:
        """In all partitions."""
        return self.rows * PARTITIONS

    def partition(self, number: int) -> tables.Data:
        """Features with spreads from 1e-2 to 1e2 and means away from zero, and labels."""
        truth, rng = np.random.default_rng(SEED), np.random.default_rng([SEED, number])
        coef, means = truth.normal(size=(self.p, self.n_classes)) * 0.3, truth.normal(size=self.p) * 3
        X = rng.normal(size=(self.rows, self.p))
        y = tables.draw(rng, X @ coef)
        return (X + means) * np.logspace(-2, 2, self.p), y

    def in_memory(self) -> tables.Data:
        """All of them."""
        X, y = zip(*map(self.partition, range(PARTITIONS)), strict=True)
        return np.concatenate(X), np.concatenate(y)

    def on_workers(self) -> tuple[Any, Any]:
        """Dask arrays whose chunks are made where they are wanted."""
        parts = [dask.delayed(self.partition, nout=2)(number) for number in range(PARTITIONS)]
        X = [da.from_delayed(X, (self.rows, self.p), float) for X, _ in parts]
        y = [da.from_delayed(y, (self.rows,), int) for _, y in parts]
        return da.concatenate(X), da.concatenate(y)

    def write(self, folder: Path) -> None:
        """A file of parquet for each partition."""
        for number in range(PARTITIONS):
            X, y = self.partition(number)
            frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(self.p)]).assign(label=y)
            frame.to_parquet(folder / f"{number:02}.parquet", row_group_size=BATCH, index=False)


@contextmanager
def recorded(n: int, before: Callable[[int], None] = lambda number: None) -> Iterator[list[str]]:
    """Names of what is computed in the passes over n rows on Dask; `before` is called with their number."""
    names, of_kernels, others = ["first"], ("map_reduce", "keep"), ("sampled", "read", "of_parts")
    methods = {name: getattr(DaskRows, name) for name in of_kernels + others}

    def spied(rows: DaskRows, name: str, kernel: Any, *arguments: Any, **hints: Any) -> Any:
        if rows.n_samples == n:  # not a sample of them
            by_kernel = name in of_kernels
            names.append(innermost(kernel, arguments).__name__.strip("_") if by_kernel else name)
            before(len(names))
        return methods[name](rows, kernel, *arguments, **hints)

    for name in methods:
        setattr(DaskRows, name, partialmethod(spied, name))
    try:
        yield names
    finally:
        for name, method in methods.items():
            setattr(DaskRows, name, method)


@contextmanager
def cluster(n_workers: int) -> Iterator[Client]:
    """So many processes of one thread, which are restarted when they are lost."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # which tells of every loss
    options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options, silence_logs=logging.CRITICAL) as workers, Client(workers) as client:
        yield client


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Median of the seconds of a few calls, and what the last gave."""
    seconds = []
    for _ in range(FITS):
        began = perf_counter()
        made = call()
        seconds.append(perf_counter() - began)
    return median(seconds), made


def fit(shrink: int) -> None:
    """Print passes, agreement and time on Dask's threads."""
    size = Size(1_000_000 // shrink)
    X, y = size.in_memory()
    lazy = [da.from_array(part, chunks=(size.rows, *part.shape[1:])) for part in (X, y)]
    one, theirs = timed(lambda: SoftmaxRegression(n_jobs=2).fit(X, y))
    with dask.config.set(scheduler="threads", num_workers=2):
        other, ours = timed(lambda: SoftmaxRegression().fit(*lazy))
        with recorded(len(y)) as passes:
            ours = SoftmaxRegression().fit(*lazy)
    apart = differ(ours, theirs, X[:100_000])
    print(f"a fit of {len(y)} x {size.p}, {size.n_classes} classes, {PARTITIONS} partitions, raw units:")
    print(f"  passes                                {len(passes):8d} (at most 30)")
    print(f"  of which before the first evaluation  {passes.index(EVALUATION):8d} (at most 3)")
    print(f"  logits against memory, relative       {apart:8.1e} (at most 1e-9)")
    print(f"  seconds, threads of Dask              {other:8.2f}")
    print(f"  seconds in memory, two threads        {one:8.2f}")
    print(f"  ratio                                 {other / one:8.2f} (at most 1.3)")
    print(f"  passes: {', '.join(passes)}")


def differ(ours: SoftmaxRegression, theirs: SoftmaxRegression, X: Any) -> float:
    """Largest difference of the logits, relative to the largest of them."""
    logits = [model.decision_function(X) for model in (ours, theirs)]
    return float(np.abs(logits[0] - logits[1]).max() / np.abs(logits[1]).max())


def workers(shrink: int) -> None:
    """Print bits and time of one worker and of two, and of a fit in which workers are killed."""
    size = Size(1_000_000 // shrink)
    fits = {}
    print(f"a fit of {size.n_rows} x {size.p}, {size.n_classes} classes, on processes of one thread:")
    for count in (1, 2):
        with cluster(count) as client:
            data = client.persist(size.on_workers())
            wait(data)
            fits[count] = timed(partial(SoftmaxRegression().fit, *data))
            print(f"  {count} workers: {fits[count][0]:.2f} s")
    (one, alone), (two, both) = fits[1], fits[2]
    print(f"  two against one                       {one / two:8.2f} times as fast (at least 1.6)")
    print(f"  the same bits                         {'yes' if same(alone, both) else 'NO':>8}")
    with cluster(2) as client:
        seconds, killed, disturbed = fit_with_losses(client, size)
        print(f"  with workers killed in passes {killed}: {seconds:.2f} s")
        print(f"  the same bits                         {'yes' if same(disturbed, both) else 'NO':>8}")


def same(ours: SoftmaxRegression, theirs: SoftmaxRegression) -> bool:
    """Whether two fits agree to the last bit."""
    return np.array_equal(ours.coef_, theirs.coef_) and np.array_equal(ours.intercept_, theirs.intercept_)


def fit_with_losses(client: Client, size: Size) -> tuple[float, list[int], SoftmaxRegression]:
    """A fit in which a worker is killed in three passes: seconds, the passes, and the fit."""
    rng = np.random.default_rng(SEED)
    passes = sorted(rng.choice(np.arange(2, 12), 3, replace=False).tolist())
    timers = []

    def before(number: int) -> None:
        if number in passes:
            pids = list(client.run(os.getpid).values())
            timers.append(Timer(rng.uniform(0, 0.2), os.kill, (int(rng.choice(pids)), signal.SIGKILL)))
            timers[-1].start()

    began = perf_counter()
    with recorded(size.n_rows, before):
        model = SoftmaxRegression().fit(*size.on_workers())
    return perf_counter() - began, passes, model


def search(shrink: int) -> None:
    """Print the passes of a search against those of a fit."""
    size = Size(1_000_000 // shrink)
    X, y = size.on_workers()
    counts = {}
    models = {
        "fit": SoftmaxRegression(),
        "given": SoftmaxRegressionCV(Cs=np.logspace(-3, 2, 10), cv=5),
        "by the data": SoftmaxRegressionCV(Cs=10, cv=5),
    }
    with dask.config.set(scheduler="threads", num_workers=2):
        data = dask.persist(X, y)
        for name, model in models.items():
            with recorded(size.n_rows) as passes:
                model.fit(*data)
            counts[name] = len(passes)
    print(f"a search over 10 C's and 5 folds, {size.n_rows} x {size.p}, {size.n_classes} classes:")
    for name in ("given", "by the data"):
        print(f"  passes, C's {name:20s}     {counts[name]:5d}")
        print(f"  against one fit ({counts['fit']})     {counts[name] / counts['fit']:17.2f} (at most 4)")


class Files:
    """Reads batches of the files of a folder, and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.passes = sorted(folder.glob("*.parquet")), 0

    def __call__(self) -> Iterator[Any]:
        """The batches, from the first on."""
        self.passes += 1
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(BATCH)


@dataclass(frozen=True)
class Reading:
    """A fit of files: seconds of it and of a plain read, passes, largest resident size in bytes, logits."""

    seconds: float
    plain: float
    passes: int
    peak: float
    logits: Array


def read_in_batches(folder: Path, X: Any) -> Reading:
    """Fit batches of files."""
    files = Files(folder)
    plain = seconds_of(lambda: sum(batch.num_rows for batch in files()))
    files.passes, model = 0, SoftmaxRegression(n_jobs=2)
    seconds = seconds_of(lambda: model.fit(Batches(files, target="label")))
    return Reading(seconds, plain, files.passes, peak(), model.decision_function(X))


def read_by_dask(folder: Path, X: Any) -> Reading:
    """Fit a frame of files by Dask's threads."""
    frame = dd.read_parquet(folder, split_row_groups=True)  # else whole files are held
    with dask.config.set(scheduler="threads", num_workers=2):
        plain = seconds_of(lambda: dask.compute(*map(dask.delayed(len), frame.to_delayed())))
        model, columns = SoftmaxRegression(), list(X.columns)
        with recorded(len(frame)) as passes:
            seconds = seconds_of(lambda: model.fit(frame[columns], frame["label"]))
    return Reading(seconds, plain, len(passes), peak(), model.decision_function(X))


def seconds_of(call: Callable[[], Any]) -> float:
    """Seconds of a call."""
    began = perf_counter()
    call()
    return perf_counter() - began


def peak() -> float:
    """Largest resident size of this process so far, in bytes."""
    return 1024 * resident("VmHWM")


def parquet(shrink: int) -> None:
    """Print time and memory of fits of files, each in a process of its own."""
    size = Size(10_000_000 // shrink)
    with TemporaryDirectory() as name:
        folder = Path(name)
        size.write(folder)
        stored = sum(path.stat().st_size for path in folder.iterdir())
        X = pd.read_parquet(folder / "00.parquet").drop(columns="label")[:1000]
        print(f"{stored / 1e9:.2f} GB of parquet, {size.n_rows} x {size.p}, {size.n_classes} classes:")
        readings = {}
        for how in (read_in_batches, read_by_dask):
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                readings[how] = reading = process.submit(how, folder, X).result()
            ratio = reading.seconds / (reading.passes * reading.plain)
            print(f"  {how.__name__}: {reading.seconds:.1f} s")
            print(f"    passes                              {reading.passes:8d}")
            print(f"    seconds of a plain read             {reading.plain:8.2f}")
            print(f"    seconds over plain reads            {ratio:8.2f} (at most 2)")
            print(
                f"    peak resident size, GB              {reading.peak / 1e9:8.2f} (at most {LIMIT / 1e9})"
            )
    ours, theirs = (reading.logits for reading in readings.values())
    print(
        f"  logits against each other, relative   {np.abs(ours - theirs).max() / np.abs(theirs).max():8.1e}"
    )


def growth(shrink: int) -> None:
    """Print seconds, and the client's memory, for more and more rows."""
    sizes = [Size(10**power // shrink, 20, 5) for power in (5, 6, 7)]
    seconds = []
    print("growth with the rows, 20 features, 5 classes, two workers:")
    with cluster(2) as client:
        for size in sizes:
            data = client.persist(size.on_workers())
            wait(data)
            fitted = partial(SoftmaxRegression().fit, *data)
            taken, _ = peak_of(fitted)
            seconds.append(timed(fitted)[0])
            print(
                f"  {size.n_rows:>9} rows: {seconds[-1]:7.2f} s, {taken:6.1f} MiB taken by the client at most"
            )
            del data, fitted
    exponent = np.polyfit(np.log([size.n for size in sizes]), np.log(seconds), 1)[0]
    print(f"  seconds grow as the rows to the power {exponent:8.2f} (at most 1.05)")


def peer(shrink: int) -> None:
    """Print time and loss of smreg on Dask, of dask-ml, and of scikit-learn's default in memory."""
    for n_classes in (2, 10):
        size = Size(1_000_000 // shrink, n_classes=n_classes)
        X, y = size.in_memory()
        lazy = [da.from_array(part, chunks=(size.rows, *part.shape[1:])) for part in (X, y)]
        print(f"peers on {size.n_rows} x {size.p}, {n_classes} classes, raw units, two threads:")
        fits = {
            "smreg, Dask": lambda lazy=lazy: SoftmaxRegression().fit(*lazy),
            "dask-ml, Dask": lambda lazy=lazy: dask_ml_default().fit(*lazy),
            "scikit-learn, in memory": lambda X=X, y=y: LogisticRegression().fit(X, y),
        }
        for name, fitted in fits.items():
            print(f"  {name:<36}  {outcome(fitted, X, y)}")


def dask_ml_default() -> Any:
    """The logistic regression of dask-ml, by L-BFGS like the others."""
    from dask_ml.linear_model import LogisticRegression

    return LogisticRegression(solver="lbfgs")


def outcome(fitted: Callable[[], Any], X: Array, y: NDArray[np.int64]) -> str:
    """Seconds of a fit, and its mean loss in nats, or why there is none."""
    with dask.config.set(scheduler="threads", num_workers=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = perf_counter()
        try:
            model = fitted()
            seconds = perf_counter() - began
            p = np.asarray(model.predict_proba(X))
            loss = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-300)).mean()
        except Exception as error:  # of any kind: it is another's
            return f"{type(error).__name__}: {str(error)[:80]}"
    return f"{seconds:8.2f} s, log loss {loss:.6f}"


BENCHMARKS = {
    "fit": fit,
    "workers": workers,
    "search": search,
    "parquet": parquet,
    "growth": growth,
    "peer": peer,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--shrink", type=int, default=10, help="divide the rows by this")
    options = parser.parse_args(arguments)
    print(describe())
    for name in options.only:
        print()
        BENCHMARKS[name](options.shrink)
    return 0


if __name__ == "__main__":
    sys.exit(main())
