"""Public names of `jaxmimo.channel.pathloss`."""

from jaxmimo.channel.pathloss import distance_power_law, log_distance_gain, umi_street_canyon

__all__ = ["distance_power_law", "log_distance_gain", "umi_street_canyon"]
