"""Public name of `jaxmimo.rates.complexity`."""

from jaxmimo.rates.complexity import *  # noqa: F403
from jaxmimo.rates.complexity import __all__ as __all__
