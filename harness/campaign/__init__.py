"""Campaigns: one answer from many runs."""
