"""Probes, runs, evidence and verdicts."""
