import gc
import signal

import jax
import numpy as np
import pytest
from hypothesis import settings

# Hooks and a fixture of pytest, which finds them by their names here.
from verification import (  # noqa: F401
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_terminal_summary,
    verified,
)

jax.config.update("jax_numpy_rank_promotion", "raise")
settings.register_profile("jaxmimo", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("jaxmimo")
# Processes in the background begin with Ctrl-C ignored; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _programs_end_with_their_file():
    """XLA crashes a process of more than 65530 memory maps; programs of all tests need more."""
    yield
    from jaxmimo.core.traces import forget_traces  # not before the hook that checks its types

    forget_traces()
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def _caches_of_the_tests_alone(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("JAXMIMO_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "caches"))


@pytest.fixture
def kernels(monkeypatch):
    """The kernels of the engine that are compiled."""
    from jaxmimo.simulation import chunks  # not before the hook that checks its types

    made, compiled = [], chunks.compiled

    def noted(*args):
        made.append(args)
        return compiled(*args)

    monkeypatch.setattr(chunks, "compiled", noted)
    return made


@pytest.fixture
def assert_mean():
    """Two gates: the standard error means something, and the mean is within 5 of them."""

    def check(samples, expected, *, largest_error):
        samples = np.asarray(samples, np.float64)
        mean, error = samples.mean(), samples.std(ddof=1) / np.sqrt(samples.size)
        message = f"{mean:.6g} +- {error:.2g} (at most {largest_error:.2g}), expected {expected:g}"
        assert error <= largest_error, message
        assert abs(mean - expected) < 5 * error, message

    return check
