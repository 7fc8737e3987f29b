"""Averages over random realizations, and their results; no radio in it."""
