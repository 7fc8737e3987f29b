"""An OFDM link in the time domain, sample by sample: float64 NumPy reference.

An independent second pair of eyes on the powers of an insufficient cyclic prefix: symbols are
modulated, given their prefix, sent one after another, delayed, added up at every antenna, cut by
the receive window and transformed back, with no formula about shares or weights and no code of
the package. It is slow on purpose.

Shapes: S symbols of P subcarriers, sent one after another; path n reaches antenna m with gain
`gains[m, n]`, delayed by the integer `delays[n]` against the window of the symbol in the middle.
Trailing axes of the symbols are trials of their own.
"""

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integer = NDArray[np.int64]


def transmitted(symbols: Complex, prefix: int) -> Complex:
    """Samples (S (P + C), *trials) of symbols (S, P, *trials): each after a copy of its end."""
    subcarriers = symbols.shape[1]
    samples = []
    for of_one in symbols:
        useful = np.fft.ifft(of_one, axis=0, norm="ortho")
        samples += [useful[subcarriers - prefix :], useful]
    return np.concatenate(samples)


def received(symbols: Complex, gains: Complex, delays: Integer, prefix: int) -> Complex:
    """Subcarriers (antennas, P, *trials) in the window of the middle one of symbols (S, P, ...)."""
    count, subcarriers = symbols.shape[:2]
    samples = transmitted(symbols, prefix)
    first = (count // 2) * (subcarriers + prefix) + prefix
    window = np.zeros((len(gains), subcarriers, *symbols.shape[2:]), complex)
    for n, delay in enumerate(delays):
        start = first - delay
        assert 0 <= start <= len(samples) - subcarriers, "more symbols must be sent"
        for m in range(len(gains)):
            window[m] += gains[m, n] * samples[start : start + subcarriers]
    return np.fft.fft(window, axis=1, norm="ortho")


def link_matrices(
    gains: Complex, delays: Integer, prefix: int, subcarriers: int, count: int = 5
) -> Complex:
    """The link (antennas, P received, S, P sent), each column a trial that sends one impulse."""
    impulses = np.eye(count * subcarriers, dtype=complex)
    symbols = impulses.reshape(count, subcarriers, count, subcarriers)
    return received(symbols, gains, delays, prefix)


def combined_powers(
    combiners: Complex, gains: Complex, delays: Integer, prefix: int
) -> tuple[Complex, Real, Real]:
    """Desired amplitude, inter-carrier and inter-symbol power per subcarrier, `combiners` (P, M).

    Of white symbols of unit power, after the combiner v_p^H y_p of every subcarrier p.
    """
    subcarriers = len(combiners)
    matrices = link_matrices(gains, delays, prefix, subcarriers)
    after = np.einsum("pm,mpsq->psq", combiners.conj(), matrices)
    middle = after.shape[1] // 2
    desired, inter_carrier, inter_symbol = [], [], []
    for p in range(subcarriers):
        power = abs(after[p]) ** 2
        others = np.arange(subcarriers) != p
        desired.append(after[p, middle, p])
        inter_carrier.append(power[middle, others].sum())
        inter_symbol.append(power[:middle].sum() + power[middle + 1 :].sum())
    return np.array(desired), np.array(inter_carrier), np.array(inter_symbol)
