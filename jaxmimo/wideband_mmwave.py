"""Public name of `jaxmimo.systems.wideband_mmwave`."""

from jaxmimo.systems.wideband_mmwave import *  # noqa: F403
from jaxmimo.systems.wideband_mmwave import __all__ as __all__
