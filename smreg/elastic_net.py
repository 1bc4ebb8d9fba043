r"""Elastic net: the cross-entropy with an L1 penalty, by a proximal Newton method."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smreg import fisher, quadratic
from smreg import working as working_set
from smreg.duality import duality_gap
from smreg.objective import Objective

Array = NDArray[np.float64]

SUFFICIENT = 1e-4
MAX_HALVINGS = 50
RESOLUTION = 2.0**-22
PROGRESS = 0.75
MAX_WEIGHT = 1e300


@dataclass(frozen=True)
class Minimum:
    """Where the search stopped, and why."""

    theta: Array
    value: float
    norm: float
    gap: float
    reason: str
    iterations: int
    evaluations: int
    refreshes: int


class ElasticNet:
    """The objective: a loss, and its penalty in the coordinates."""

    def __init__(self, loss: Objective, penalty: float, l1_ratio: float) -> None:
        self.loss = loss
        self.shape = loss.shape
        p = loss.design.n_features
        self.ridge, self.l1 = np.zeros(self.shape[1]), np.zeros(self.shape[1])
        with np.errstate(over="ignore"):
            self.ridge[:p] = np.minimum(penalty * (1 - l1_ratio) / loss.scale / loss.scale, MAX_WEIGHT)
            self.l1[:p] = np.minimum(penalty * l1_ratio / loss.scale, MAX_WEIGHT)
        self.shifts = not loss.single_row and l1_ratio == 1.0

    def penalty(self, theta: Array) -> float:
        size = np.abs(theta)
        return float(np.sum(self.l1 * size) + 0.5 * np.sum(self.ridge * size * size))


def minimize(
    net: ElasticNet,
    start: Array,
    *,
    tol: float,
    max_iter: int,
    on_iteration: Callable[[Array, float, float], bool] = lambda theta, value, norm: False,
) -> Minimum:
    loss = net.loss
    theta = start.reshape(net.shape)
    value, g = loss(theta.ravel())
    g = g.reshape(net.shape)
    F = value + net.penalty(theta)
    evaluations, iterations, refreshes = 1, 0, 0
    norm, soft = math.inf, 0.0
    while True:
        G = g + net.ridge * theta
        working = (theta != 0) | (net.l1 == 0) | (np.abs(G) > net.l1)
        temperature = 1.0
        if soft:
            totals = fisher.class_variances(loss, theta.ravel())
            temperature += soft * norm * float(np.sqrt(np.mean(1.0 / totals)))
        H, classes, columns = _model(net, theta, working, temperature)
        step, d, norm = _solve(net, H, G, theta, working, columns)
        refreshes += 1
        if norm <= tol and temperature > 1:
            H, classes, columns = _model(net, theta, working, 1.0)
            step, d, norm = _solve(net, H, G, theta, working, columns)
            refreshes += 1
        if DEBUG:
            print(iterations, evaluations, "F", F, "norm", norm, "working", working.sum(), "products", getattr(H, "count", 0), time.perf_counter()-T0, "nnz", np.count_nonzero(theta), "faces", step.faces)
        if norm <= tol:
            reason = "converged"
            break
        if iterations >= max_iter:
            reason = "max_iter"
            break
        length = 1.0
        for _ in range(MAX_HALVINGS):
            trial = theta.copy()
            trial[working] = step.x if length == 1 else theta[working] + length * d[working]
            trial_value, trial_g = loss(trial.ravel())
            evaluations += 1
            trial_F = trial_value + net.penalty(trial)
            slope = float(np.sum(g * (trial - theta))) + net.penalty(trial) - net.penalty(theta)
            if trial_F - F <= SUFFICIENT * slope:
                break
            length *= float(np.clip(0.5*slope / (slope - (trial_F - F)), 0.1, 0.5)) if np.isfinite(trial_F) else 0.1
        else:
            reason = "rounding"
            break
        gain = (trial_F - F) / (slope if length == 1 else slope)
        if length < 1:
            soft = min(max(SUP * soft, S0), 0.4)
        elif gain > GAIN:
            soft = soft / SDOWN if soft > 0.01 else 0.0
        if DEBUG: print("    soft", soft, "temp", temperature, "gain", gain, "length", length)
        theta, F, g = trial, trial_F, trial_g.reshape(net.shape)
        if net.shifts:
            theta = theta - _medians(theta, loss.design.n_features)
        iterations += 1
        on_iteration(theta, F, norm)
    gap = duality_gap(loss, net.ridge, net.l1, theta, d)
    return Minimum(theta, F, norm, gap, reason, iterations, evaluations, refreshes)


DEBUG = False
import time
T0=time.perf_counter()
SUP, S0, GAIN, SDOWN = 2.0, 0.1, 0.4, 2.0


def _model(net, theta, working, temperature):
    classes, columns = np.nonzero(working)
    return working_set.hessian(net.loss, theta.ravel(), temperature, classes, columns, net.ridge[columns]), classes, columns


def _solve(net, H, G, theta, working, columns):
    step = quadratic.minimize(
        H, G[working], theta[working], net.l1[columns], columns if net.shifts else None, net.shape[0]
    )
    d = np.zeros(net.shape)
    d[working] = step.x - theta[working]
    norm = math.sqrt(max(float(d[working] @ step.product), 0.0))
    return step, d, norm


def _medians(theta: Array, p: int) -> Array:
    K = len(theta)
    shift = np.zeros(theta.shape[1])
    w = np.sort(theta[:, :p], axis=0)
    low, high = w[(K - 1) // 2], w[K // 2]
    n_low, n_high = (theta[:, :p] == low).sum(axis=0), (theta[:, :p] == high).sum(axis=0)
    mean = theta[:, :p].mean(axis=0)
    nearer = np.abs(high - mean) <= np.abs(low - mean)
    shift[:p] = np.where((n_high > n_low) | ((n_high == n_low) & nearer), high, low)
    return shift
