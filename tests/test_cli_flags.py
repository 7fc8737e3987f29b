"""Every flag of every study, given what nobody should give: one line, and nothing left behind."""

import random
from dataclasses import fields
from importlib import import_module

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.cli import main
from jaxmimo.cli.hosts import HostFlags
from jaxmimo.cli.parsing import with_flags
from jaxmimo.cli.run import RunFlags
from jaxmimo.studies import STUDIES, common, domains

ODD = (
    "", "0", "-1", "1.5", "inf", "nan", "1e308", str(10**19), "1" + 400 * "0", 5000 * "9", "text",
    "\x1b[31mred", "a\0b", "a\n\nb", 10_000 * "x",
)  # fmt: skip
LISTS = (
    [], ["4", "4"], ["4", "2", "1"], ["1", "nan"], ["1,2,x"], [","], 3000 * ["7"],
    [*map(str, range(1, 3001))], ["1", ""],
)  # fmt: skip
CLOSED_FORMS = (
    ("iqi", "sum_se_closed_form"),
    ("iqi_aps", "_closed_forms_of_first_aps"),
    ("iqi_aps", "_sum_se_limit"),
    ("iqi_users", "_closed_forms_of_first_users"),
    ("squint_gain", "_closed_forms"),
    ("wideband_correlation_forms", "closed_forms"),
)
"""Programs that studies run before they simulate."""


class Reached(Exception):
    """A study would simulate now."""


def flags_of(parameters):
    """Flags, and whether a list follows; those without a value are left out."""
    for field in fields(parameters):
        if field.type is not bool:
            yield f"--{field.name.replace('_', '-')}", "tuple" in str(field.type)


def cases():
    """Study, flag and what follows it; flags that all studies share are tried with one of them."""
    for name, study in STUDIES.items():
        for flag, several in flags_of(study.parameters):
            yield from ((name, flag, [word]) for word in ODD)
            yield from ((name, flag, words) for words in LISTS if several)
    for flags in (RunFlags, HostFlags):
        for flag, _ in flags_of(flags):
            yield from (("squint-gain", flag, [word]) for word in ODD)
            yield "squint-gain", flag, []


