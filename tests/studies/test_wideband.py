"""The studies of wide bands: small runs of `cyclic-prefix` and `wideband-se`, and bad input."""

import jax
import numpy as np
import pytest

from jaxmimo.studies import cyclic_prefix, wideband_se
from jaxmimo.studies.cyclic_prefix import CyclicPrefix
from jaxmimo.studies.study import Sampling
from jaxmimo.studies.wideband_se import WidebandSe


def sampling(realizations):
    return Sampling(jax.random.key(0), realizations)


@pytest.fixture(scope="module")
def prefixes():
    parameters = CyclicPrefix(
        num_aps=(4, 16),
        bandwidth_mhz=(100.0,),
        se_num_aps=9,
        ap_antennas=2,
        num_users=4,
        prefix_length=(0, 16, 256),
        subcarriers=2,
    )
    return cyclic_prefix.STUDY.run(parameters, sampling(256))


@pytest.fixture(scope="module")
def designs():
    parameters = WidebandSe(
        num_aps=4,
        ap_antennas=(4, 32),
        bandwidth_mhz=(100.0, 1600.0),
        num_users=3,
        subcarriers=4,
    )
    return wideband_se.STUDY.run(parameters, sampling(24))


def test_minimum_prefix_is_that_of_random_access_points(prefixes):
    # 10^6 drops of NumPy: 77.84 and 126.13 samples.
    median = prefixes.minimum_prefix_median.sel(bandwidth_mhz=100.0)
    error = prefixes.minimum_prefix_median_std_error.sel(bandwidth_mhz=100.0)
    assert np.all(error < 2.5)
    np.testing.assert_array_less(abs(median.values - [77.84, 126.13]), 5 * error.values)
    cdf = prefixes.minimum_prefix_cdf.values
    assert np.all(np.diff(cdf, axis=-1) >= -1e-6)
    np.testing.assert_allclose(cdf[..., -1], 1.0, rtol=1e-6)


def test_best_prefix_lies_inside(prefixes):
    for combiner in prefixes.combiner.values:
        se = prefixes.se.sel(combiner=combiner).squeeze()
        assert int(se.idxmax("prefix_length")) == 16
    claims = {claim.text: claim.verdict for claim in cyclic_prefix.STUDY.claims(prefixes)}
    assert set(claims.values()) == {"holds"}, claims


def test_price_of_ignoring_delays(designs):
    assert designs.sizes["band_position"] == 4
    price = designs.price
    assert np.all(price.sel(design="per subcarrier") == 0)
    assert np.all(price.sel(design="at carrier") > 0.1)
    worst = price.sel(design="without squint", ap_antennas=32, bandwidth_mhz=1600.0)
    least = price.sel(design="without squint", ap_antennas=4, bandwidth_mhz=100.0)
    assert np.all(worst > 0.03)
    assert np.all(abs(least) < 1e-3)
    np.testing.assert_allclose(designs.se_over_band.mean("band_position"), designs.se, rtol=1e-5)
    texts = [claim.text for claim in wideband_se.STUDY.claims(designs) if claim.verdict == "holds"]
    assert len(texts) == 4


@pytest.mark.parametrize("study", [cyclic_prefix, wideband_se])
def test_pictures(study, prefixes, designs):
    dataset = prefixes if study is cyclic_prefix else designs
    ax = study.STUDY.plot(dataset)
    assert ax.get_ylabel() == "SE per user [bit/s/Hz]"
    assert ax.get_legend() or ax.get_figure().axes


def test_picture_of_one_panel(designs):
    from jaxmimo.plotting import new_axes

    ax = new_axes()
    with pytest.raises(ValueError, match=r"`ax` takes one panel"):
        wideband_se.STUDY.plot(designs, ax)
    one = designs.sel(ap_antennas=32, bandwidth_mhz=1600.0)
    assert wideband_se.STUDY.plot(one, ax) is ax


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        (CyclicPrefix, {"prefix_length": (0, 300)}, "`prefix_length` must be at most"),
        (CyclicPrefix, {"prefix_length": (8, 16)}, "`prefix_length` must begin with 0 and hold a"),
        (CyclicPrefix, {"prefix_length": (0,)}, "`prefix_length` must begin with 0 and hold a"),
        (CyclicPrefix, {"prefix_length": (-1, 3)}, "`prefix_length` must be at least 0"),
        (CyclicPrefix, {"num_aps": (4, 4)}, "`num_aps` must increase, but holds 4 twice. Write 4."),
        (CyclicPrefix, {"bandwidth_mhz": (-1.0,)}, "`bandwidth_mhz` must be above 0"),
        (
            CyclicPrefix,
            {"bandwidth_mhz": (60e3,)},
            "`bandwidth_mhz` must be less than twice `carrier_ghz`",
        ),
        (WidebandSe, {"num_users": 0}, "`num_users` must be at least 1"),
        (WidebandSe, {"ap_antennas": (0, 2)}, "`ap_antennas` must be at least 1"),
    ],
)
def test_bad_parameters_teach(parameters, options, message):
    with pytest.raises(ValueError, match=message):
        parameters(**options)
