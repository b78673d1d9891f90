"""Questions to the operator, for commands that ask before they act."""

import sys


def agreed(question: str) -> bool:
    """Ask for a yes on standard error. Without a terminal, the answer is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
