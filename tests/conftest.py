"""For all tests: Ctrl-C means what it means at a terminal, and no result of Hypothesis depends on the host's speed."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A shell ignores SIGINT for what it starts in the background, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("trapgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trapgate")
