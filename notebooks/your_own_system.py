# %% [markdown]
# # Your own system in ten lines
#
# The engine knows no radio. Give it a function that draws one realization from a key; it does the
# batches, the standard errors, the cores and the devices.

# %%
# %matplotlib inline
import os

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

from jaxmimo import complex_normal, monte_carlo, mr_combiner, sweep, uplink_sinr, zf_combiner
from jaxmimo import distributed_rician as dr
from jaxmimo.plotting import MARKERS, PALETTE, curve_with_points, legend_beside, new_axes

quick = "JAXMIMO_QUICK" in os.environ  # tests draw less

# %% [markdown]
# ## A new combiner
#
# An array of phase shifters can turn signals, but cannot weigh them:
#
# $$v_{mk} = \hat h_{mk} / |\hat h_{mk}|.$$
#
# A combiner takes the estimates, the noise over power and the covariance of the errors; it may
# ignore what it does not need.


# %%
def phases(h_hat, *statistics):
    return h_hat / jnp.abs(h_hat)


# %% [markdown]
# ## A new channel
#
# Waves of all users meet the array over few scatterers. With $r$ of them, $M$ antennas and $K$
# users,
#
# $$H = \tfrac{1}{\sqrt r}\, G_1 G_2, \qquad G_1 \in \mathbb{C}^{M \times r},\ G_2 \in \mathbb{C}^{r
# \times K}\ \text{complex normal},$$
#
# whose rank is at most $r$. Below is all there is to simulate: the channel, two combiners,
# the mean SE of the users.
#
# `r` is swept, and shapes must not depend on what is swept, so all 64 scatterers are drawn and the
# first `r` used. All points of the curve see the same draws.


# %%
def mean_se(key, point):
    r = point["scatterers"]
    first, second = jax.random.split(key)
    used = jnp.arange(64)[:, None] < r
    h = complex_normal(first, (32, 64)) @ (used * complex_normal(second, (64, 8))) / jnp.sqrt(r)
    sinr = jnp.stack([uplink_sinr(combine(h), h, 1.0, 1.0) for combine in (zf_combiner, phases)])
    return jnp.log2(1 + sinr).mean(1)


# %%
scatterers = np.array([8, 12, 16, 24, 32, 64])
curve = sweep(mean_se, jax.random.key(0), {"scatterers": scatterers}, 256 if quick else 20_000)

ax = new_axes()
for i, label in enumerate(("zero forcing", "phase shifters")):
    curve_with_points(
        ax,
        scatterers,
        mean=curve.mean[:, i],
        std_error=curve.std_error[:, i],
        label=label,
        color=PALETTE[i],
        marker=MARKERS[i],
    )
ax.set(xlabel="Scatterers r", ylabel="Mean SE [bit/s/Hz]", ylim=(0, None))
legend_beside(ax, "points: simulation, 95 %")
display(ax.figure)

# %% [markdown]
# ## Check it against something exact
#
# Without a check, a simulation is an opinion. For one user without interference, the phase
# shifters' mean amplitude is known. With $h_m$ complex normal, $\mathrm{E}|h_m| = \sqrt{\pi}/2$, so
# that
#
# $$\mathrm{E} \Bigl( \tfrac{1}{\sqrt M} \textstyle\sum_m |h_m| \Bigr)^2 = 1 +
# (M-1)\,\tfrac{\pi}{4}.$$
#
# That is what the SINR at a power over noise of 1 should be in the mean.


# %%
def snr(key):
    h = complex_normal(key, (32, 1))
    return uplink_sinr(phases(h), h, 1.0, 1.0)[0]


simulated = monte_carlo(snr, jax.random.key(0), 1000 if quick else 100_000)
exact = 1 + 31 * np.pi / 4
print(simulated, "exact", exact)
assert abs(simulated.mean - exact) < 5 * simulated.std_error

# %% [markdown]
# ## The same combiner in a published system
#
# Systems take combiners and estimators as arguments. So the phase shifters work in the distributed
# uplink with Rician fading, channel estimation and path loss, too, next to maximum ratio and ZF
# from the same draws:

# %%
schemes = {"zero forcing": zf_combiner, "maximum ratio": mr_combiner, "phase shifters": phases}
factors_db = np.array([-20.0, 0.0, 10.0, 20.0, 40.0])
system = dr.DistributedRician(
    num_aps=4,
    ap_antennas=4,
    num_users=10,
    rician_factor=10 ** (factors_db / 10),
    propagation_phase=True,
)
estimate = dr.simulate_se(
    jax.random.key(0),
    system,
    combiner=tuple(schemes.values()),
    drops=16 if quick else 300,
    realizations=8 if quick else 32,
)

ax = new_axes()
for i, label in enumerate(schemes):
    curve_with_points(
        ax,
        factors_db,
        mean=estimate.mean[i],
        std_error=estimate.std_error[i],
        label=label,
        color=PALETTE[i],
        marker=MARKERS[i],
    )
ax.set(xlabel="Rician factor [dB]", ylabel="Mean SE [bit/s/Hz]", ylim=(0, None))
legend_beside(ax, "points: simulation, 95 %")
display(ax.figure)

# %% [markdown]
# ## To try
#
# - Shifters of two bits: round the angles to multiples of $\pi/2$. How much SE do they cost?
# - `target_error=0.002` in `sweep` ends each point when it is precise enough.
