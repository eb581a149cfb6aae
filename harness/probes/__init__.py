"""What a probe is: declarations, cases, loading, selection, coverage."""
