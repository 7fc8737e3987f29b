import jax
import numpy as np
import pytest

from jaxmimo.simulation.chunks import Chunk
from jaxmimo.simulation.tally import Pace, Tally, is_milestone


@pytest.mark.parametrize("blocks", [4, 64])
def test_adds_chunks_to_their_blocks(blocks):
    tally = Tally.empty({"x": jax.ShapeDtypeStruct((2,), np.complex64)}, blocks)
    assert tally.sums["x"].dtype == np.complex128
    numbers = np.arange(100)
    for start, stop in ((0, 3), (3, 16), (16, 32), (32, 100)):
        part = np.bincount(numbers[start:stop] % blocks, numbers[start:stop], blocks)
        tally.add(Chunk(start, start, stop), {"x": np.stack([part, 1j * part], 1)})
    expected = np.bincount(numbers % blocks, numbers, blocks)
    np.testing.assert_array_equal(tally.sums["x"], np.stack([expected, 1j * expected], 1))
    assert tally.realizations == 100


def test_milestones_are_a_quarter_of_a_power_of_two_apart():
    found = [n for n in range(5000) if is_milestone(n)]
    assert found[:9] == [256, 320, 384, 448, 512, 640, 768, 896, 1024]
    assert found[-2:] == [3584, 4096]


def test_pace_leaves_a_share_of_the_time(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = Pace(share=0.1, interval=3.0)
    assert pace.due()
    with pace.spent():
        now += 1.0
    now += 9.9
    assert not pace.due()
    now += 0.2
    assert pace.due()
    with pace.spent():
        now += 0.1
    now += 2.9
    assert not pace.due()
    now += 0.2
    assert pace.due()
