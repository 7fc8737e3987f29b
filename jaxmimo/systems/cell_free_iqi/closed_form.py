r"""Exact closed form of Theorem 1, and its limit for many APs.

The paper leaves the moments of Theorem 1 to simulation. They have a closed form, since channels
are Gaussian and maximum-ratio precoding is linear in the pilots. Write the corrected observation
as $\hat z = p Z + q Z^*$, scaled to the power of Z, and the precoder as $w = c \hat z$
(`mr_scaling`). With
$E\{g^* Z\} = s\beta$, $s^2 = \tau\rho_p$, the own-user means are
$$\xi_1 = s \sum_m c_m \beta_m \sum_l A_1 p, \qquad \xi_2 = s \sum_m c_m \beta_m \sum_l A_2 q^*.$$
For jointly Gaussian scalars, $E|g|^2|\hat z|^2 = E|g|^2 E|\hat z|^2 + |E g^*\hat z|^2 +
|E g \hat z|^2$. The first product, summed over all streams and users, is the interference of an AP
that radiates the share $S_m$ of its power, however it splits it; of the other two, one belongs to
$|\xi|^2$ and one remains:
$$D &= \sum_m \frac{S_m \beta_m}{L} \sum_l (|A_1|^2 + |A_2|^2)(|p|^2 + |q|^2) + |\xi_2|^2 \\
  &\quad + s^2 \sum_m c_m^2 \beta_m^2 \sum_l \bigl(|A_1|^2 |q|^2 + |A_2|^2 |p|^2\bigr),$$
and the SE is $\mu N \log_2(1 + \rho_d|\xi_1|^2/(\rho_d D + 1))$. All moments are scaled identities
over the user's antennas.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Inexact

from jaxmimo.core.checks import function, require_kind
from jaxmimo.core.split import WidelyLinear
from jaxmimo.systems.cell_free_iqi.system import CellFreeIQI, over_sweep
from jaxmimo.transceiver.estimation import Estimator, linear_mmse
from jaxmimo.transceiver.precoding import unit_power


def closed_form_se(
    system: CellFreeIQI, estimator: Estimator = linear_mmse
) -> Float[Array, "*sweep users"]:
    """Downlink SE of Theorem 1 under maximum-ratio precoding, exactly.

    Args:
        system: The network; a swept system gives a result per value.
        estimator: `linear_mmse`, `widely_linear_mmse`, or an image correction of your own.

    Returns:
        SE per user [bit/s/Hz].

    References:
        Sutton et al., Theorem 1, eqs. (24)-(27), with the moments in closed form (see above).
    """
    check_closed_form(system, estimator)

    def of_one(system: CellFreeIQI) -> Array:
        signal, image, variance = _signal_image_variance(system, estimator)
        interference = image + variance
        sinr = system.data_snr * signal / (system.data_snr * interference + 1.0)
        return system.prelog * system.user_antennas * jnp.log1p(sinr) / jnp.log(2.0)

    return over_sweep(of_one, system)(system)


def asymptotic_se(
    system: CellFreeIQI, estimator: Estimator = linear_mmse
) -> Float[Array, "*sweep users"]:
    r"""Limit of the SE when APs like those of `system` are added without end.

    Interference between users and noise average out; the image of the user's own signal stays:
    $R \to \mu N \log_2(1 + |\xi_1|^2 / |\xi_2|^2)$. Infinite where there is no image.

    References:
        Sutton et al., eqs. (15)-(22).
    """
    check_closed_form(system, estimator)

    def of_one(system: CellFreeIQI) -> Array:
        signal, image, _ = _signal_image_variance(system, estimator, unit_energy=True)
        # An image that is all rounding error is none.
        is_none = image <= (8 * jnp.finfo(image.dtype).eps) ** 2 * signal
        limit = jnp.where(signal == 0, 0.0, jnp.inf)
        ratio = jnp.where(is_none, limit, signal / jnp.where(is_none, 1.0, image))
        return system.prelog * system.user_antennas * jnp.log1p(ratio) / jnp.log(2.0)

    return over_sweep(of_one, system)(system)


def check_closed_form(system: CellFreeIQI, estimator: Estimator) -> None:
    """Refuse what has no closed form."""
    require_kind("system", system, CellFreeIQI)
    function("estimator", estimator, "`linear_mmse`")


def _signal_image_variance(
    system: CellFreeIQI, estimator: Estimator, *, unit_energy: bool = False
) -> tuple[Array, Array, Array]:
    r"""$|\xi_1|^2$, $|\xi_2|^2$, both over $s^2$ if asked, and the rest of $D$, per user."""
    receive = system.receive.widely_linear
    _, observed = unit_power(estimator(system.receive), receive)
    observed = _per_antenna(observed, system)
    sent = _per_antenna(system.transmit.widely_linear, system)
    p_power, q_power = _power(observed.direct), _power(observed.image)
    sent_power = _power(sent.direct), _power(sent.image)

    energy = system.pilot_energy
    own = system.mr_scaling * system.beta
    gain = 1.0 if unit_energy else energy
    signal = gain * _power(_sum_over_aps(own, (sent.direct * observed.direct).sum(-1)))
    image = gain * _power(_sum_over_aps(own, (sent.image * observed.image.conj()).sum(-1)))

    radiated = system.spent * ((sent_power[0] + sent_power[1]) * (p_power + q_power)).mean(-1)
    improper = (sent_power[0] * q_power + sent_power[1] * p_power).sum(-1)
    variance = _sum_over_aps(system.beta, radiated) + energy * _sum_over_aps(own**2, improper)
    return signal, image, variance


def _sum_over_aps(
    weights: Float[Array, "aps users"], values: Inexact[Array, " aps"]
) -> Inexact[Array, " users"]:
    return jnp.matmul(weights.T, values, precision="highest")


def _per_antenna(widely_linear: WidelyLinear, system: CellFreeIQI) -> WidelyLinear:
    shape = (system.num_aps, system.ap_antennas)
    return WidelyLinear(
        jnp.broadcast_to(widely_linear.direct, shape), jnp.broadcast_to(widely_linear.image, shape)
    )


def _power(value: Array) -> Array:
    """|value|^2, with a gradient at zero too."""
    return value.real**2 + value.imag**2
