"""
More data than memory
=====================

A fit of softmax regression reads its sample some twenty times, and in each pass only adds up: losses,
gradients, a matrix of second derivatives. Nothing needs all rows at once. So the rows can stay on disk, and
memory is needed for those alone that are being read. Here the same sample is fitted three times, in batches,
by Dask and in memory, and a picture shows what each of them took.

Run it with ``python examples/plot_out_of_core.py [--output FOLDER]``; it needs ``smreg[plots,dask]``, and no
cluster.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import dask
import dask.dataframe as dd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from smreg import SoftmaxRegression
from smreg.data import Batches

parser = argparse.ArgumentParser(description="More data than memory.")
parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="where it goes")
output = parser.parse_known_args()[0].output  # a notebook has arguments of its own
output.mkdir(parents=True, exist_ok=True)

# %%
# A table on disk
# ---------------
# Trips through a city, generated: how each was made depends on its length, the hour, the rain and many other
# measurements, in raw units. They are written month by month, so that this takes little memory too.

MODES = np.array(["bike", "bus", "car"])
MONTHS, TRIPS, FEATURES = 36, 3_000, 100
UNITS = np.logspace(-2, 3, FEATURES)
rng = np.random.default_rng(0)
effects = rng.normal(size=(FEATURES, len(MODES)))


def month() -> pd.DataFrame:
    """Trips of a month: measurements, and the mode."""
    measured = rng.normal(size=(TRIPS, FEATURES))
    utility = measured @ effects + 4 * rng.gumbel(size=(TRIPS, len(MODES)))
    frame = pd.DataFrame(measured * UNITS, columns=[f"feature_{j}" for j in range(FEATURES)])
    return frame.assign(mode=MODES[utility.argmax(axis=1)])


temporary = TemporaryDirectory()
folder = Path(temporary.name)
for number in range(MONTHS):
    month().to_parquet(folder / f"{number:02}.parquet", row_group_size=TRIPS)
paths = sorted(folder.glob("*.parquet"))
n_bytes = 8 * MONTHS * TRIPS * FEATURES
print(
    f"{MONTHS * TRIPS} trips, {FEATURES} features, {len(MODES)} classes: {n_bytes / 2**20:.0f} MiB of numbers"
)

# %%
# Memory over time
# ----------------
# A thread samples the resident size of this process every few milliseconds while something runs.


@dataclass(frozen=True)
class Course:
    """The memory that a call took beyond what there was before, in MiB, at seconds from its beginning."""

    seconds: list[float]
    memory: list[float]


def watched(call: Callable[[], SoftmaxRegression]) -> tuple[SoftmaxRegression, Course]:
    """What a call gives, and its memory over time."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    process, done, course = psutil.Process(), Event(), Course([], [])
    before, began = process.memory_info().rss, time.perf_counter()

    def sample() -> None:
        while not done.wait(0.005):
            course.seconds.append(time.perf_counter() - began)
            course.memory.append((process.memory_info().rss - before) / 2**20)

    thread = Thread(target=sample)
    thread.start()
    try:
        return call(), course
    finally:
        done.set()
        thread.join()


# %%
# Three fits
# ----------
# *Batches* take a function that begins to read anew whenever it is called, and are read by one thread. To
# count the passes is to count its calls. *Dask* reads partitions, here a file each, in two threads, since
# there is no cluster; with a ``distributed.Client`` its workers would, and keep them where they have the
# memory. The *fit in memory* reads all files into one frame first.

passes: list[float] = []


def batches() -> Iterator[pa.RecordBatch]:
    """All trips, from the first on."""
    passes.append(time.perf_counter())
    for path in paths:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(TRIPS)


def by_dask() -> Any:
    """A fit of a frame of Dask."""
    frame = dd.read_parquet(folder)
    with dask.config.set(scheduler="threads", num_workers=2):
        return SoftmaxRegression().fit(frame.drop(columns="mode"), frame["mode"])


def in_memory() -> Any:
    """A fit of all trips at once."""
    frame = pd.concat(map(pd.read_parquet, paths))
    return SoftmaxRegression().fit(frame.drop(columns="mode"), frame["mode"])


ways: dict[str, Callable[[], Any]] = {
    "in batches": lambda: SoftmaxRegression().fit(Batches(batches, target="mode")),
    "by Dask": by_dask,
    "in memory": in_memory,
}
first = month()
SoftmaxRegression().fit(Batches(lambda: [first], target="mode"))  # what is loaded but once does not count
models, courses = {}, {}
for name, fit in ways.items():
    models[name], courses[name] = watched(fit)

# %%
# What they have in common, and what not
# --------------------------------------
# All converge to the same coefficients. Mostly they take the same steps, and differ by the rounding of sums
# that are added up in another order; where rounding decides about a row of a sample, they differ by `tol`.
# What does differ is the memory.

some = pd.read_parquet(paths[0]).drop(columns="mode")
logits = {name: model.decision_function(some) for name, model in models.items()}
largest = np.abs(logits["in memory"]).max()
print(f"\nin batches the files were read {len(passes)} times, for")
print(f"{models['in batches'].solution_.evaluations} evaluations of the objective\n")
rows = {
    name: {
        "seconds": f"{course.seconds[-1]:.1f}",
        "MiB at most": f"{max(course.memory):.0f}",
        "logits apart, relative": f"{np.abs(logits[name] - logits['in memory']).max() / largest:.0e}",
    }
    for name, course in courses.items()
}
print(pd.DataFrame(rows).T.to_string())

# %%
# The picture
# -----------
# The dashed line is the size of the features alone. What is held in memory exceeds it, as the files, the
# frame and the matrix are there at once for a while. The other two stay below, however many files there are:
# for Dask there is a file for each thread, for batches a single batch, whose passes begin at the marks. What
# rises in the middle is the sample of rows by which the search estimates the second derivatives, and what it
# keeps of each row so that it need not be read again: some numbers for each class instead of a hundred
# features. Beyond 256 MiB batches keep none of these, and take more passes instead.

figure, axes = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
colours = dict(zip(ways, ("#0072b2", "#009e73", "#d55e00"), strict=True))
for name, course in courses.items():
    axes.plot(course.seconds, course.memory, color=colours[name], lw=1.5, label=name)
axes.axhline(n_bytes / 2**20, color="#404040", lw=1.0, ls="--")
axes.annotate("the features", (1.0, n_bytes / 2**20), (-2, 3), xycoords=("axes fraction", "data"),
              textcoords="offset points", ha="right", fontsize=8, color="#404040")  # fmt: skip
beginnings = np.subtract(passes, passes[0])
axes.plot(beginnings, np.zeros(len(passes)), "|", color=colours["in batches"], ms=9, label="a pass begins")
axes.set(xlabel="seconds", ylabel="memory beyond that before, MiB", title="One sample, fitted in three ways")
axes.legend(frameon=False, fontsize=8)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(output / "out_of_core_memory.png", dpi=100)
temporary.cleanup()
