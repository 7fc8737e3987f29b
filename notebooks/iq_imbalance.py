# %% [markdown]
# # I/Q imbalance in cell-free massive MIMO
#
# After Sutton, Ngo and Matthaiou, *Cell-Free Massive MIMO with Multiple-Antenna Users under I/Q
# Imbalance*.
#
# A direct-conversion radio has two branches, in phase and in quadrature. If the second one has
# another gain $g$ and a phase error $\theta$, a signal $x$ comes with an image of itself:
#
# $$x \;\mapsto\; K_1 x + K_2 x^*, \qquad K_1 = \tfrac12 (1 + g e^{-j\theta}), \quad K_2 = \tfrac12
# (1 - g e^{j\theta}).$$
#
# Here $M$ access points (APs) with $L$ such antennas each serve $K$ users with $N$ antennas in the
# downlink, by maximum ratio from estimated channels; the users know the statistics only. Both
# transmitters and receivers of the APs are imbalanced. The spectral efficiency (SE) is the bound of
# the paper's Theorem 1, with the moments of what user $k$ receives, $r$, and the symbols meant for
# it, $s$:
#
# $$R_k = \Bigl(1 - \tfrac{KN}{T}\Bigr) \log_2 \bigl| I + C_{rs}^H (C_{rr} - C_{rs} C_{rs}^H)^{-1}
# C_{rs} \bigr|.$$
# %%
# %matplotlib inline
import os

import jax
import numpy as np
import pandas as pd
from IPython.display import display

from jaxmimo import IQImbalance, cell_free_iqi
from jaxmimo.studies import STUDIES
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
# ## Closed form and Monte Carlo
#
# The moments are known exactly, so the SE has a closed form. Monte Carlo draws channels, pilots and
# noise, and knows nothing of it. The two should differ by about a standard error.
#
# The *linear* estimator takes the image for noise. The *widely linear* one uses the received pilots
# and their conjugates, and takes the receiver's image away.

# %%
hardware = IQImbalance(amplitude=0.3, phase=np.deg2rad(15))
system = cell_free_iqi.CellFreeIQI(
    beta=np.ones((10, 20)),
    receive=hardware,
    transmit=hardware,
    ap_antennas=2,
    user_antennas=2,
    coherence_length=200,
    pilot_snr=1.0,
    data_snr=10.0,
)
for estimator in (cell_free_iqi.linear_mmse, cell_free_iqi.widely_linear_mmse):
    exact = cell_free_iqi.closed_form_se(system, estimator).sum()
    simulated = cell_free_iqi.simulate_se(
        jax.random.key(1), system, estimator=estimator, realizations=64 if quick else 2000
    )
    print(
        f"{estimator.__name__:20} closed form {exact:.3f}, "
        f"simulated {simulated.mean.sum():.3f} bit/s/Hz, "
        f"largest relative standard error of a user {simulated.relative_error:.4f}"
    )

# %% [markdown]
# ## Figure 1: sum SE against the mismatch
#
# Lines are the closed form, points the simulation with 95 % intervals. At $g = 1$ the hardware is
# matched, and both estimators are the same.

# %%
mismatch = simulate("iqi-mismatch", **({"ap_antennas": (1,), "num_aps": 10} if quick else {}))
display(STUDIES["iqi-mismatch"].plot(mismatch).figure)
display(claims("iqi-mismatch", mismatch))

# %% [markdown]
# ## Figure 2: sum SE against the number of APs
#
# With matched hardware every further AP helps, without bound. With imbalance and linear estimation
# the user's own image grows with its signal, coherently, and the sum SE runs into a limit. Widely
# linear estimation takes away that limit, which the paper does not study. It does not restore
# matched hardware: the transmitters' imbalance remains.

# %%
aps = simulate("iqi-aps", **({"ap_antennas": (2,), "num_aps": (10, 20)} if quick else {}))
display(STUDIES["iqi-aps"].plot(aps).figure)
display(claims("iqi-aps", aps))

# %% [markdown]
# ## Figure 3: sum SE against the number of users
#
# Pilots take $KN$ of the $T$ symbols of a coherence interval, so that there is a best number of
# users.

# %%
users = simulate(
    "iqi-users", **({"num_users": (5, 40, 80), "user_antennas": (2,)} if quick else {})
)
display(STUDIES["iqi-users"].plot(users).figure)
display(claims("iqi-users", users))

# %% [markdown]
# ## To try
#
# - `IQImbalance(amplitude=..., phase=...)` takes an array of shape (APs, antennas): give every
#   antenna its own mismatch. Does the limit of figure 2 remain when phases differ from antenna to
#   antenna?
# - `jax.grad` of the closed form with respect to `amplitude` says which AP deserves better
#   hardware.
