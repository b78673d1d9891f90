"""What the service costs on AWS: dollars a month, from measured units and list prices.

`python -m benchmarks.cost` prints the table of README.md, and what each part costs for a million events.
Prices are those of us-east-1, on demand, without free tiers.
"""

import argparse

from benchmarks.cost.measure import measured
from benchmarks.cost.model import PRICES_DATE, Units
from benchmarks.cost.tables import parts, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.parse_args()
    print(f"Dollars a month, {PRICES_DATE}:\n\n{table()}\n\n{parts()}\n")
    print("Bytes, as reckoned with and as measured now:")
    for name, now in measured().items():
        print(f"  {name:28}{getattr(Units, name):6,}{now:6,}")


if __name__ == "__main__":
    main()
