"""Questions to the operator, for commands that ask before they act."""

import sys


def agreed(question: str) -> bool:
    """Ask for a yes on standard error. Without a terminal, the answer is no."""
    if not sys.stdin.isatty():
        return False
    return answer(f"{question} [y/N] ").lower() in ("y", "yes")


def answer(question: str) -> str:
    """Ask on standard error, and return the line that is typed."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
