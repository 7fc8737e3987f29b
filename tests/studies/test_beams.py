"""The three studies of two-stage 3D beamforming: datasets, claims, pictures, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from matplotlib.figure import Figure

from jaxmimo.beamforming_3d import Beamforming3D, draw_users
from jaxmimo.cli import main
from jaxmimo.plotting import new_axes
from jaxmimo.rates.complexity import grouping_flops, overall_grouping_flops, slnr_flops
from jaxmimo.studies import STUDIES, beams, beams_costs, beams_picture
from jaxmimo.studies.study import Sampling

# On one worker, so that each study is simulated once.

DROPS = 8
SMALL = {
    "beams-equivalent": {
        "azimuth_antennas": (4, 8),
        "elevation_antennas": 2,
        "num_users": 3,
        "azimuth_groups": 2,
        "elevation_groups": 2,
        "fading_realizations": 4,
    },
    "beams-groups": {
        "azimuth_groups": (2,),
        "elevation_groups": 2,
        "azimuth_antennas": 4,
        "elevation_antennas": 2,
        "num_users": 3,
        "fading_realizations": 4,
    },
}


def stand_in(system, schemes, azimuth_groups, fading_realizations):
    """Drops whose equivalent is a tenth above the simulation."""
    del system, azimuth_groups, fading_realizations
    return Partial(_stand_in, jnp.arange(1.0, 1.0 + len(schemes)))


def _stand_in(scale, key):
    rates = 10.0 + (scale * jax.random.uniform(key))[None]
    return {"simulated": rates, "equivalent": 1.1 * rates}


@pytest.fixture(scope="module")
def results():
    """The study of groups for a tiny cell, the other on a stand-in for the system."""
    sampling = Sampling(key=jax.random.key(1), realizations=DROPS)

    def simulate(name):
        return STUDIES[name].run(STUDIES[name].parameters(**SMALL[name]), sampling)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beams, "both_rates", stand_in)
        equivalent = simulate("beams-equivalent")
    return {"beams-equivalent": equivalent, "beams-groups": simulate("beams-groups")}


@pytest.fixture(params=SMALL)
def result(request, results):
    return STUDIES[request.param], results[request.param]


def test_dataset_is_complete_and_labelled(result):
    _, dataset = result
    for name in ("sum_rate", "sum_rate_equivalent"):
        assert (dataset[name] > 0).all()
        assert (dataset[f"{name}_std_error"] > 0).all()
    for variable in dataset.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert dataset.attrs["realizations"] == DROPS
    assert list(dataset.scheme.values)[1] == beams_costs.PROPOSAL


def test_excess_is_much_more_precise_than_the_rates(results):
    dataset = results["beams-equivalent"]
    np.testing.assert_allclose(dataset.relative_excess, 0.1, rtol=1e-4)
    assert float(dataset.relative_excess_std_error.max()) < 1e-5


def test_leads_are_differences_of_the_rates(results):
    dataset = results["beams-groups"]
    rates = dataset.sum_rate.values
    np.testing.assert_allclose(dataset.lead[:, :-1], rates[:, :-1] - rates[:, 1:], atol=1e-4)
    assert np.isnan(dataset.lead[:, -1]).all()
    assert np.isnan(dataset.change[0]).all()
    assert float(dataset.flops.sel(scheme=beams.MRT)[0]) == pytest.approx((64 + 8 + 8) * 3e-6)
    assert len(STUDIES["beams-groups"].claims(dataset)) == 3


def test_flops_of_means_are_means_of_flops():
    """Counts are linear in what is averaged."""
    shape = beams_costs.Shape(8, 4, 2, 2, 3)
    azimuth, elevation, leaks = np.array([3, 5, 8]), np.array([2, 4, 1]), np.array([0, 2, 1])
    million = beams_costs.MILLION
    assert beams_costs.mean_grouping_flops(
        [shape], azimuth.mean(), elevation.mean()
    ) == pytest.approx(grouping_flops(*shape.of_array, azimuth, elevation) / million)
    assert beams_costs.mean_overall_flops([shape], (azimuth * elevation).mean()) == pytest.approx(
        overall_grouping_flops(*shape.of_array, azimuth, elevation) / million
    )
    assert beams_costs.mean_slnr_flops([shape], leaks.mean()) == pytest.approx(
        slnr_flops(*shape.of_array, leaks) / million
    )


def made_up_groups(rates):
    """Result at G = 4 and 64 with these sum rates, known to 0.1 bit/s/Hz."""
    rates = np.array(rates, float)
    nan = np.full((2, 4), np.nan)
    lead, change = nan.copy(), nan.copy()
    lead[:, :3], change[1] = rates[:, :-1] - rates[:, 1:], rates[1] - rates[0]
    values = {
        "sum_rate": rates,
        "sum_rate_equivalent": rates,
        "lead": lead,
        "change": change,
        "flops": [[40, 30, 15, 5], [9, 8, 7, 5]],
    }
    dims = ("azimuth_groups", "scheme")
    variables = {name: (dims, each) for name, each in values.items()}
    variables |= {f"{name}_std_error": (dims, np.full((2, 4), 0.1)) for name in values}
    labels = {"azimuth_groups": [4, 64], "scheme": list(beams.SCHEMES)}
    return beams.make_dataset(labels, 64, **variables)


YES, OPEN, NO = "holds", "undecided", "does not hold"


@pytest.mark.parametrize(
    ("rates", "verdicts"),
    [
        ([[95, 92, 82, 42], [50, 45, 43, 42]], [YES, YES, YES, YES, YES]),
        ([[95, 92, 82, 42], [50, 45, 40, 42]], [YES, YES, YES, NO, YES]),  # MRT is not lowest
        ([[80, 92, 82, 42], [50, 45, 43, 42]], [NO, YES, YES, YES, YES]),
        ([[50, 45, 43, 42], [95, 92, 82, 42]], [YES, NO, NO, YES, YES]),
        ([[95, 94.9, 82, 42], [50, 45, 43, 42]], [OPEN, YES, YES, YES, YES]),
    ],
)
def test_claims_about_groups(rates, verdicts):
    claims = STUDIES["beams-groups"].claims(made_up_groups(rates))
    assert [claim.verdict for claim in claims] == verdicts


def test_claims_about_the_equivalent(results):
    dataset = results["beams-equivalent"].copy(deep=True)
    dataset["relative_excess_std_error"][:] = 1e-3
    dataset.attrs["realizations"] = 64
    claims = STUDIES["beams-equivalent"].claims
    dataset["relative_excess"][:] = [[0.1] * 3, [0.02] * 3]
    assert [claim.verdict for claim in claims(dataset)] == ["holds", "holds"]
    dataset["relative_excess"][:] = [[0.1] * 3, [0.2] * 3]
    assert [claim.verdict for claim in claims(dataset)] == 2 * ["does not hold"]
    assert len(claims(dataset.isel(azimuth_antennas=[0]))) == 1


def test_picture_has_labels_and_fits_given_axes(result):
    study, dataset = result
    figure = study.plot(dataset).get_figure(root=True)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
    figure.draw_without_rendering()
    ax = Figure().add_subplot()
    assert study.plot(dataset, ax) is ax
    assert ax.get_legend() is not None


def test_cell_shows_users_where_their_groups_are():
    ax = new_axes()
    system = Beamforming3D(azimuth_antennas=16, elevation_antennas=8, num_users=5)
    beams_picture.plot_cell(system, draw_users(jax.random.key(0), system), ax)
    assert len(ax.patches) == 5
    np.testing.assert_allclose(  # four groups of four beams: sines in steps of a half
        beams_picture.group_bounds(16, 4, 0.5),
        np.degrees(np.arcsin(np.array([-0.5625, -0.0625, 0.4375, 0.9375]))),
        atol=1e-6,
    )


@pytest.fixture(scope="module")
def flops():
    small = {
        "table_1_azimuth_antennas": (4, 8),
        "table_2_elevation_antennas": (10,),
        "table_3_azimuth_groups": (4,),
        "table_4_elevation_groups": (4,),
        "table_5_num_users": (2,),
        "table_7_azimuth_groups": (4, 64),
        "table_8_elevation_groups": (4,),
        "table_9_azimuth_antennas": (12,),
        "table_10_elevation_antennas": (12,),
        "table_11_num_users": (2, 4),
    }
    study = STUDIES["beams-flops"]
    return study.run(study.parameters(**small), Sampling(jax.random.key(0), DROPS))


@pytest.mark.slow
def test_tables_of_flops(flops):
    study = STUDIES["beams-flops"]
    exact = flops.sel(table=7).flops_all.values
    np.testing.assert_allclose(exact, [33.530420, 1.849970], rtol=1e-6)
    assert list(flops.sel(table=11).num_users.values) == [2, 4]
    claims = study.claims(flops)
    assert claims[0].verdict == "holds"
    assert claims[3].verdict == "holds"
    assert study.plot(flops).get_title().startswith("table 1")
    assert study.plot(flops.sel(table=7), new_axes()).get_legend()
    with pytest.raises(ValueError, match="`ax` takes one table"):
        study.plot(flops, new_axes())


@pytest.mark.parametrize(
    ("study", "flags", "text"),
    [
        ("beams-groups", "--azimuth-groups 4 128", "`--azimuth-groups` must be at most"),
        ("beams-groups", "--azimuth-groups 8 4", "`--azimuth-groups` must increase"),
        ("beams-groups", "--fading-realizations 0", "`--fading-realizations` must be at least 1"),
        ("beams-groups", "--rank-threshold 1", "`--rank-threshold` must be at least 0"),
        ("beams-equivalent", "--azimuth-antennas 2 10", "`--azimuth-groups` must be at most"),
        ("beams-equivalent", "--num-users 0", "`--num-users` must be at least 1"),
        (
            "beams-flops",
            "--table-8-elevation-groups 4 128",
            "`--table-8-elevation-groups` must fit",
        ),
        ("beams-flops", "--antenna-spacing 0", "`--antenna-spacing` must be above 0"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, capsys, study, flags, text):
    assert main(["run", study, "--out", str(tmp_path), *flags.split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert text in error
    assert not list(tmp_path.iterdir())
