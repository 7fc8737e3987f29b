"""One rule for verdicts on claims: margins in standard errors, whatever the study and the draws."""

import math

import numpy as np
import pytest
import xarray as xr

from jaxmimo.simulation.results import as_json
from jaxmimo.studies import STUDIES
from jaxmimo.studies.study import CERTAIN, Claim
from jaxmimo.studies.verdicts import agree, all_above, any_above, exactly, steps, unless_refuted

MANY, FEW = (xr.Dataset(attrs={"realizations": n}) for n in (10_000, 5))


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [(math.inf, "holds"), (3.1, "holds"), (2.9, "undecided"), (0.0, "undecided"),
     (-2.9, "undecided"), (-3.1, "does not hold"), (-math.inf, "does not hold")],
)  # fmt: skip
def test_three_verdicts(margin, verdict):
    assert Claim("statement", margin, "evidence").verdict == verdict


def test_five_draws_decide_nothing_that_many_would():
    """A difference of four standard errors: of 64 blocks it is certain, of four it is not."""
    assert all_above(MANY, (4.0, 1.0)) > CERTAIN > all_above(FEW, (4.0, 1.0))
    assert all_above(MANY, (-4.0, 1.0)) < -CERTAIN < all_above(FEW, (-4.0, 1.0))


def test_margins_are_those_of_a_normal_law():
    """t(63) passes 3.12 as rarely as a normal variable passes 3."""
    assert all_above(MANY, (3.1228, 1.0)) == pytest.approx(3.0, abs=2e-3)
    assert all_above(MANY, (1e9, 1.0)) == 37.0


def test_the_smallest_difference_decides_and_being_found_among_many_costs():
    gaps = np.array([9.0, 3.5, 20.0, np.nan])
    assert all_above(MANY, (gaps, 1.0)) == all_above(MANY, (3.5, 1.0)) > CERTAIN
    alone, among_hundred = (all_above(MANY, (np.r_[-3.5, np.full(n, 9.0)], 1.0)) for n in (0, 99))
    assert alone < -CERTAIN < among_hundred < 0.0
    assert any_above(MANY, (-gaps, 1.0)) == -all_above(MANY, (gaps, 1.0))


def test_what_is_exact_is_certain():
    assert all_above(MANY, ([1.0, 2.0], 0.0)) == exactly(True) == math.inf
    assert all_above(MANY, ([1.0, -2.0], 0.0)) == exactly(False) == -math.inf
    assert all_above(MANY, (0.0, 1.0)) == 0.0
    assert all_above(MANY, ([0.0, 5.0], 1.0), or_equal=True) > CERTAIN
    assert all_above(MANY, ([], 1.0)) == 0.0  # nothing to compare


def test_what_cannot_be_shown_can_be_refuted():
    assert unless_refuted(5.0, -1.0) == 5.0
    assert unless_refuted(5.0, -4.0) == -4.0
    assert unless_refuted(1.0, 9.0) == 1.0


def test_agreement_is_shown_within_a_tolerance_and_refuted_by_errors():
    assert agree(MANY, ([0.01, -0.02], 0.01, 0.1)) > CERTAIN
    assert -CERTAIN < agree(MANY, ([0.01, -0.02], 0.1, 0.1)) < CERTAIN  # too few draws to tell
    assert agree(MANY, ([0.01, -0.02], 0.001, 0.1)) < -CERTAIN  # 20 standard errors off
    assert agree(MANY, ([0.0, 1e-6], 0.0, 0.1), floor=1e-5) > CERTAIN


def test_steps_are_differences_of_neighbours():
    values = xr.DataArray([[1.0, 4.0, 2.0]], dims=("a", "b"))
    gaps, errors = steps(values, xr.DataArray([[3.0], [4.0], [0.0]], dims=("b", "a")), "b")
    np.testing.assert_allclose(gaps, [[3.0, -2.0]])
    np.testing.assert_allclose(errors, [[5.0, 4.0]])


@pytest.mark.parametrize(("draws", "blocks"), [(5, 4), (30, 16), (200, 64)])
def test_false_verdicts_are_as_rare_as_promised(draws, blocks):
    """At the edge of the statement, for one comparison and for twenty, 1 in 740 is allowed."""
    rng, runs = np.random.default_rng(1), 20_000
    dataset = xr.Dataset(attrs={"realizations": draws})
    for count in (1, 20):
        means = rng.normal(size=(runs, count))
        errors = np.sqrt(rng.chisquare(blocks - 1, (runs, count)) / (blocks - 1))
        scores = (means / errors).min(1)[:, None]
        worst = np.sort(np.r_[scores.min(1)])
        others = np.full(count - 1, np.inf)
        said = sum(
            all_above(dataset, (np.r_[score, others], 1.0)) < -CERTAIN for score in worst[:99]
        )
        assert said <= 60  # 27 expected
        assert all_above(dataset, (np.r_[worst[99], others], 1.0)) > -CERTAIN


def test_other_parameters_than_the_papers_are_told():
    study = STUDIES["rician-se"]
    usual, other = study.parameters(), study.parameters(num_users=7)
    assert study.changed(xr.Dataset(attrs={"parameters": as_json(usual)})) == {}
    told = study.changed(xr.Dataset(attrs={"parameters": as_json(other)}))
    assert told == {"num_users": (7, usual.num_users)}
