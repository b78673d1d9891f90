"""Known vulnerabilities of every package that uv.lock pins: in the zip, in the tools, in the LiteLLM proxies.

Where pip-audit could not look a package up (its source does not know it, or cannot be reached), it reports no
known vulnerability. This command reports such a package as not audited.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local import PROJECT

SOURCES = ("osv", "pypi")
"""Both serve PyPA's advisory database. The second is asked only if the first does not respond."""
BINARIES = Path(sys.executable).parent


@dataclass
class Audited:
    """How many packages were looked up, which ones could not be, and the vulnerabilities found."""

    packages: int = 0
    unknown: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.audit", description=__doc__)
    parser.add_argument("--osv-url", default="https://api.osv.dev/v1/query", help="address of OSV")
    parser.add_argument("--group", action="append", help="groups of pyproject.toml to audit (all)")
    options = parser.parse_args()
    # The proxies and SAM CLI pin different versions of the same packages: so each set is locked for itself.
    all_groups = [["lambda", "test", "lint", "audit", "aws"], ["proxy"], ["proxy-newest"]]
    groups = [options.group] if options.group else all_groups
    audited: list[Audited] = []
    for some in groups:
        audited.append(audit(some, options.osv_url))
        if not audited[-1].packages:
            break  # no source responds; waiting for the other groups would find nothing either
    packages = sum(one.packages for one in audited)
    unknown = sorted({name for one in audited for name in one.unknown})
    findings = sorted({finding for one in audited for finding in one.findings})
    print(*findings, sep="\n", end="\n" if findings else "")
    if not packages:
        print("NOT AUDITED: neither OSV nor PyPI can be reached from here.")
    else:
        print(f"{len(findings)} known vulnerabilities in {packages} packages.")
        print(*(f"Not audited: {name}" for name in unknown), sep="\n", end="\n" if unknown else "")
    return 1 if findings else 0


def audit(groups: Sequence[str], osv_url: str) -> Audited:
    """Look up a locked set of packages in the first source that responds."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(_locked(groups))
        requirements.flush()
        for source in SOURCES:
            command = ["-r", requirements.name, "--disable-pip", "--no-deps", "-f", "json", "-s", source]
            ran = _run("pip-audit", *command, "--progress-spinner=off", f"--osv-url={osv_url}")
            if ran.stdout and (audited := _read(ran.stdout)).packages:
                return audited
    return Audited()


def _locked(groups: Sequence[str]) -> str:
    chosen = [f"--only-group={group}" for group in groups]
    ran = _run("uv", "export", "--quiet", "--frozen", "--no-emit-workspace", *chosen)
    ran.check_returncode()
    return ran.stdout


def _read(report: str) -> Audited:
    audited = Audited()
    for package in json.loads(report)["dependencies"]:
        name = f"{package['name']} {package.get('version', '')}".rstrip()
        if "skip_reason" in package:
            audited.unknown.append(f"{name} ({package['skip_reason']})")
        else:
            audited.packages += 1
            audited.findings += _findings(name, package["vulns"])
    return audited


def _findings(name: str, vulnerabilities: Sequence[dict[str, list[str]]]) -> Iterator[str]:
    for one in vulnerabilities:
        ids = ", ".join([str(one["id"]), *one.get("aliases", [])])
        yield f"{name}: {ids}; fixed in {', '.join(one['fix_versions']) or 'no version yet'}"


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BINARIES / program), *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
