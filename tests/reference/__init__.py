"""Looped float64 NumPy references, written from the papers alone, to check the package against."""
