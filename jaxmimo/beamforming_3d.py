"""Public name of `jaxmimo.systems.beamforming_3d`."""

from jaxmimo.systems.beamforming_3d import *  # noqa: F403
from jaxmimo.systems.beamforming_3d import __all__ as __all__
