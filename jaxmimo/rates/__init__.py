"""Spectral efficiencies from channels, precoders and their moments."""
