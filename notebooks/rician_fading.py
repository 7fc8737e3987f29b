# %% [markdown]
# # Distributed MIMO under Rician fading
#
# After Tominaga et al., *On the Spectral Efficiency of D-MIMO Networks under Rician Fading*.
#
# $M$ antennas stand on $Q$ access points (APs) with $S = M/Q$ antennas each, and receive $K$ users.
# The channel of a user to an AP at path gain $\beta$ is a direct path and scattering,
#
# $$h = \sqrt{\beta} \Bigl( \sqrt{\tfrac{\kappa}{\kappa+1}}\, e^{j\varphi} a +
# \sqrt{\tfrac{1}{\kappa+1}}\, R^{1/2} g \Bigr), \qquad g \sim \mathcal{CN}(0, I),$$
#
# with the array response $a$, the Rician factor $\kappa$ and the scattering's covariance $R$. The
# receiver combines least-squares estimates with maximum ratio (MR), zero forcing (ZF) or MMSE.
#
# One detail decides what comes out: the *propagation phase* $\varphi = -2\pi d/\lambda$ of the
# direct path. As the paper reads, there is none, $\varphi = 0$. Then the direct paths to single
# antennas are all real and positive, and users look alike to an array that is spread out. Physical
# paths have the phase of their length. All studies here draw both, and judge each claim under both.
# %%
# %matplotlib inline
import os

import jax
import pandas as pd
from IPython.display import display

from jaxmimo import distributed_rician as dr
from jaxmimo import mmse_combiner
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
# ## Figure 3, left: two users' channels become alike
#
# With one AP, the correlation of two users grows with the Rician factor, since what is left of the
# channels is their directions. More antennas tell directions apart better.

# %%
fewer = {"rician_factor_db": (0.0, 40.0)} if quick else {}
correlation = simulate("rician-correlation", **fewer)
display(STUDIES["rician-correlation"].plot(correlation).figure)
display(claims("rician-correlation", correlation))

# %% [markdown]
# ## Figure 3, right: the condition number
#
# How well all users together can be told apart, from 1 (perfectly) to infinity. Means of condition
# numbers have heavy tails: look at the error bars.

# %%
condition = simulate("rician-condition", **(fewer | {"num_aps": (1, 16)} if quick else {}))
display(STUDIES["rician-condition"].plot(condition).figure)
display(claims("rician-condition", condition))

# %% [markdown]
# ## Figure 5: spectral efficiency
#
# The mean over users and drops; every point has its fading averaged within each drop, and the error
# bars are over drops. All curves see the same drops, so that their differences are more certain
# than the error bars suggest; the claims are judged by differences of the same drops.

# %%
se = simulate("rician-se", **(fewer | {"num_aps": (1, 16)} if quick else {}))
display(STUDIES["rician-se"].plot(se).figure)
display(claims("rician-se", se))

# %% [markdown]
# ## What the phase changes, in one number each
#
# The same users and the same fading, with the phase and without it, with the strongest direct
# paths:

# %%
for phase in (False, True):
    layouts = [
        dr.DistributedRician(
            num_aps=num_aps,
            ap_antennas=16 // num_aps,
            num_users=10,
            rician_factor=10.0**4,
            propagation_phase=phase,
        )
        for num_aps in (1, 4, 16)
    ]
    estimate = dr.simulate_se(
        jax.random.key(1), layouts, combiner=mmse_combiner, drops=16 if quick else 300
    )
    for layout, mean, error in zip(layouts, estimate.mean, estimate.std_error, strict=True):
        kind = "with" if phase else "without"
        print(f"{kind:8}phase, Q = {layout.num_aps:2}: {mean:.2f} ± {2 * error:.2f} bit/s/Hz")

# %% [markdown]
# ## To try
#
# - `covariance=dr.LocalScattering(angular_std=0.2)` gives scattering from one cluster of another
#   width.
# - `estimator=dr.lmmse` uses the channel's statistics. Does MMSE combining then always beat ZF?
