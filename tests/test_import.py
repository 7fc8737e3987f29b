import subprocess
import sys

SCRIPT = """
import jax
from jax._src import xla_bridge

before = dict(jax.config.values)
import jaxmimo

for name in jaxmimo.__all__:
    assert getattr(jaxmimo, name) is not None
    assert name in dir(jaxmimo)
assert not xla_bridge._backends, xla_bridge._backends
after = {name: jax.config.values[name] for name in before}
assert after == before, [n for n in before if before[n] != after[n]]

# The check itself sees a backend once there is one.
jax.numpy.zeros(1)
assert xla_bridge._backends
"""


def test_import_initializes_no_backend_and_changes_no_configuration():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
