"""`python -m local.fake_providers`: serve until stopped."""

from __future__ import annotations

import argparse
import signal
import sys

from local.fake_providers import ProviderServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.fake_providers", description="Fake AI providers.")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any free one")
    server = ProviderServer(parser.parse_args().port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(server.url, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
