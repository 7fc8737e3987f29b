"""How waves travel between antennas; system 1 needs no more than i.i.d. fading, drawn in `core`."""
