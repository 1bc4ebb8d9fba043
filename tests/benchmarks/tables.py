"""The data of the benchmarks: real tables that come with scikit-learn or this project, and generated ones.

Features are in raw units, as they come. The generated sets imitate, from a stated seed, the traits that make
public data hard: columns of different magnitudes, rare classes, one-hot columns, correlated pixels, sparse
words, more columns than rows. They need no network and are the same on every machine, up to rounding.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import softmax
from sklearn import datasets
from sklearn.feature_extraction.text import TfidfTransformer

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Data = tuple[Any, Codes]

TABLES = Path(__file__).parents[2] / "datasets"


def anes96() -> Data:
    """Party identification, 944 x 9, 7 classes: codes beside a population that goes up to 7300."""
    table = pd.read_csv(TABLES / "anes96.csv")
    return table.drop(columns=["PID", "logpopul"]).to_numpy(float), table["PID"].to_numpy(np.int64)


def units(n: int = 5_000) -> Data:
    """12 correlated columns with spreads from 1e-2 to 1e4 and means away from zero; 5 classes."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 12)) @ (np.eye(12) + 0.4 * rng.normal(size=(12, 12)))
    y = draw(rng, X @ rng.normal(size=(12, 5)) * 0.4)
    return (X + rng.normal(size=12) * 3) * np.logspace(-2, 4, 12)[rng.permutation(12)], y


def letters(n: int = 20_000) -> Data:
    """16 counts from 0 to 15 of glyphs in 26 classes that overlap."""
    rng = np.random.default_rng(2)
    y = rng.integers(26, size=n)
    centres = rng.normal(7, 2, size=(26, 16))
    noise = rng.normal(size=(n, 16)) @ (np.eye(16) + 0.3 * rng.normal(size=(16, 16)))
    return np.clip(np.round(centres[y] + 2.5 * noise), 0, 15), y


def terrain(n: int = 20_000) -> Data:
    """10 measurements in metres, degrees and grey levels, 44 one-hot columns; 7 classes, some rare."""
    rng = np.random.default_rng(3)
    height = rng.normal(size=n)
    slope = rng.gamma(3.5, 4, size=n).round()
    aspect = rng.uniform(0, 360, size=n).round()
    sun = np.cos(np.deg2rad(aspect))
    shades = [np.clip(rng.normal(m + s * sun, s, size=n), 0, 254).round() for m, s in ((212, 20), (223, 15))]
    distances = [rng.gamma(2, scale, size=n).round() for scale in (135, 1200, 1000)]
    metres = (2960 + 280 * height).round()
    lift = (0.1 * distances[0] + rng.normal(0, 40, size=n)).round()
    third = np.clip(142 - 30 * sun + rng.normal(0, 12, size=n), 0, 254).round()
    measured = np.column_stack([metres, aspect, slope, *distances, lift, *shades, third])
    areas = np.digitize(height + rng.normal(size=n), [-1.5, 0, 1.5])
    rank = rng.zipf(1.3, size=n) % 20  # few soils are common, and which ones depends on the height
    soils = np.where(height + 0.5 * rng.normal(size=n) > 0, rank, 20 + rank)
    X = np.hstack([measured, np.eye(4)[areas], np.eye(40)[soils]])
    standard = (X - X.mean(axis=0)) / X.std(axis=0).clip(1e-9)
    logits = standard @ rng.normal(size=(54, 7)) * 0.25
    logits += np.outer(height, [2.0, 0.5, -3.0, -4.0, 0.0, -3.0, 4.0])
    return X, draw(rng, logits + np.log([0.37, 0.49, 0.03, 0.0003, 0.006, 0.01, 0.01]))


def images(n: int = 10_000, p: int = 300) -> Data:
    """Grey levels from 0 to 1, many of them 0, of 10 classes: 30 patterns in p correlated pixels."""
    rng = np.random.default_rng(4)
    y = rng.integers(10, size=n)
    patterns = np.cumsum(rng.normal(size=(30, p)), axis=1) / np.sqrt(p)  # neighbours are alike
    patterns -= patterns.mean(axis=1, keepdims=True)
    weights = rng.normal(size=(n, 30))
    weights += 0.8 * rng.normal(size=(10, 30))[y]
    X = weights @ patterns
    X -= 0.3
    X += 0.05 * rng.normal(size=(n, p))
    return np.clip(X, 0, 3, out=X) / 3, y


def text(n: int = 5_000, p: int = 30_000) -> Data:
    """Sparse rows, TF-IDF of some 100 words out of p with Zipf frequencies, on 20 topics."""
    rng = np.random.default_rng(5)
    y = np.sort(rng.integers(20, size=n))
    lengths = rng.lognormal(4.5, 0.7, size=n).astype(np.int64) + 5
    words = []
    for topic in range(20):
        frequencies = np.arange(1, p + 1) ** -1.1 * rng.lognormal(0, 0.6, size=p)
        count = int(lengths[y == topic].sum())
        words.append(rng.choice(p, size=count, p=frequencies / frequencies.sum()))
    rows = np.repeat(np.arange(n), lengths)
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, np.concatenate(words))), shape=(n, p))
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts).tocsr(), y


def wide(n: int = 200, p: int = 20_000) -> Data:
    """Expression levels of p genes in n samples: 15 pathways, 100 genes that tell 5 classes; p > n."""
    rng = np.random.default_rng(6)
    y = rng.integers(5, size=n)
    X = 7 + rng.normal(size=(n, 15)) @ rng.normal(size=(15, p)) * 0.3 + rng.normal(size=(n, p)) * 0.5
    telling = min(100, p)
    X[:, :telling] += rng.normal(size=(5, telling))[y] * 0.5
    return X * rng.lognormal(0, 0.5, size=p), y


def spread(n: int, p: int) -> Data:
    """Independent columns, p of them, with spreads from 1e-2 to 1e2; 5 classes."""
    rng = np.random.default_rng(7)
    coef, X = rng.normal(size=(p, 5)) * 0.5, rng.normal(size=(n, p))
    y = draw(rng, X @ coef)
    X *= np.logspace(-2, 2, p)
    return X, y


def draw(rng: np.random.Generator, logits: Array) -> Codes:
    """A class for each row of logits."""
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return np.asarray((rng.random(len(logits))[:, np.newaxis] > cumulated[:, :-1]).sum(axis=1))


def bundled(name: str) -> Callable[[], Data]:
    """One of scikit-learn's own tables."""
    return lambda: getattr(datasets, f"load_{name}")(return_X_y=True)


SMALL: dict[str, Callable[[], Data]] = {
    **{name: bundled(name) for name in ("iris", "wine", "breast_cancer", "digits")},
    "anes96": anes96,
}
ALL = SMALL | {
    "units": units,
    "letters": letters,
    "terrain": terrain,
    "images": images,
    "text": text,
    "wide": wide,
}
