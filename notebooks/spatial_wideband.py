# %% [markdown]
# # Spatial-wideband effects in millimetre waves
#
# After Ahn et al., *On the Spatial-Wideband Effects in Millimeter-Wave Cell-Free Massive MIMO*, a
# draft whose numerical part is missing. So there are no figures to compare with: the studies are
# ours, and judge what the text says.
#
# Over a band so wide that light takes more than a sample to cross an array, a path is no longer one
# phase per antenna. Path $p$ of delay $\tau_p$ and angle $\vartheta_p$ reaches antenna $m$ at a
# distance $m d \sin\vartheta_p$ later, so at frequency $f_c + f$ the response is
#
# $$h_m(f) = \sum_p \alpha_p\, e^{-j 2\pi f \tau_p}\, e^{-j 2\pi (f_c + f)\, m d \sin\vartheta_p /
# c}.$$
#
# The term $f\, m d \sin\vartheta_p / c$ is *beam squint*: a beam points elsewhere at the edge of
# the band.
# %%
# %matplotlib inline
import os

import jax
import numpy as np
import pandas as pd
from IPython.display import display

from jaxmimo import wideband_mmwave as wb
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
# ## Beam squint
#
# The gain of a beam that is steered for the carrier, across the band. Lines are closed forms,
# points are means over random users.

# %%
squint = simulate("squint-gain", **({"num_antennas": (16, 64)} if quick else {}))
display(STUDIES["squint-gain"].plot(squint).figure)
display(claims("squint-gain", squint))

# %% [markdown]
# ## The cyclic prefix
#
# Access points (APs) are at different distances, so that delays differ by more than channels with
# one AP have. A prefix that covers them all is long. A shorter one lets some paths fall out of it:
# they interfere, but they are weak.

# %%
fewer = {"num_aps": (4, 16), "bandwidth_mhz": (100.0,), "prefix_length": (0, 16, 64, 256)}
prefix = simulate("cyclic-prefix", **(fewer if quick else {}))
display(STUDIES["cyclic-prefix"].plot(prefix).figure)
display(claims("cyclic-prefix", prefix))

# %% [markdown]
# ## Spectral efficiency
#
# Combiners that know delays, ignore those within an array, or ignore all of them.

# %%
fewer = {"ap_antennas": (4, 16), "bandwidth_mhz": (100.0, 400.0), "subcarriers": 4}
se = simulate("wideband-se", **(fewer if quick else {}))
display(STUDIES["wideband-se"].plot(se).figure)
display(claims("wideband-se", se))

# %% [markdown]
# ## The same by hand
#
# Studies are thin: a system, a function that simulates it, an estimate.

# %%
system = wb.WidebandMmwave(num_aps=16, ap_antennas=16, num_users=8, bandwidth_hz=400e6, num_rays=1)
designs = (wb.per_subcarrier, wb.without_squint, wb.at_carrier)
estimate = wb.simulate_se(
    jax.random.key(0), system, design=designs, subcarriers=4, drops=8 if quick else 64
)
for design, mean, error in zip(designs, estimate.mean, estimate.std_error, strict=True):
    best, worst = np.argmax(mean), np.argmin(mean)
    print(
        f"{design.__name__:16} best subcarrier {mean[best]:.3f} ± {2 * error[best]:.3f}, "
        f"worst {mean[worst]:.3f} ± {2 * error[worst]:.3f} bit/s/Hz"
    )

# %% [markdown]
# ## To try
#
# - `line_of_sight=wb.umi_los` draws lines of sight. Do designs that ignore delays lose more, or
#   less?
# - `jaxmimo run wideband-correlation` compares the correlation within an array and between arrays,
#   and tells when their Kronecker product is right.
