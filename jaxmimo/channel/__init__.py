"""How waves travel between antennas: geometry, path loss, arrays, correlation, fading.

System 1 needs no more than i.i.d. fading, drawn in `core`.
"""
