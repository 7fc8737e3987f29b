"""Studies: one file per published figure, with its sweep, its claims and its picture."""

from jaxmimo.studies import iqi_aps, iqi_mismatch, iqi_users
from jaxmimo.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for study in (iqi_mismatch.STUDY, iqi_aps.STUDY, iqi_users.STUDY)
}
"""Every study by its name."""
