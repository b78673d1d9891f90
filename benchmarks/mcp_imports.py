"""What the official MCP SDK would cost McpFunction, which has the protocol by hand: time, megabytes.

`python -m benchmarks.mcp_imports`. Both are the processor time of all imports; the second one also imports
what a server of the SDK needs. Each runs in a process of its own, in turns, with bytecode there already. The
size is of the packages that the SDK needs and the functions' zip does not have, as they are installed here.
"""

import argparse
import os
import re
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from statistics import median

from packaging.requirements import Requirement

from benchmarks.imports import ENVIRONMENT, TIMED
from local import PROJECT

OURS = "import mcp_server.app"
SDK = "import mcp_server.app, mcp.server.lowlevel.server, mcp.server.streamable_http_manager"
PATH = os.pathsep.join(str(PROJECT / folder) for folder in ("functions", "layers/callback"))
MEGABYTE = 1_000_000


def milliseconds(statement: str) -> float:
    """Time a statement in a fresh interpreter."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    environment = {name: v for name, v in ENVIRONMENT.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.check_output(command, env=environment | {"PYTHONPATH": PATH})
    return float(output.split()[-1]) * 1000


def packages_of(name: str) -> dict[str, Distribution]:
    """Find a package and all that it needs, by normalized name."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(name, "")], set[tuple[str, str]]()
    while waiting:
        name, extra = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = distribution(name)
        for needed in map(Requirement, found[name].requires or ()):
            if not needed.marker or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, one) for one in ("", *needed.extras)]
    return found


def in_the_zip() -> set[str]:
    """The packages of the functions' zip."""
    text = (PROJECT / "functions" / "requirements.txt").read_text()
    return set(re.findall(r"(?m)^([a-z0-9-]+)==", text))


def bytes_of(package: Distribution) -> int:
    paths = [package.locate_file(file) for file in package.files or () if file.suffix != ".pyc"]
    return sum(os.stat(str(path)).st_size for path in paths if os.path.isfile(str(path)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp_imports", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each, of which the median is shown (7)")
    runs = parser.parse_args().runs
    for statement in (OURS, SDK):
        milliseconds(statement)  # writes the bytecode
    pairs = [(milliseconds(OURS), milliseconds(SDK)) for _ in range(runs)]
    ours, theirs = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(sdk / own for own, sdk in pairs)
    more = {name: package for name, package in packages_of("mcp").items() if name not in in_the_zip()}
    size = sum(map(bytes_of, more.values())) / MEGABYTE
    print(f"imports by hand      {ours:6.0f} ms")
    print(f"imports with the SDK {theirs:6.0f} ms, {ratio:.2f} times as much, {theirs - ours:.0f} ms more")
    print(f"the SDK in the zip   {len(more)} packages more, {size:.0f} MB more: {', '.join(sorted(more))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
