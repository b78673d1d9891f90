"""`make audit`, with an OSV on loopback: a vulnerability fails it, and no response is not a clean result."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local import PROJECT
from local.http_server import running_server
from local.stack import free_port


@contextmanager
def osv(vulnerable: str = "") -> Iterator[str]:
    """Respond as OSV does, with one vulnerability of a package in every version below 999."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = query["package"]
            found = {"vulns": [vulnerability(package)]} if package["name"] == vulnerable else {}
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with running_server(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"


def vulnerability(package: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}]
    affected = [{"package": package, "ranges": ranges, "versions": []}]
    return {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "details": "x", "affected": affected}


def audit(url: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "local.audit", "--group", "lambda", "--osv-url", url]
    # No other source can be reached.
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{free_port()}", "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


def test_a_known_vulnerability_fails_the_audit() -> None:
    with osv(vulnerable="defusedxml") as url:
        code, output = audit(url)
    assert (code, "PYSEC-2026-1, CVE-2026-1; fixed in 999" in output) == (1, True)
    assert output.startswith("defusedxml ")


def test_without_one_it_says_how_many_packages_it_looked_up() -> None:
    with osv() as url:
        code, output = audit(url)
    packages = re.fullmatch(r"0 known vulnerabilities in (\d+) packages\.\n", output)
    assert code == 0
    assert packages, output
    assert int(packages[1]) > 10


def test_without_a_source_it_says_that_nothing_was_audited() -> None:
    code, output = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert (code, output.startswith("NOT AUDITED")) == (0, True)
