"""Parameters of studies as scripts give them: lists and arrays serve as well as tuples."""

from dataclasses import fields

import numpy as np
import pytest

from jaxmimo.studies import STUDIES


@pytest.mark.parametrize("make", [list, np.asarray])
@pytest.mark.parametrize("name", STUDIES)
def test_lists_and_arrays_become_tuples(name, make):
    default, given = STUDIES[name].parameters(), STUDIES[name].parameters()
    for field in fields(default):
        value = getattr(default, field.name)
        if isinstance(value, tuple):
            # Tests check types as the constructor is called, which lets tuples alone pass.
            object.__setattr__(given, field.name, make(value))
    given.__post_init__()
    assert given == default
    assert hash(given) == hash(default)
