"""Bad input at scale. `make test` takes one round of it, `make fuzz` more."""

import os

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
