"""Every study, interrupted and resumed, ends with the same bytes."""

import signal

import jax
import pytest

from jaxmimo.simulation import tally
from jaxmimo.simulation.checkpoint import Checkpoint
from jaxmimo.studies import STUDIES
from jaxmimo.studies.study import Sampling

KAPPA = {"rician_factor_db": (0.0, 20.0)}
CELL = {"azimuth_antennas": 8, "elevation_antennas": 4, "num_users": 4}
SMALL = {
    "iqi-mismatch": {"ap_antennas": (1, 2), "amplitude_mismatch": (0.2, 1.0), "num_aps": 10},
    "iqi-aps": {"ap_antennas": (1, 2), "num_aps": (5, 10)},
    "iqi-users": {"user_antennas": (1,), "num_users": (1, 4), "num_aps": 10},
    "rician-correlation": {"ap_antennas": (2,), **KAPPA},
    "rician-condition": {"num_aps": (1, 2), "num_antennas": 4, "num_users": 2, **KAPPA},
    "rician-se": {
        "num_aps": (1, 2), "num_antennas": 4, "num_users": 2, "fading_realizations": 2, **KAPPA
    },
    "rician-zf-mmse": {
        "num_aps": (2,), "num_antennas": 4, "num_users": (2,), "fading_realizations": 2, **KAPPA
    },
    "beams-equivalent": {},
    "beams-groups": {},
    "beams-flops": {},
    "squint-gain": {},
    "cyclic-prefix": {
        "num_aps": (4,), "bandwidth_mhz": (100.0,), "se_num_aps": 4, "ap_antennas": 2,
        "num_users": 2, "prefix_length": (0, 16, 256), "subcarriers": 2,
    },
    "wideband-correlation": {},
    "wideband-se": {
        "num_aps": 4, "ap_antennas": (4,), "bandwidth_mhz": (100.0,), "num_users": 2,
        "subcarriers": 2,
    },
    "tune-power-iqi": {"num_aps": 4, "num_users": 2},
    "tune-power-rician": {"num_aps": 4, "num_users": 2, "fading_realizations": 16, "max_rounds": 2},
    "tune-groups": {
        **CELL, "azimuth_groups": (2, 4), "elevation_groups": (2, 1), "fading_realizations": 4
    },
}  # fmt: skip
QUICK = ("iqi-mismatch", "squint-gain")
"""Studies that compile fast; the others are for the slow tests."""
REALIZATIONS = 80  # more than one chunk of the lightest study has


def marked(name):
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [marked(name) for name in SMALL])
def test_an_interrupted_study_ends_with_the_bytes_of_one_that_was_not(name, tmp_path, monkeypatch):
    study = STUDIES[name]
    parameters = study.parameters(**SMALL[name])
    whole = study.run(parameters, Sampling(jax.random.key(0), REALIZATIONS))
    add, chunks = tally.Tally.add, []

    def add_and_press(self, chunk, sums):
        add(self, chunk, sums)
        chunks.append(chunk)
        if len(chunks) == 1:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(tally.Tally, "add", add_and_press)
        stopped = Checkpoint(tmp_path / "run")
        with pytest.raises(KeyboardInterrupt):
            study.run(parameters, Sampling(jax.random.key(0), REALIZATIONS, checkpoint=stopped))
    assert chunks[0].stop < REALIZATIONS
    assert len(chunks) == 1
    checkpoint = Checkpoint(tmp_path / "run")
    checkpoint.read((tmp_path / "run").read_bytes(), "run")
    resumed = study.run(
        parameters, Sampling(jax.random.key(0), REALIZATIONS, checkpoint=checkpoint)
    )
    for variable in whole.variables:
        assert resumed[variable].values.tobytes() == whole[variable].values.tobytes(), variable
    assert all(record.realizations == REALIZATIONS for record in checkpoint.records.values())


def test_no_study_is_forgotten():
    assert set(SMALL) == set(STUDIES)
