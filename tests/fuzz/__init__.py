"""Bad input at scale. `make test` and `make test-all` take one round of it, `make fuzz` more."""

import os

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
