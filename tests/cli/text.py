"""Text that a command printed, as a test reads it."""

import re


def flat(text: str) -> str:
    """A table or a help text without its boxes, on one line."""
    return re.sub(r"[\s│─╭╮╰╯┃]+", " ", text)
