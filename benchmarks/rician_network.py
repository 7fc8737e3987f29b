"""The network of system 2 that is measured, as plain numbers both sides can read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RicianNetwork:
    """Uplink in a square whose antennas are shared out among ever more access points.

    The Rician factor and the layouts are the axes of one figure. Imperfect channel knowledge is
    that of one pilot per user at the power of the data.

    Attributes:
        num_aps: Numbers of APs Q, one layout each; all divide `antennas`.
        rician_db: Rician factors [dB].
        antennas: M, of all APs together.
        users: K.
        realizations: Realizations of fading and estimation errors per drop of the users.
        side: Side of the square [m].
        ap_height: Height of the APs [m].
        user_height: Height of the users [m].
        spacing: Antenna spacing [wavelengths].
        exponent: Path loss exponent beyond 1 m.
        frequency: Carrier frequency [Hz].
        bandwidth: Bandwidth [Hz].
        power_dbm: Transmit power of a user [dBm].
        noise_figure: Noise figure [dB].
        noise_density: Power spectral density of thermal noise [dBm/Hz].
    """

    num_aps: tuple[int, ...] = (1, 2, 4, 8, 16)
    rician_db: tuple[float, ...] = tuple(float(db) for db in range(-20, 41, 5))
    antennas: int = 16
    users: int = 10
    realizations: int = 32
    side: float = 100.0
    ap_height: float = 12.0
    user_height: float = 1.5
    spacing: float = 0.5
    exponent: float = 2.0
    frequency: float = 3.5e9
    bandwidth: float = 20e6
    power_dbm: float = 20.0
    noise_figure: float = 9.0
    noise_density: float = -174.0


RICIAN = RicianNetwork()
"""Five layouts and 13 Rician factors, three combiners each."""
