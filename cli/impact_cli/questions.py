"""Questions to the operator, for commands that ask before they act."""

import sys


def agreed(question: str) -> bool:
    """Ask for a yes. Without a terminal, the answer is no."""
    try:
        return sys.stdin.isatty() and input(f"{question} [y/N] ").lower() in ("y", "yes")
    except EOFError:
        return False
