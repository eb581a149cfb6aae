"""The pytest plugin: collects probes as test items."""
