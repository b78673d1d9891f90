"""`make librechat`: run the tests, or say which settings are missing."""

import sys
from pathlib import Path

import pytest

from tests.librechat.environment import missing

HOW = """\
docs/librechat.md, "Try it", says how to have all of it up. Then:

  export LIBRECHAT_URL=http://localhost:3080 LIBRECHAT_PROVIDER_URL=http://127.0.0.1:9100
  LIBRECHAT_STACK=.local.env make librechat
"""


def main() -> int:
    if lacks := missing():
        print(
            "There is no LibreChat to try:",
            *(f"  {line}" for line in lacks),
            "",
            HOW,
            sep="\n",
            file=sys.stderr,
        )
        return 1
    return pytest.main([str(Path(__file__).parent), "-m", "long or not long", "--numprocesses", "0"])


if __name__ == "__main__":
    sys.exit(main())
