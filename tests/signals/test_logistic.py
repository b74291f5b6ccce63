"""Log-odds against SciPy's, over the whole range of numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from unmask.signals.logistic import expit, logit


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=8))
def test_expit_is_the_logistic_function(values):
    np.testing.assert_allclose(expit(values), special.expit(values), rtol=1e-12, atol=0)


@given(st.floats(1e-300, 1 - 1e-16))
def test_logit_undoes_expit(p):
    assert logit(p) == pytest.approx(special.logit(p), rel=1e-9, abs=1e-9)


def test_the_ends():
    assert logit(0.0) == -np.inf
    assert logit(1.0) == np.inf
    assert expit([-np.inf, 0.0, np.inf]).tolist() == [0.0, 0.5, 1.0]
