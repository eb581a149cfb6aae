"""One profile of Hypothesis for all tests."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_no_time_limit_and_no_check_of_speed() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check


@settings(max_examples=1)
@given(st.integers())
def test_a_slow_example_passes(number: int) -> None:
    time.sleep(0.25)  # the deadline of Hypothesis's own profile is 0.2 s
