"""Agreement with the closed form, asserted before anything is timed."""

import numpy as np

from benchmarks.iqi_network import IqiNetwork
from benchmarks.numpy_iqi import Baseline, sum_se
from benchmarks.workloads import Workload, iqi_system
from jaxmimo import cell_free_iqi


def exact_curve(network: IqiNetwork) -> np.ndarray:
    """Exact sum SE [bit/s/Hz] of all numbers of APs, in one compilation.

    An AP that no user hears adds nothing, so the smaller networks are sweeps of the largest.
    """
    heard = np.arange(network.num_aps[-1]) < np.array(network.num_aps)[:, None]
    beta = np.broadcast_to(heard[..., None], (*heard.shape, network.users))
    system = iqi_system(network, beta=beta)
    return np.asarray(cell_free_iqi.closed_form_se(system).sum(-1))


def agreed_relative_error(workload: Workload, realizations: int, exact: np.ndarray) -> float:
    """Largest relative standard error of a simulated sum SE, which must fit the exact one."""
    estimate = workload(realizations)
    assert_agreement("jaxmimo", np.asarray(estimate.mean), np.asarray(estimate.std_error), exact)
    return estimate.relative_error


def check_baseline(
    name: str, baseline: Baseline, network: IqiNetwork, realizations: int, exact: np.ndarray
) -> None:
    """Assert that a NumPy baseline agrees with the exact curve at every point."""
    mean, error = sum_se(network, baseline(network, realizations))
    assert_agreement(f"NumPy baseline `{name}`", mean, error, exact)


def assert_agreement(what: str, mean: np.ndarray, std_error: np.ndarray, exact: np.ndarray) -> None:
    """Raise unless every value lies within 5 standard errors or 1 % of the exact one."""
    allowed = np.maximum(5 * std_error, 0.01 * np.abs(exact))
    if not np.all(np.abs(mean - exact) <= allowed):
        raise AssertionError(
            f"{what} disagrees with the closed form: {mean} +- {std_error}, exact {exact}"
        )
