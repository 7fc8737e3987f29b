"""`python -m jaxmimo`, for where the command is not on the path."""

import sys

from jaxmimo.cli import main

sys.exit(main())
