"""Public name of `jaxmimo.systems.cell_free_iqi`."""

from jaxmimo.systems.cell_free_iqi import *  # noqa: F403
from jaxmimo.systems.cell_free_iqi import __all__ as __all__
