"""Products of floats are in full single precision everywhere: recent GPUs would take TF32 else.

Precision is a word in the traced program, so no GPU is needed to read it.
"""

import re
from collections.abc import Iterator
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import beamforming_3d, cell_free_iqi, distributed_rician, tuning, wideband_mmwave
from jaxmimo.rates import metrics
from jaxmimo.systems.distributed_rician import separability
from jaxmimo.transceiver import combining, precoding
from jaxmimo.transceiver.hardware import IQImbalance
from jaxmimo.tuning.downlink import _balance as balance

KEY = jax.random.key(0)


@cache
def cell_free(common):
    shape = (1, 1) if common else (4, 2)
    hardware = IQImbalance(amplitude=np.full(shape, 0.8), phase=np.full(shape, 0.1))
    return cell_free_iqi.CellFreeIQI(
        beta=np.ones((4, 3)),
        receive=hardware,
        transmit=hardware,
        ap_antennas=2,
        user_antennas=2,
        coherence_length=50,
        pilot_snr=1.0,
        data_snr=1.0,
    )


@cache
def rician():
    return distributed_rician.DistributedRician(
        num_aps=2,
        ap_antennas=4,
        num_users=3,
        rician_factor=2.0,
        covariance=distributed_rician.LocalScattering(angular_std=0.2),
    )


@cache
def cell():
    return beamforming_3d.Beamforming3D(
        azimuth_antennas=8, elevation_antennas=4, azimuth_groups=4, elevation_groups=2, num_users=4
    )


@cache
def users():
    return beamforming_3d.draw_users(KEY, cell())


@cache
def wideband():
    return wideband_mmwave.WidebandMmwave(num_aps=2, ap_antennas=4, num_users=3, num_subcarriers=16)


def gradient_of(function):
    def summed(*args):
        leaves = jax.tree.leaves(function(*args))
        return sum(jnp.sum(jnp.abs(leaf)) for leaf in leaves)

    return jax.grad(summed)


def iqi_sample(key, common):
    estimators = cell_free_iqi.linear_mmse, cell_free_iqi.widely_linear_mmse
    sample, se = cell_free_iqi.se_model(
        cell_free(common), estimator=estimators, pilots=cell_free_iqi.full_pilots
    )
    return se(sample(key))


def rician_se(key, estimator):
    combiners = [*combining.IN_GRAM_FORM, distributed_rician.error_aware_mmse_combiner]
    return distributed_rician.se_sample(
        rician(), combiner=combiners, estimator=estimator, realizations=2
    )(key)


def beams(sample, **options):
    schemes = (
        beamforming_3d.adjacent_groups,
        beamforming_3d.generalized_mrt,
        beamforming_3d.full_dimension_slnr,
    )
    schemes = schemes[: options.pop("schemes")]
    return sample(cell(), scheme=schemes, **options)


def max_min():
    budget = tuning.ApPowerBudget()
    se = tuning.downlink_se(cell_free(True))
    return tuning.max_min(se, tuning.equal_split(cell_free(True)), domain=budget)


def ones(*shape):
    return jnp.ones(shape, jnp.result_type(complex))


POWERS = jnp.full(3, 0.1)
RICIAN_POWERS = tuning.uplink_se(KEY, rician(), realizations=2)
DESIGNS = [
    wideband_mmwave.per_subcarrier,
    wideband_mmwave.without_squint,
    wideband_mmwave.at_carrier,
]

