"""`make openapi`: write the HTTP API's description to docs/openapi.json."""

import argparse
import json
from pathlib import Path

from local import PROJECT
from local.openapi.document import document


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.openapi", description=__doc__)
    parser.add_argument("--to", type=Path, default=PROJECT / "docs/openapi.json", metavar="FILE")
    target = parser.parse_args().to
    target.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
    print(f"{target} is written.")


if __name__ == "__main__":
    main()
