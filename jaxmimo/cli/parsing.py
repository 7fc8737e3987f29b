"""From arguments to dataclasses, with every complaint in one line."""

import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import tyro
from rich.text import Text
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from jaxmimo.core.text import printable

FRAME = " \u2502\u2500\u256d\u256e\u2570\u256f"
"""What tyro's boxes are drawn with; a plain terminal gets hyphens for their rules."""

LONGEST_WORD, LONGEST_PATH = 40, 300
"""Characters that a complaint repeats of what stands for a number, and of anything else."""

_registry = ConstructorRegistry()


def parse(target: Any, *, prog: str, args: Sequence[str], description: str) -> Any:
    """Parse `args` into `target`, a dataclass or a union of them; `--help` prints and exits.

    Args:
        target: Type to build; flags and their help come from its fields.
        prog: The command so far, for the help.
        args: Arguments to parse.
        description: First paragraph of the help.

    Returns:
        An instance of `target`.

    Raises:
        ValueError: if the arguments are wrong, with one line that names the first wrong one.
    """
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                target,
                prog=prog,
                args=args,
                description=description,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
                registry=_registry,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(f"{_unbox(complaint.getvalue())} See `{prog} --help`.") from None


def one_line(text: str) -> str:
    """Join the lines of `text`, in which all shall print, and cut endless words."""
    return " ".join(_cut(word, LONGEST_PATH) for word in printable(" ".join(text.split())).split())


@_registry.primitive_rule
def _value(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A number, of which a whole one may be written as 1e4, or one of several words."""
    union = get_origin(info.type) in (Union, UnionType)
    kinds = [each for each in get_args(info.type) if each is not type(None)]
    kind = kinds[0] if union and len(kinds) == 1 else info.type
    read = _reader_of(kind)
    if read is None:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=_metavar(kind),
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: True,  # of defaults, which fit
        str_from_instance=lambda value: [str(value)],
    )


@_registry.primitive_rule
def _values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A list, whose values are separated by commas as well as by spaces."""
    kind, *rest = get_args(info.type) or (None,)
    read = _reader_of(kind)
    if info.type_origin is not tuple or rest != [...] or read is None:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[{_metavar(kind)} [{_metavar(kind)} ...]]",
        instance_from_str=lambda words: tuple(map(read, filter(None, ",".join(words).split(",")))),
        is_instance=lambda value: True,
        str_from_instance=lambda value: list(map(str, value)),
    )


def _reader_of(kind: Any) -> Callable[[str], Any] | None:
    if get_origin(kind) is Literal:
        return partial(_one_of, get_args(kind))
    return {int: _whole, float: _real}.get(kind)


def _metavar(kind: Any) -> str:
    choices = get_args(kind)
    return "{" + ",".join(choices) + "}" if choices else kind.__name__.upper()


def _one_of(choices: Sequence[str], word: str) -> str:
    if word not in choices:
        raise ValueError(
            f"must be one of {', '.join(choices)}, but got `{_cut(word)}`. Write one of them."
        )
    return word


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        pass
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    if number.is_integer():
        return int(number)
    raise ValueError(f"must be a whole number, but got `{_cut(word)}`. Write 10000 or 1e4.")


def _real(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"must be a number, but got `{_cut(word)}`. Write 0.5 or 1e-3.") from None


def _cut(word: str, length: int = LONGEST_WORD) -> str:
    return word if len(word) <= length else f"{word[: length // 2]}...{word[-length // 2 :]}"


def with_flags(text: str, names: Sequence[str]) -> str:
    """A complaint about parameters, as one about the flags that give them.

    A study converts units, so that its flag `--power-dbm` gives what a system calls `power`, and
    `--carrier-ghz` what it calls `carrier_hz`: names match but for the unit at their end.

    Args:
        text: Words of a study or of a system; names of parameters stand in backticks, or hold an
            underscore.
        names: The study's own parameters.
    """
    flags = {name: f"--{name.replace('_', '-')}" for name in names}
    stems = {_stem(name): flag for name, flag in flags.items()}

    def flag_of(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        flag = flags.get(name) or stems.get(_stem(name))
        return match[0] if flag is None else (f"`{flag}`" if match[1] else flag)

    text = text.replace("repeat with x64 enabled", "repeat with `--precision double`")
    return re.sub(r"`(\w+)`|\b(?<!-)([a-z]+_\w+)\b", flag_of, text)


_UNIT = re.compile(r"_(db|dbm|w|mw|deg|rad|hz|mhz|ghz|m|cm|s|ns)$")


def _stem(name: str) -> str:
    return _UNIT.sub("", name)


def _unbox(box: str) -> str:
    """The gist of the box tyro draws around a complaint, and the flags it thinks were meant.

    A box holds a title, the complaint, and further sections set off by blank rows or rules.
    """
    rows = [row.strip(FRAME) for row in Text.from_ansi(box).plain.splitlines()]
    text = "\n".join("" if set(row) == {"-"} else row for row in rows).strip()
    _, _, body = text.partition("\n")
    gist, *sections = map(one_line, re.split(r"\n{2,}", body.strip()))
    gist = re.sub(r"^Error parsing \w+: (?=`|the network)", "", gist)  # its own words suffice
    gist = re.sub(r"^Error parsing (--[\w-]+): (?=must)", r"`\1` ", gist)
    for section in sections:
        if section.startswith("Perhaps you meant"):
            flags = dict.fromkeys(re.findall(r"--\w[\w-]*", section))
            return f"{gist}. Did you mean {' or '.join(f'`{flag}`' for flag in flags)}?"
        if section.startswith("Available"):
            return f"{gist}. {section}."
    return f"{gist.rstrip('.')}."