CASES = list(cases())


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    """Studies end where they would simulate; what they compute before is all ones."""

    def reached(*args, **kwargs):
        raise Reached

    def ones_like(function):
        def of(*args):
            shapes = eqx.filter_eval_shape(function.__wrapped__, *args)
            return jax.tree.map(lambda leaf: jnp.asarray(np.ones(leaf.shape, leaf.dtype)), shapes)

        return of

    for name in ("simulate", "simulate_all", "simulate_curve"):
        monkeypatch.setattr(common, name, reached)
    for module, name in CLOSED_FORMS:
        module = import_module(f"jaxmimo.studies.{module}")
        monkeypatch.setattr(module, name, ones_like(getattr(module, name)))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("JAXMIMO_CACHE_DIR", str(tmp_path / "own"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def violation(case, capsys, folder):
    """What is wrong with the answer to a case; None if nothing is."""
    study, flag, words = case
    capsys.readouterr()
    try:
        code = main(["run", study, flag, *words])
    except Reached:
        code = 0
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    lines = capsys.readouterr().err.splitlines()
    left = list(folder.rglob("*"))
    if code == 0:
        return f"left {left}" if left else None
    (line,) = lines if len(lines) == 1 else ("",)
    if code != 2 or not line.startswith("jaxmimo: error: ") or not line.isprintable():
        return f"exit code {code}, {lines}"
    if len(line) > 1000 or flag not in line:
        return line
    return f"left {left}" if left else None


def check(chosen, capsys, folder):
    found = {}
    for case in chosen:
        wrong = violation(case, capsys, folder)
        if wrong is not None:
            study, flag, words = case
            found[f"{study} {flag} {words!r:.80}"] = wrong[:300]
    assert not found, "\n".join(f"{case}: {wrong}" for case, wrong in found.items())


@pytest.mark.timeout(120)
def test_a_hundred_odd_values_are_told_in_one_line(no_engine, capsys):
    check(random.sample(CASES, 100), capsys, no_engine)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", STUDIES)
def test_every_odd_value_is_told_in_one_line(name, no_engine, capsys):
    check([case for case in CASES if case[0] == name], capsys, no_engine)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("iqi-aps --data-snr-db inf", "`--data-snr-db` must be at most 300, but got inf"),
        ("rician-se --power-mw -5", "`--power-mw` must be above 0, but got -5.0. Give milliwatts."),
        ("wideband-se --power-dbm 1e308", "`--power-dbm` must be at most 300, but got 1e+308."),
        ("rician-se --spread-deg 1e9", "`--spread-deg` must be at most 180, but got 1000000000.0."),
        ("squint-gain --carrier-ghz 3.5e9", "Give gigahertz: 3.5 for 3.5e9 Hz."),
        ("rician-se --num-users 0", "`--num-users` must be at least 1, but got 0."),
        ("iqi-aps --num-users 100", "`--coherence-length` must exceed the pilot length 200, but"),
        ("wideband-se --num-rays 5", "`--num-rays` must be 1 or 20, but got 5."),
        (
            "rician-se --num-aps",
            "`--num-aps` must hold at least one value, but is empty. Give one.",
        ),
        ("rician-se --num-aps 4 4", "`--num-aps` must increase, but holds 4 twice. Write 4."),
        ("rician-se --num-aps 4,2,1", "must increase, but holds 4 2 1. Write 1 2 4."),
        ("rician-se --num-users 1.5", "`--num-users` must be a whole number, but got `1.5`."),
        (f"iqi-aps --num-aps {10**19}", "`--num-aps` must be at most 1e+07, but holds"),
        (f"iqi-aps --num-users 1{400 * '0'}", "`--num-users` must be at most 1e+07, but got"),
        ("iqi-aps --num-aps 1e7 --num-users 1e5 --coherence-length 1e7", "takes 64 TB, and this"),
        ("squint-gain --realizations 1e19", "`--realizations` must be below 2147483648, but got"),
    ],
)
def test_a_complaint_names_the_flag_the_cause_and_the_remedy(command, text, no_engine, capsys):
    assert main(["run", *command.split()]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not list(no_engine.iterdir())


def test_whole_numbers_and_lists_are_read_as_people_write_them(no_engine, capsys, monkeypatch):
    given = []

    def note(study, flags, *rest):
        given.append(flags)
        raise Reached

    monkeypatch.setattr("jaxmimo.cli.run._simulate", note)
    for aps in (["10,50,100"], ["10", "50", "100"], ["10,", "50", ",100"], ["1e1,5e1", "1e2"]):
        with pytest.raises(Reached):
            main(["run", "iqi-aps", "--realizations", "1e4", "--num-aps", *aps])
    assert [flags.run.realizations for flags in given] == 4 * [10_000]
    assert [flags.study.num_aps for flags in given] == 4 * [(10, 50, 100)]


def test_what_only_a_system_knows_is_said_of_the_flag():
    names = ("power_dbm", "carrier_ghz", "num_users", "exponent")
    text = "`power` of num_users x 2 must be less than `carrier_hz`, not `beta`, exponent"
    named = (
        "`--power-dbm` of --num-users x 2 must be less than `--carrier-ghz`, not `beta`, exponent"
    )
    assert with_flags(text, names) == named


def test_the_remedy_for_too_few_digits_is_a_flag():
    text = "Check the data, or repeat with x64 enabled."
    assert with_flags(text, ()) == "Check the data, or repeat with `--precision double`."


@pytest.mark.parametrize("name", STUDIES)
def test_every_parameter_has_a_domain(name):
    kinds = domains.kinds_of(STUDIES[name].parameters)
    assert all(domain is not None for kind, _, domain in kinds.values() if kind is not bool)


def test_no_memory_is_one_line(no_engine, capsys, monkeypatch):
    for error in (MemoryError("4.5 TiB"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")):

        def fail(*args, error=error):
            raise error

        monkeypatch.setattr("jaxmimo.cli.run._simulate", fail)
        assert main(["run", "squint-gain"]) == 2
        line = capsys.readouterr().err
        assert "memory must hold the arrays of a study, but is exhausted" in line
        assert line.count("\n") == 1
