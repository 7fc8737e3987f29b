"""What `import jaxmimo` takes beyond `import jax`, in fresh processes."""

import json
import subprocess
import sys

import numpy as np

from benchmarks.measures import Effort
from benchmarks.report import Row

_SCRIPT = """
import json, time
moments = [time.perf_counter()]
import jax
moments.append(time.perf_counter())
import jaxmimo
moments.append(time.perf_counter())
for name in jaxmimo.__all__:
    getattr(jaxmimo, name)
moments.append(time.perf_counter())
print(json.dumps(moments))
"""


def imports(effort: Effort) -> Row:
    """Medians: jax alone, jaxmimo after it, and all public names, which are loaded when used."""
    if not effort.fresh:
        return Row(case="import")
    runs = [subprocess.check_output([sys.executable, "-c", _SCRIPT]) for _ in range(5)]
    jax_s, jaxmimo_s, names_s = np.median([np.diff(json.loads(run)) for run in runs], axis=0)
    further = {
        "import_jax_s": float(jax_s),
        "import_jaxmimo_s": float(jaxmimo_s),
        "all_names_s": float(jaxmimo_s + names_s),
    }
    return Row(case="import", further=further)