PROGRAMS = {
    "zf_combiner": (combining.zf_combiner, ones(4, 3)),
    "mmse_combiner": (combining.mmse_combiner, ones(4, 3), 1.0),
    "slnr_precoder": (lambda h: precoding.slnr_precoder(h, POWERS, 0), ones(3, 4)),
    "vector_correlation": (
        lambda c: metrics.vector_correlation(c, c, c), ones(3, 3),
    ),
    "iqi, common hardware": (lambda key: iqi_sample(key, True), KEY),
    "iqi, hardware of each antenna": (lambda key: iqi_sample(key, False), KEY),
    "iqi, closed form": (cell_free_iqi.closed_form_se, cell_free(False)),
    "iqi, limit": (cell_free_iqi.asymptotic_se, cell_free(False)),
    "iqi, slope": (
        gradient_of(tuning.downlink_se(cell_free(True))), tuning.equal_split(cell_free(True)),
    ),
    "iqi, max-min downlink": (
        lambda gain: balance(gain, gain, 1.0, 1e-3, 9), jnp.ones((4, 3)),
    ),
    "iqi, max-min by gradient": (max_min,),
    "rician": (lambda key: rician_se(key, distributed_rician.least_squares), KEY),
    "rician, lmmse": (lambda key: rician_se(key, distributed_rician.lmmse), KEY),
    "rician, slope": (gradient_of(RICIAN_POWERS), POWERS),
    "rician, correlation": (separability.correlation_sample(rician()), KEY),
    "rician, condition": (separability.condition_sample(rician(), realizations=2), KEY),
    "rician, correlation of two": (
        lambda h: distributed_rician.single_ap_correlation(h, h, jnp.ones(3)), ones(4),
    ),
    "rician, closed form": (
        lambda key: distributed_rician.maximum_ratio_drop(key, rician()).se(POWERS), KEY,
    ),
    "beams": (beams(beamforming_3d.rate_sample, schemes=3, realizations=2), KEY),
    "beams, equivalents": (beams(beamforming_3d.equivalent_sample, schemes=2), KEY),
    "beams, slope of the equivalent": (
        gradient_of(tuning.cell_se(beamforming_3d.make_cell(cell(), users()))), jnp.ones(4),
    ),
    "beams, groups": (lambda: tuning.greedy_groups(beamforming_3d.make_cell(cell(), users())),),
    "wideband": (wideband_mmwave.se_sample(wideband(), design=DESIGNS), KEY),
    "wideband, prefix": (
        wideband_mmwave.prefix_sample(wideband(), prefix_lengths=[0, 4], subcarriers=2), KEY,
    ),
    "search": (
        lambda x: tuning.maximize(lambda p: -jnp.sum((p - 1) ** 2), x), jnp.zeros(3),
    ),
}  # fmt: skip


def products(jaxpr) -> Iterator:
    """All products of floats in a program, those within loops and branches too."""
    for equation in jaxpr.eqns:
        dtypes = [getattr(variable.aval, "dtype", None) for variable in equation.outvars]
        if "precision" in equation.params and jnp.issubdtype(dtypes[0], jnp.inexact):
            yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from products(inner)


def is_full(precision) -> bool:
    highest = jax.lax.Precision.HIGHEST
    return precision == highest or precision == (highest, highest)


@pytest.mark.parametrize("name", PROGRAMS)
def test_products_of_floats_ask_for_full_precision(name):
    function, *args = PROGRAMS[name]
    traced = jax.jit(function).trace(*args)
    low = [each for each in products(traced.jaxpr.jaxpr) if not is_full(each.params["precision"])]
    assert not low, [f"{each}\n{each.source_info.traceback}" for each in low]


def test_products_are_found_within_loops():
    def program(a):
        def step(_, x):
            return jnp.matmul(a, x, precision="highest") + a @ x

        return jax.lax.cond(a[0, 0] > 0, lambda: jax.lax.fori_loop(0, 3, step, a), lambda: a)

    found = list(products(jax.jit(program).trace(jnp.ones((3, 3))).jaxpr.jaxpr))
    assert sorted(is_full(each.params["precision"]) for each in found) == [False, True]


def lowered_for_gpus(name) -> str:
    function, *args = PROGRAMS[name]
    return jax.jit(function).trace(*args).lower(lowering_platforms=("cuda",)).as_text()


def check_on_gpus(name):
    text = lowered_for_gpus(name)
    found = re.findall(r"stablehlo\.(?:dot_general|convolution) .*", text)
    of_floats = [line for line in found if re.search(r"-> tensor<[0-9x]*(f|complex)", line)]
    assert not [line for line in of_floats if "precision = [HIGHEST, HIGHEST]" not in line]
    # What calls out of XLA for CPUs, LAPACK above all, has no place there.
    assert not re.findall(r"custom_call @(?!Sharding)\w+", text)


@pytest.mark.parametrize("name", ["iqi, closed form", "rician", "beams", "wideband"])
def test_programs_lower_for_gpus_in_full_precision(name):
    check_on_gpus(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_all_programs_lower_for_gpus_in_full_precision(name):
    check_on_gpus(name)
