"""The network of system 4 that is measured, as plain numbers both sides can read."""

from dataclasses import dataclass

import numpy as np

from benchmarks.numpy_wideband import WidebandDrop


@dataclass(frozen=True)
class WidebandNetwork:
    """Uplink over a wide band, with perfect channel knowledge.

    Attributes:
        aps: L.
        antennas: M of an AP.
        users: K.
        paths: N of a link.
        subcarriers: P.
        bandwidth: W [Hz].
        carrier: [Hz].
        side: Side of the square [m].
    """

    aps: int = 64
    antennas: int = 16
    users: int = 16
    paths: int = 20
    subcarriers: int = 256
    bandwidth: float = 400e6
    carrier: float = 28e9
    side: float = 500.0

    @property
    def multiply_adds(self) -> int:
        """Real ones of the sum over paths, four to a complex one."""
        responses = self.users * self.aps * self.antennas * self.subcarriers
        return 4 * self.paths * responses


WIDEBAND = WidebandNetwork()


def random_drop(network: WidebandNetwork, subcarriers: int | None = None) -> WidebandDrop:
    """Paths anywhere, and links over a range of 30 dB; on the first subcarriers, if not all."""
    random = np.random.default_rng(0)
    links = (network.users, network.aps)
    shape = (*links, network.paths)
    gains = random.standard_normal(shape) + 1j * random.standard_normal(shape)
    gains *= 10.0 ** (random.uniform(-2.0, 1.0, links)[..., None] / 2.0)
    step = network.bandwidth / network.subcarriers
    return WidebandDrop(
        gains=gains.astype(np.complex64),
        angles=random.uniform(-np.pi / 2, np.pi / 2, shape),
        distances=random.uniform(10.0, network.side, links),
        excess=random.exponential(65e-9, shape),
        antennas=network.antennas,
        subcarriers=subcarriers or network.subcarriers,
        first=0.5 * (step - network.bandwidth),
        step=step,
        carrier=network.carrier,
    )
