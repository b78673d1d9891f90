"""What runs on the operator's machine. It shares the functions' code, which lies in a folder of its own."""

import sys
from pathlib import Path

FUNCTIONS = Path(__file__).parents[1] / "functions"

if str(FUNCTIONS) not in sys.path:
    sys.path.append(str(FUNCTIONS))
