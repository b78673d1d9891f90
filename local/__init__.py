"""What runs on the operator's machine: make commands, the stack on MiniStack, fake providers, the demo.

`make NAME` runs `local/NAME.py` or `local/NAME/`; `make local` runs `local/stack/`. They share the functions'
code.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""The root of the repository."""
FUNCTIONS = PROJECT / "functions"

if str(FUNCTIONS) not in sys.path:
    sys.path.append(str(FUNCTIONS))
