"""Participants that share passes: each gets what it gets alone, and all together take no more passes than one."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from smreg.data.dask_sample import dask_sample
from smreg.data.matrix import MatrixRows
from smreg.data.rows import Rows, sum_of
from smreg.data.shared_passes import AT_ONCE, Meeting, SharedRows
from smreg.data.targets import Targets
from smreg.fit.regression import Problem
