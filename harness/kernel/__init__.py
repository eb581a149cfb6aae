"""The guest-program builder `k`."""
