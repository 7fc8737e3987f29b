"""Runs in processes of their own: many devices, many hosts, little memory."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxmimo import monte_carlo
from tests.simulation.models import KEY, rate, rich

COUNTS = (1, 2, 3, 8)


def start(script, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(outputs)
    return outputs


ON_DEVICES = """
import sys, jax, numpy as np
from jaxmimo import monte_carlo
from tests.simulation.models import KEY, rate, rich
assert len(jax.devices()) == 8
for count in map(int, sys.argv[2:]):
    run = monte_carlo(rich, KEY, 1003, statistic=rate, devices=jax.devices()[:count])
    np.savez(f"{sys.argv[1]}/{count}", mean=run.mean["rate"], error=run.std_error["rate"])
    stopped = monte_carlo(rich, KEY, 10**5, statistic=rate, target_error=0.02)
    np.savez(f"{sys.argv[1]}/stop", realizations=stopped.realizations)
"""


def test_every_number_of_devices_gives_the_same_bits(tmp_path):
    flags = "--xla_force_host_platform_device_count=8"
    finish(start(ON_DEVICES, tmp_path, *COUNTS, XLA_FLAGS=flags))
    here = monte_carlo(rich, KEY, 1003, statistic=rate)
    for count in COUNTS:
        with np.load(tmp_path / f"{count}.npz") as there:
            np.testing.assert_array_equal(there["mean"], here.mean["rate"])
            np.testing.assert_array_equal(there["error"], here.std_error["rate"])
    stopped = monte_carlo(rich, KEY, 10**5, statistic=rate, target_error=0.02)
    assert np.load(tmp_path / "stop.npz")["realizations"] == stopped.realizations


ON_HOSTS = """
import sys, jax, numpy as np
port, number, folder = sys.argv[1:]
jax.distributed.initialize(f"localhost:{port}", 2, int(number))
from jaxmimo import monte_carlo
from tests.simulation.models import KEY, rate, rich
assert len(jax.devices()) == 2 and len(jax.local_devices()) == 1
file = f"{folder}/tally-{number}"  # process 1 never sees the file that process 0 writes
monte_carlo(rich, KEY, 500, statistic=rate, checkpoint=file)
run = monte_carlo(rich, KEY, 1003, statistic=rate, checkpoint=file)
np.savez(f"{folder}/{number}", mean=run.mean["rate"], error=run.std_error["rate"])
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_two_hosts_give_the_result_of_one(tmp_path):
    port = free_port()
    finish(*(start(ON_HOSTS, port, number, tmp_path) for number in (0, 1)))
    here = monte_carlo(rich, KEY, 1003, statistic=rate)
    for number in (0, 1):
        with np.load(tmp_path / f"{number}.npz") as there:
            np.testing.assert_allclose(there["mean"], here.mean["rate"], rtol=1e-6)
            np.testing.assert_allclose(there["error"], here.std_error["rate"], rtol=1e-5)
    assert (tmp_path / "tally-0").exists()
    assert not (tmp_path / "tally-1").exists()


SHORT_OF_MEMORY = """
import resource, jax, jax.numpy as jnp
from jaxmimo import complex_normal, monte_carlo
from jaxmimo.simulation.chunks import Kernel

def large(key):
    x = complex_normal(key, (2**11,))
    return jnp.sort(jnp.abs(x[:, None] * x[None]), axis=0)[1024].sum()

key, used, batch_of = jax.random.key(0), set(), Kernel._batch_of
alone = monte_carlo(large, key, 8, batch_size=1)
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 100 * 2**20,) * 2)
Kernel._batch_of = lambda self, chunk: used.add(batch_of(self, chunk)) or batch_of(self, chunk)
short = monte_carlo(large, key, 8, batch_size=8)
assert len(used) > 1 and max(used) == 8, used
assert abs(short.mean / alone.mean - 1) < 1e-5
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits and tells what is in use")
def test_a_run_goes_on_in_smaller_batches_when_memory_runs_out():
    finish(start(SHORT_OF_MEMORY))


def test_devices_of_this_process_may_be_chosen():
    everything = monte_carlo(rich, KEY, 100, statistic=rate)
    chosen = monte_carlo(rich, KEY, 100, statistic=rate, devices=jax.devices()[-1:])
    np.testing.assert_array_equal(chosen.mean["rate"], everything.mean["rate"])
