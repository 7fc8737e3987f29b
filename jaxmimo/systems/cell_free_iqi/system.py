"""Parameters of the cell-free downlink under I/Q imbalance."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxmimo.core.checks import (
    is_traced,
    positive_integer,
    real_array,
    require,
    require_kind,
    require_memory,
)
from jaxmimo.transceiver.hardware import IQImbalance
from jaxmimo.transceiver.precoding import mr_scaling


class CellFreeIQI(eqx.Module):
    r"""M APs with L antennas serve K users with N antennas, in TDD, with imbalanced APs.

    Channels are $G_{mk} = \sqrt{\beta_{mk}} H_{mk}$ (1), $H$ i.i.d. $\mathcal{CN}(0, 1)$. A
    coherence interval of T symbols holds tau pilot symbols; the rest carries downlink data,
    precoded by maximum ratio and sent through the transmit imbalance (12).

    The power constraint (11) holds before the transmit imbalance, as in the paper: what an AP
    radiates is $\rho_d (1 + f^2)/2$ for a uniform $f$.

    Any of the real parameters may carry one leading axis more: a sweep. The functions of this
    system then return a result per value, and simulate all values from the same draws.

    Args:
        beta: Large-scale fading over the noise power [linear], shape (aps, users).
        receive: I/Q imbalance of the AP receivers, shape (aps, antennas) or common.
        transmit: I/Q imbalance of the AP transmitters, likewise.
        user_antennas: N.
        coherence_length: T [symbols].
        pilot_length: tau [symbols]; None means K N.
        pilot_snr: $\rho_p$ [linear].
        data_snr: $\rho_d$ [linear].
        ap_antennas: L; needed only if no imbalance has a shape that tells.
        amplitudes: $a_{mk}$, the square roots of the shares of AP m's power that users get, shape
            (aps, users), $\sum_k a_{mk}^2 \le 1$; None splits the power equally, as the paper
            does. The SE is smooth in amplitudes, down to zero, and not in powers.

    Raises:
        ValueError: If shapes or lengths do not fit, or values are not finite or negative.

    References:
        Sutton et al., Section II.
    """

    beta: Float[Array, "*sweep aps users"]
    receive: IQImbalance
    transmit: IQImbalance
    pilot_snr: Float[Array, "*sweep"]
    data_snr: Float[Array, "*sweep"]
    amplitudes: Float[Array, "*sweep aps users"] | None
    user_antennas: int = eqx.field(static=True)
    coherence_length: int = eqx.field(static=True)
    pilot_length: int = eqx.field(static=True)
    ap_antennas: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        beta: ArrayLike,
        receive: IQImbalance,
        transmit: IQImbalance,
        user_antennas: int,
        coherence_length: int,
        pilot_length: int | None = None,
        pilot_snr: ArrayLike,
        data_snr: ArrayLike,
        ap_antennas: int | None = None,
        amplitudes: ArrayLike | None = None,
    ) -> None:
        self.beta = real_array("beta", beta, minimum=0.0)
        require_kind("receive", receive, IQImbalance)
        require_kind("transmit", transmit, IQImbalance)
        self.receive, self.transmit = receive, transmit
        self.pilot_snr = real_array("pilot_snr", pilot_snr, minimum=0.0)
        self.data_snr = real_array("data_snr", data_snr, minimum=0.0)
        require(
            self.beta.ndim in (2, 3) and 0 not in self.beta.shape,
            f"`beta` must have shape (aps, users), but has shape {self.beta.shape}. "
            "Give one row per AP and one column per user.",
        )
        self.amplitudes = self._checked_amplitudes(amplitudes)
        self.user_antennas = positive_integer("user_antennas", user_antennas)
        self.coherence_length = positive_integer("coherence_length", coherence_length)
        self.ap_antennas = self._checked_ap_antennas(ap_antennas)
        require_memory(
            "channels",
            num_aps=self.num_aps,
            ap_antennas=self.ap_antennas,
            num_users=self.num_users,
            user_antennas=self.user_antennas,
        )
        self.pilot_length = self._checked_pilot_length(pilot_length)
        self._check_sweep()

    @property
    def num_aps(self) -> int:
        """M."""
        return self.beta.shape[-2]

    @property
    def num_users(self) -> int:
        """K."""
        return self.beta.shape[-1]

    @property
    def streams(self) -> int:
        """K N, the columns of all users' channels."""
        return self.num_users * self.user_antennas

    @property
    def pilot_energy(self) -> Array:
        r"""$\tau \rho_p$ over the noise power [linear]."""
        return self.pilot_length * self.pilot_snr

    @property
    def prelog(self) -> float:
        """Share of the coherence interval that carries data."""
        return 1.0 - self.pilot_length / self.coherence_length

    @property
    def mr_scaling(self) -> Float[Array, "*sweep aps users"]:
        """Scaling of maximum-ratio precoding, from the scaled observations to the precoder."""
        equal = mr_scaling(self.beta, self.pilot_energy, self.ap_antennas, self.streams)
        if self.amplitudes is None:
            return equal
        return self.num_users**0.5 * self.amplitudes * equal

    @property
    def spent(self) -> Float[Array, "*sweep aps"]:
        """Share of its power that each AP spends."""
        if self.amplitudes is None:
            return jnp.ones_like(self.beta[..., 0])
        return jnp.sum(self.amplitudes**2, -1)

    @property
    def is_common(self) -> bool:
        """Whether the hardware is common to all antennas, as the shapes tell."""
        return self.receive.is_common and self.transmit.is_common

    @property
    def sweep_axes(self) -> "CellFreeIQI":
        """For each leaf 0 if it is swept, else None: the `in_axes` of `jax.vmap`."""
        leaves, structure = jax.tree.flatten(self)
        axes = [0 if leaf.ndim in (1, 3) else None for leaf in leaves]
        return jax.tree.unflatten(structure, axes)

    @property
    def sweep_length(self) -> int | None:
        """Number of values swept, None if nothing is."""
        lengths = {leaf.shape[0] for leaf in jax.tree.leaves(self) if leaf.ndim in (1, 3)}
        return max(lengths) if lengths else None

    def _checked_amplitudes(self, given: ArrayLike | None) -> Array | None:
        if given is None:
            return None
        amplitudes, aps_users = real_array("amplitudes", given), self.beta.shape[-2:]
        require(
            amplitudes.ndim in (2, 3) and amplitudes.shape[-2:] == aps_users,
            f"`amplitudes` must have shape (aps, users) = {aps_users}, but has shape "
            f"{amplitudes.shape}. Match it to `beta`.",
        )
        # What rounding adds to the norm of a row is no power to speak of.
        most = 1.0 + 8 * float(jnp.finfo(amplitudes.dtype).eps)
        require(
            is_traced(amplitudes) or bool(np.all(np.sum(np.square(amplitudes), -1) <= most)),
            "`amplitudes` must have squares that sum up to at most 1 over the users of each AP. "
            "Give square roots of shares of the AP's power.",
        )
        return amplitudes

    def _checked_ap_antennas(self, given: int | None) -> int:
        shapes = {"receive": self.receive.shape, "transmit": self.transmit.shape}
        antennas = max(shape[-1] for shape in shapes.values())
        if given is not None:
            antennas = positive_integer("ap_antennas", given)
        for name, shape in shapes.items():
            require(
                shape[-2] in (1, self.num_aps) and shape[-1] in (1, antennas),
                f"`{name}` must have shape (aps, antennas) = ({self.num_aps}, {antennas}), but "
                f"has shape {shape[-2:]}. Match it to `beta` and to the other imbalance.",
            )
        return antennas

    def _checked_pilot_length(self, given: int | None) -> int:
        length = self.streams if given is None else positive_integer("pilot_length", given)
        require(
            length >= self.streams,
            f"`pilot_length` must be at least num_users x user_antennas = {self.streams}, but got "
            f"{length}. Raise `pilot_length` or serve fewer users.",
        )
        require(
            self.coherence_length > length,
            f"`coherence_length` must exceed the pilot length {length}, but got "
            f"{self.coherence_length}. Raise `coherence_length` or serve fewer users.",
        )
        return length

    def _check_sweep(self) -> None:
        for name, snr in (("pilot_snr", self.pilot_snr), ("data_snr", self.data_snr)):
            require(
                snr.ndim <= 1 and snr.size > 0,
                f"`{name}` must be a number, or have one axis that sweeps it, but has shape "
                f"{snr.shape}. Use `jax.vmap` for more axes.",
            )
        lengths = {leaf.shape[0] for leaf in jax.tree.leaves(self) if leaf.ndim in (1, 3)}
        require(
            len(lengths) <= 1,
            f"swept parameters must have one leading axis of the same length, but have {lengths}. "
            "Sweep `beta`, hardware, SNRs and `amplitudes` over equal lengths.",
        )


def over_sweep(function: Callable[..., Any], system: CellFreeIQI) -> Callable[..., Any]:
    """`function` of a system (and of arguments with the same leading axis) for a swept system."""
    if system.sweep_length is None:
        return function
    return jax.vmap(function, in_axes=(system.sweep_axes,))
