# %% [markdown]
# # GPU and cluster
#
# The same code runs on a core, on a GPU and on many hosts. This notebook runs anywhere, and shows
# on what it finds why results do not depend on it.
#
# What is measured and what is not: all speeds in this project were measured on CPUs. Runs of
# several processes were tested on one host. Nothing here was timed on a GPU, and no speed on one is
# promised; `python -m benchmarks` times yours.

# %%
# %matplotlib inline
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from IPython.display import display

from jaxmimo import complex_normal, monte_carlo
from jaxmimo.plotting import ERROR_BAR, PALETTE, new_axes

quick = "JAXMIMO_QUICK" in os.environ  # tests draw less
realizations = 4096 if quick else 65_536
print("platform:", jax.default_backend(), "- devices:", jax.device_count())


# %%
def rate(key):
    h = complex_normal(key, (4, 4))
    return jnp.linalg.slogdet(jnp.eye(4) + h @ h.conj().T)[1] / jnp.log(2.0)


# %% [markdown]
# ## Draws are counters
#
# Realization $i$ has the key `fold_in(key, i)`, wherever and whenever it is drawn. So the batch
# size decides speed and memory, and no draw. The sums differ by rounding at most:

# %%
for batch_size in (16, 128, 1024, None):
    estimate = monte_carlo(rate, jax.random.key(0), realizations, batch_size=batch_size)
    print(f"batch size {batch_size!s:5}", estimate.mean, estimate.std_error)

# %% [markdown]
# Any realization can be drawn again by its number, alone:

# %%
print(rate(jax.random.fold_in(jax.random.key(0), 1234)))

# %% [markdown]
# ## Interrupted and resumed
#
# With a checkpoint a run keeps what it knows, every few seconds. Here one ends at half way, as if
# its time were up; the next goes on from there, and ends with the bits of a run that was never
# interrupted.

# %%
half, whole = realizations // 2, realizations
monte_carlo(rate, jax.random.key(0), half, checkpoint="rate.checkpoint")
resumed = monte_carlo(rate, jax.random.key(0), whole, checkpoint="rate.checkpoint")
never_interrupted = monte_carlo(rate, jax.random.key(0), whole)
print("resumed          ", resumed.mean, resumed.std_error)
print("never interrupted", never_interrupted.mean, never_interrupted.std_error)
print("the same bits:", bool(resumed.mean == never_interrupted.mean))

# %% [markdown]
# A checkpoint of another model, key or precision is refused, with the reason:

# %%
try:
    monte_carlo(rate, jax.random.key(1), whole, checkpoint="rate.checkpoint")
except ValueError as error:
    print(error)

# %% [markdown]
# ## Watch it converge
#
# `target_error` ends a run when it is precise enough, at the same realization everywhere;
# `progress=` takes a function that is told the estimate now and then.

# %%
target = monte_carlo(rate, jax.random.key(0), 1_000_000, target_error=0.004 if quick else 0.001)
print(target, f"- relative standard error {target.relative_error:.5f}")

# %% [markdown]
# Longer runs contain the shorter ones, realization by realization:

# %%
sizes = [256 * 4**step for step in range(4 if quick else 6)]
runs = [monte_carlo(rate, jax.random.key(0), size) for size in sizes]
ax = new_axes()
ax.errorbar(
    sizes,
    [run.mean for run in runs],
    yerr=[ERROR_BAR * run.std_error for run in runs],
    color=PALETTE[0],
    marker="o",
    markerfacecolor="white",
    linestyle="none",
    capsize=2.5,
)
ax.set(xscale="log", xlabel="Realizations", ylabel="Ergodic rate [bit/s/Hz], 95 %")
display(ax.figure)

# %% [markdown]
# ## Precision
#
# Single precision is the default, and a GPU is made for it. Matrix products ask for full single
# precision, since the shortened one of recent GPUs drowns interference cancellation. Double is a
# context away:

# %%
with jax.enable_x64(True):
    double = monte_carlo(rate, jax.random.key(0), 4096)
single = monte_carlo(rate, jax.random.key(0), 4096)
print("single", single.mean, "double", double.mean, "dtype", double.mean.dtype)

# %% [markdown]
# Both precisions draw the same channels, rounded differently, so that the two means differ by
# rounding alone, far less than by their standard errors.
#
# ## Memory
#
# The memory of a run does not grow with its realizations: batch after batch is drawn, summed up in
# 64 blocks and forgotten. The engine estimates the batch from the model's largest array, reads what
# the compiled program needs, and halves the batch should memory run out all the same.
#
# ## The command
#
# A study runs by the same engine:

# %%
command = [sys.executable, "-m", "jaxmimo", "run", "squint-gain", "--num-antennas", "16"]
command += ["--realizations", "256", "--out", "results"]
done = subprocess.run(command, capture_output=True, text=True, check=True)
print(sorted(path.name for path in Path("results").iterdir()))

# %% [markdown]
# What changes with the machine. The column for GPUs is what the engine does there by design; as
# said, it was not measured.
#
# | | CPU | GPU |
# |---|---|---|
# | install | `pip install -e .` | `pip install -e ".[cuda]"` |
# | devices | all cores share a run, a chunk each | all GPUs of the host share a run |
# | batch | what stays in a core's cache | what fits a share of its memory |
# | draws | the same bit by bit | the same counters; numbers to rounding |
# | sums | the same bit by bit, however many cores | equal to rounding |
#
# Several hosts share a run by `--distributed`, one process per host; process 0 writes the result. A
# job that is preempted goes on where it was, by `--resume`:
#
# ```bash
# #!/bin/bash
# #SBATCH --nodes=4 --ntasks-per-node=1 --gpus-per-node=8 --time=12:00:00
# #SBATCH --requeue
# srun jaxmimo run rician-se --realizations 10000000 --target-error 0.0005 --distributed --resume
# ```
#
# Without SLURM, Open MPI or Kubernetes, name the processes by hand, here two:
#
# ```console
# jaxmimo run rician-se --distributed --coordinator host0:12345 --processes 2 --process-id 0
# ```
#
# ## To try
#
# - `JAX_PLATFORMS=cpu` on a machine with a GPU: are the means the same to rounding?
# - `jaxmimo run rician-se --profile` says what compilation, simulation and memory take.
