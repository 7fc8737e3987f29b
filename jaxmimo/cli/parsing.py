"""From arguments to dataclasses, with every complaint in one line."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

import tyro
from rich.text import Text

from jaxmimo.core.text import printable

FRAME = " \u2502\u2500\u256d\u256e\u2570\u256f"
"""What tyro's boxes are drawn with; a plain terminal gets hyphens for their rules."""


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
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(f"{_unbox(complaint.getvalue())} See `{prog} --help`.") from None


def one_line(text: str) -> str:
    """Join the lines of `text`, in which all shall print."""
    return printable(" ".join(text.split()))


def _unbox(box: str) -> str:
    """The gist of the box tyro draws around a complaint, and the flags it thinks were meant.

    A box holds a title, the complaint, and further sections set off by blank rows or rules.
    """
    rows = [row.strip(FRAME) for row in Text.from_ansi(box).plain.splitlines()]
    text = "\n".join("" if set(row) == {"-"} else row for row in rows).strip()
    _, _, body = text.partition("\n")
    gist, *sections = map(one_line, re.split(r"\n{2,}", body.strip()))
    gist = re.sub(r"^Error parsing \w+: (?=`)", "", gist)  # a dataclass's own words suffice
    for section in sections:
        if section.startswith("Perhaps you meant"):
            flags = dict.fromkeys(re.findall(r"--\w[\w-]*", section))
            return f"{gist}. Did you mean {' or '.join(f'`{flag}`' for flag in flags)}?"
        if section.startswith("Available"):
            return f"{gist}. {section}."
    return f"{gist.rstrip('.')}."
