"""Public name of `jaxmimo.systems.distributed_rician`."""

from jaxmimo.systems.distributed_rician import *  # noqa: F403
from jaxmimo.systems.distributed_rician import __all__ as __all__
