"""Text of others, which a terminal may not take for commands."""


def printable(text: str) -> str:
    """`text` with a question mark for whatever does not print: escapes, and marks that reorder.

    Ends of lines stay.
    """
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
