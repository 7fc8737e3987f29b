"""The networks of system 1 that are measured, as plain numbers both sides can read."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class IqiNetwork:
    """Cell-free network with large-scale fading 1 and hardware common to all antennas.

    Attributes:
        num_aps: Increasing numbers of APs of the curve.
        ap_antennas: L.
        users: K.
        user_antennas: N.
        coherence_length: T [symbols].
        pilot_snr: rho_p [linear].
        data_snr: rho_d [linear].
        amplitude: Amplitude mismatch of receivers and transmitters [linear].
        phase: Phase mismatch of both [rad].
    """

    num_aps: tuple[int, ...]
    ap_antennas: int = 2
    users: int = 20
    user_antennas: int = 2
    coherence_length: int = 200
    pilot_snr: float = 1.0
    data_snr: float = 10.0
    amplitude: float = 0.3
    phase: float = float(np.deg2rad(15))

    @property
    def streams(self) -> int:
        """K N, which is the pilot length too."""
        return self.users * self.user_antennas

    @property
    def rows(self) -> int:
        """Antennas of all APs of the largest network."""
        return self.num_aps[-1] * self.ap_antennas

    @property
    def prelog(self) -> float:
        """Share of the coherence interval that carries data."""
        return 1 - self.streams / self.coherence_length


FIGURE_2 = IqiNetwork(num_aps=(10, *range(20, 201, 20)))
"""Figure 2 of Sutton et al., impaired hardware, two antennas per AP."""

MISMATCH = IqiNetwork(num_aps=(50,), ap_antennas=8, phase=0.0)
"""Figure 1, eight antennas per AP; its amplitudes are `MISMATCH_AMPLITUDES`."""

MISMATCH_AMPLITUDES = tuple(float(g) for g in np.linspace(0.2, 1.0, 9))

LARGE = IqiNetwork(num_aps=(128, 256, 512, 1024))
"""Scaling in APs, measured by `--full`."""

SMALL = IqiNetwork(num_aps=(4,), ap_antennas=1, users=2, user_antennas=1)
"""So small that a million realizations are quick."""
