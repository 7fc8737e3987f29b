"""The NumPy baselines of the Rician figure agree with each other and with a plain reference."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import numpy_rician
from benchmarks.numpy_rician_gram import gram
from benchmarks.rician_network import RICIAN, RicianNetwork

NETWORK = RicianNetwork(rician_db=(-20.0, 0.0, 40.0), realizations=8)
SMALL = replace(NETWORK, num_aps=(1, 4), rician_db=(-10.0, 10.0), antennas=8, users=4)


def textbook_se(network, num_aps, rician_db, drops, rng):
    """Mean SE per drop and combiner from antennas, without Gram matrices of users."""
    users = rng.uniform(0, network.side, (drops, network.users, 2))
    los = numpy_rician.line_of_sight(network, num_aps, users)
    kappa, eye = 10 ** (rician_db / 10), np.eye(network.antennas)
    se = np.zeros((drops, 3))

    def normal(variance=1.0):
        parts = rng.standard_normal((2, network.antennas, network.users))
        return np.sqrt(variance / 2) * (parts[0] + 1j * parts[1])

    for drop, _ in np.ndindex(drops, network.realizations):
        line = los[drop]
        h = np.sqrt(kappa / (1 + kappa)) * line + np.sqrt(1 / (1 + kappa)) * abs(line) * normal()
        estimate = h + normal(1 / network.users)
        mmse = np.linalg.solve(estimate @ estimate.conj().T + eye, estimate)
        for c, combiner in enumerate((estimate, np.linalg.pinv(estimate).conj().T, mmse)):
            for k, v in enumerate(combiner.T):
                powers = np.abs(v.conj() @ h) ** 2
                noise = np.linalg.norm(v) ** 2
                se[drop, c] += np.log2(1 + powers[k] / (np.delete(powers, k).sum() + noise))
    return se / (network.realizations * network.users)


def assert_equal_means(one, other):
    error = np.sqrt(one.var(0, ddof=1) / len(one) + other.var(0, ddof=1) / len(other))
    # The first gate: an error bar small enough to mean something.
    assert np.all(error < 0.1 * one.mean(0)), (error, one.mean(0))
    assert np.all(np.abs(one.mean(0) - other.mean(0)) < 5 * error)


@pytest.mark.parametrize("baseline", [numpy_rician.shared, gram])
def test_baseline_equals_complex128_realization_by_realization(baseline):
    exact = numpy_rician.loop(NETWORK, 4)
    se = baseline(NETWORK, 4, batch=8)
    assert se.shape == (4, 5, 3, 3)
    # Single precision loses digits as users grow alike in angle: Gram matrices lose rank.
    np.testing.assert_allclose(se[..., 0, :], exact[..., 0, :], rtol=1e-5)
    np.testing.assert_allclose(se[..., :-1], exact[..., :-1], rtol=2e-5)
    np.testing.assert_allclose(se, exact, rtol=5e-3)


def test_gram_is_accurate_on_average():
    network = replace(NETWORK, rician_db=(40.0,), realizations=16)
    exact = numpy_rician.loop(network, 16)
    np.testing.assert_allclose(gram(network, 16).mean(0), exact.mean(0), rtol=2e-4)


def test_draws_do_not_depend_on_the_batch():
    one, other = (gram(SMALL, 4, batch=batch) for batch in (8, 16))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_pointwise_agrees_statistically_with_shared():
    one, other = numpy_rician.pointwise(SMALL, 96), numpy_rician.shared(SMALL, 96, seed=99)
    assert_equal_means(one, other)


def test_baseline_agrees_statistically_with_the_textbook():
    rng = np.random.default_rng(1)
    se = gram(SMALL, 96)
    for layout, num_aps in enumerate(SMALL.num_aps):
        for point, rician_db in enumerate(SMALL.rician_db):
            expected = textbook_se(SMALL, num_aps, rician_db, 48, rng)
            assert_equal_means(se[:, layout, :, point], expected)


def test_threads_share_the_drops_out():
    se = numpy_rician.in_threads(gram, SMALL, 8)
    alone = [gram(SMALL, 4, seed=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(se, np.concatenate(alone))
    with pytest.raises(ValueError, match="multiple of `threads`"):
        numpy_rician.in_threads(gram, SMALL, 3)


def test_batch_must_divide_the_realizations():
    with pytest.raises(ValueError, match="multiple of the batch"):
        numpy_rician.shared(SMALL, 1, batch=64)


def test_grid_of_aps():
    assert numpy_rician.ap_positions(RICIAN, 1).tolist() == [[50, 50]]
    assert numpy_rician.ap_positions(RICIAN, 2).tolist() == [[25, 50], [75, 50]]
    assert {x for x, _ in numpy_rician.ap_positions(RICIAN, 8)} == {12.5, 37.5, 62.5, 87.5}


def test_line_of_sight_of_a_user_north_of_the_ap():
    user = np.array([[[50.0, 80.0]]])
    network = replace(RICIAN, users=1)
    line = numpy_rician.line_of_sight(network, 1, user)[0, :, 0]
    # Broadside is +x, so a user along y sees half-wavelength elements in opposite phase.
    np.testing.assert_allclose(line[1:] / line[:-1], -1, atol=1e-12)
    loss_db = 20 * np.log10(4 * np.pi * 3.5e9 / 299_792_458) + 10 * np.log10(30**2 + 10.5**2)
    noise_dbm = -174 + 10 * np.log10(20e6) + 9
    np.testing.assert_allclose(20 * np.log10(abs(line)), 20 - loss_db - noise_dbm)
