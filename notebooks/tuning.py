# %% [markdown]
# # Tuning powers by gradient
#
# A cell-free downlink with single-antenna users and maximum ratio has a closed form for its
# spectral efficiency (SE), $R_k(a)$, in the amplitudes $a_{mk}$ with which access point (AP) $m$
# sends to user $k$. Each AP has a budget, $\sum_k a_{mk}^2 \le 1$. JAX differentiates the closed
# form, so that any smooth objective can be maximized:
#
# $$\max_a \min_k R_k \quad\text{(fair)}, \qquad \max_a \sum_k \log R_k \quad\text{(proportionally
# fair)}, \qquad \max_a \sum_k R_k \quad\text{(sum)}.$$

# %%
# %matplotlib inline
import os

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import display

from jaxmimo import IQImbalance, cell_free_iqi
from jaxmimo import beamforming_3d as b3
from jaxmimo.plotting import PALETTE, legend_beside, new_axes
from jaxmimo.tuning import (
    ScaledApBudget,
    downlink_se,
    equal_split,
    greedy_groups,
    max_min_downlink,
    maximize,
    proportional_fairness,
    sum_se,
)

quick = "JAXMIMO_QUICK" in os.environ  # tests tune fewer networks

# %% [markdown]
# ## One network, and a hundred
#
# APs and users are at random places in a square, with gains by a power law, for brevity; the study
# `tune-power-iqi` has 3GPP's. A search is a pure function of the network, so that `jax.vmap` tunes
# all networks side by side.


# %%
def network(beta):
    return cell_free_iqi.CellFreeIQI(
        beta=beta,
        receive=IQImbalance(),
        transmit=IQImbalance(),
        ap_antennas=1,
        user_antennas=1,
        coherence_length=200,
        pilot_snr=1.0,
        data_snr=10.0,
    )


def tuned(beta):
    system = network(beta)
    se = downlink_se(system)
    fair = max_min_downlink(system)
    domain = ScaledApBudget(fair.parameters)  # coordinates in units of a good allocation
    both = maximize(lambda a: proportional_fairness(se(a)), fair.parameters, domain=domain)
    most = maximize(lambda a: sum_se(se(a)), fair.parameters, domain=domain)
    amplitudes = (equal_split(system), fair.parameters, both.parameters, most.parameters)
    certified = jnp.stack([each.converged for each in (fair, both, most)])
    return jnp.stack([se(a) for a in amplitudes]), certified


networks = 4 if quick else 64
places = jax.random.uniform(jax.random.key(0), (networks, 38, 2))
aps, users = places[:, :30, None], places[:, None, 30:]  # networks, APs, users, coordinates
distance = jnp.sqrt(jnp.sum((aps - users) ** 2, -1) + 0.03**2)  # in sides of the square
betas = (distance / 0.3) ** -3.7
se, certified = jax.jit(jax.vmap(tuned))(betas)

# %% [markdown]
# `max_min_downlink` is no gradient but a fixed point with a certificate. `maximize` stays within
# the budget at every step, and bounds what is left to gain to first order, `gap`. The sum has many
# maxima: its bound certifies a local one.

# %%
names = ("equal split", "max-min", "proportional fairness", "sum")
for name, share in zip(names[1:], certified.mean(0), strict=True):
    print(f"{name:22} gap below the tolerance in {100 * share:.0f} % of the networks")
print()
print("means over networks [bit/s/Hz]:   smallest SE           sum SE")
for i, name in enumerate(names):
    smallest, total = se[:, i].min(1), se[:, i].sum(1)
    bars = [2 * np.std(values, ddof=1) / np.sqrt(networks) for values in (smallest, total)]
    print(f"{name:30} {smallest.mean():6.3f} ± {bars[0]:.3f}   {total.mean():6.2f} ± {bars[1]:.2f}")

# %% [markdown]
# The distribution over all users of all networks shows the trade: max-min powers lift the lower end
# and give up the upper one.

# %%
ax = new_axes()
for i, (name, linestyle) in enumerate(zip(names, ("-", "--", "-.", ":"), strict=True)):
    values = np.sort(np.ravel(se[:, i]))
    share = np.arange(1, values.size + 1) / values.size
    ax.step(values, share, where="post", color=PALETTE[i], linestyle=linestyle, label=name)
ax.set(xlabel="SE of a user [bit/s/Hz]", ylabel="Share of users below", ylim=(0, 1))
legend_beside(ax, f"{networks} networks")
display(ax.figure)

# %% [markdown]
# ## User groups
#
# Groups of the 3D cell are discrete, so they are tuned by moves: each user in turn goes where the
# deterministic equivalent of the sum rate is largest. No drop gets worse by it. The equivalent is
# what is tuned, so it flatters the gain; the study `tune-groups` judges by fading, too.

# %%
system = b3.Beamforming3D(
    azimuth_antennas=32,
    elevation_antennas=12,
    num_users=20,
    azimuth_groups=8,
    elevation_groups=4,
)


def gain_by_groups(key):
    cell = b3.make_cell(system, b3.draw_users(key, system))
    before = b3.adjacent_groups(cell).rates_in_the_limit().sum()
    return before, greedy_groups(cell).sum_rate - before


drops = jax.random.split(jax.random.key(0), 2 if quick else 16)
before, gain = jax.jit(lambda keys: jax.lax.map(gain_by_groups, keys))(drops)
bar = 2 * np.std(gain, ddof=1) / np.sqrt(gain.size)
print(f"sum rate by the equivalent: {before.mean():.2f} bit/s/Hz in the mean over the drops,")
print(f"gain {gain.mean():.2f} ± {bar:.2f}, from {gain.min():.2f} to {gain.max():.2f} bit/s/Hz")

# %% [markdown]
# ## To try
#
# - `jaxmimo tune tune-power-iqi`, `tune-power-rician` and `tune-groups` tune a hundred networks in
#   realistic gains and say what of it is certain.
# - `maximize_expected` tunes where there is no closed form: by stochastic gradients, judged by
#   draws that no step has seen.
# - Write an objective of your own, such as the mean of the three smallest SEs.
