"""A proxy with the probe before and after the callback, and how long LiteLLM kept each event."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from local import PROJECT
from local.fake_providers import environment
from local.litellm_proxy import CALLBACK, CONFIG, Proxy, running_proxy
from tests.crashes.clients import SUCCESS, Answered
from tests.crashes.oracle import Hooks

OURS = '"litellm_callbacks.proxy_handler_instance"'
PROBED = f'"tests.crashes.probe.called", {OURS}, "tests.crashes.probe.kept"'


def probed_proxy(
    folder: Path, provider: str, service: str, token: str, arguments: Sequence[str] = ()
) -> AbstractContextManager[Proxy]:
    """Start a proxy on a folder. Its proxies share `outbox`, the probe's `journal` and the logs."""
    journal, config = folder / "journal", folder / "litellm_config.yaml"
    journal.mkdir(exist_ok=True)
    text = CONFIG.read_text()
    assert text.count(OURS) == 1
    config.write_text(text.replace(OURS, PROBED))
    variables = environment(provider) | {
        "IMPACT_SERVICE_URL": f"{service}/api/request-event",
        "IMPACT_SERVICE_TOKEN": token,
        "IMPACT_OUTBOX": str(folder / "outbox"),
        "PYTHONPATH": os.pathsep.join((str(CALLBACK), str(PROJECT))),
        "CRASHES_JOURNAL": str(journal),  # see the probe
    }
    log = folder / f"proxy-{len(list(folder.glob('proxy-*.log'))):02}.log"
    return running_proxy(variables, log, config, arguments=arguments)


def window(answered: Iterable[Answered], hooks: Hooks) -> str:
    """Seconds from each response until its event was in the outbox: a kill meanwhile would lose it."""
    waits = sorted(
        (hooks.kept[request.user, SUCCESS] - request.at) * 1000
        for request in answered
        if (request.user, SUCCESS) in hooks.kept
    )
    if not waits:
        return "nothing"
    p50, p99, longest = (max(0.0, waits[int(part * (len(waits) - 1))]) for part in (0.5, 0.99, 1))
    before = sum(wait < 0 for wait in waits) / len(waits)
    return (
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.1f} ms; of {len(waits)}"
        f" {before:.0%} were there before the answer"
    )
