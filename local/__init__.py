"""What runs on the operator's machine. It shares the functions' code, which lies in a folder of its own."""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""The root of the repository."""
FUNCTIONS = PROJECT / "functions"

if str(FUNCTIONS) not in sys.path:
    sys.path.append(str(FUNCTIONS))
