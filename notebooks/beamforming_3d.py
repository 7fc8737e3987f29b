# %% [markdown]
# # 3D beamforming by user groups
#
# After Fan, He, Huang and Yang, *A low-complexity 3D massive MIMO scheme jointly using statistical
# and instantaneous CSIT*.
#
# A rectangular array of $M \times N$ antennas serves $K$ users. The covariance of a user is a
# Kronecker product, $R_k = R_k^{\rm az} \otimes R_k^{\rm el}$, of one ring of scatterers in azimuth
# and one in elevation, so the users can be grouped by each direction alone: into $G$ subsectors and
# $L$ annular regions. Each pair of groups has its own DFT beams, $B_{gl}$, and user $k$ in it gets
# the precoder $B_{gl} w_k$ that maximizes the ratio of its signal to leakage and noise (SLNR),
#
# $$w_k \propto \Bigl( \textstyle\sum_{u \in \mathcal{I}_k} B^H h_u h_u^H B + \tfrac{1}{\rho} I
# \Bigr)^{-1} B^H h_k .$$
#
# Which users' leakage counts, $\mathcal{I}_k$, is the scheme: those of all groups, of the adjacent
# groups (the paper's proposal), or of the own group. Generalized MRT uses statistics alone.
# %%
# %matplotlib inline
import os

import jax
import pandas as pd
from IPython.display import display

from jaxmimo import beamforming_3d as b3
from jaxmimo.studies import STUDIES
from jaxmimo.studies.beams_picture import plot_cell
from jaxmimo.studies.study import Sampling

pd.set_option("display.max_colwidth", None)
quick = "JAXMIMO_QUICK" in os.environ  # tests draw less


def simulate(name, **parameters):
    """A study's dataset: the paper's parameters but for those given."""
    study = STUDIES[name]
    realizations = 16 if quick else study.realizations
    return study.run(study.parameters(**parameters), Sampling(jax.random.key(0), realizations))


def claims(name, dataset):
    """What the paper says, and whether the dataset bears it out."""
    rows = [(claim.text, claim.verdict, claim.evidence) for claim in STUDIES[name].claims(dataset)]
    return pd.DataFrame(rows, columns=["claim", "verdict", "evidence"])


# %% [markdown]
# ## A cell
#
# One drop of users in the plane of angles. Ellipses are the spreads, colours the subsectors. Beams
# see the sine of an angle, so that a subsector covers angles in front of the array and behind it.

# %%
system = b3.Beamforming3D(azimuth_antennas=32, elevation_antennas=12, num_users=20)
users = b3.draw_users(jax.random.key(0), system)
display(plot_cell(system, users).figure)

# %% [markdown]
# For these users, the *deterministic equivalent* gives the sum rate without drawing any fading: a
# fixed point, exact for large arrays. Monte Carlo draws the fading.

# %%
schemes = (b3.all_groups, b3.adjacent_groups, b3.own_group, b3.generalized_mrt)
limit = b3.deterministic_sum_rate(system, users, scheme=schemes)
drawn = b3.sum_rate(
    jax.random.key(1), system, users, scheme=schemes, realizations=64 if quick else 512
)
for scheme, exact, mean, error in zip(schemes, limit, drawn.mean, drawn.std_error, strict=True):
    print(
        f"{scheme.__name__:16} equivalent {exact:6.2f}, simulated {mean:6.2f} ± {2 * error:.2f} "
        f"bit/s/Hz, excess {100 * (exact / mean - 1):+.1f} %"
    )

# %% [markdown]
# The equivalent is a limit and no bound; that of SLNR schemes lies above the simulation. Most of
# that is Jensen's gap: it replaces a mean of logarithms by the logarithm of means.
#
# ## Figure 4: how good the equivalent is

# %%
equivalent = simulate("beams-equivalent", azimuth_antennas=(10, 30) if quick else (10, 30, 50, 90))
display(STUDIES["beams-equivalent"].plot(equivalent).figure)
display(claims("beams-equivalent", equivalent))

# %% [markdown]
# ## Figure 6: sum rate against the number of subsectors, and its price
#
# More groups mean smaller matrices and less of the interference seen. The right panel puts the sum
# rate next to the floating-point operations that it takes.

# %%
fewer = {"azimuth_groups": (4, 8), "azimuth_antennas": 32}
groups = simulate("beams-groups", **(fewer if quick else {}))
display(STUDIES["beams-groups"].plot(groups).figure)
display(claims("beams-groups", groups))

# %% [markdown]
# ## To try
#
# - `functools.partial(b3.adjacent_groups, diagonal=False)` reads "adjacent groups" as a plus
#   instead of 3 x 3: the paper's text has both. How much sum rate does it cost?
# - `b3.full_dimension_slnr` uses all antennas and no groups: the price of low complexity.
# - Groups can be tuned: see the notebook on tuning.
