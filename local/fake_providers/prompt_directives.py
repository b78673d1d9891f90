"""Directives in a prompt, which say how the fake providers respond.

So one message means the same in each try and at each provider that LiteLLM falls back to, and no state has to
be set up before:

    Hello #call=7 #user=alice #in=1200 #out=300 #cached=1000 #reasoning=120 #fail=openai:2:500

`#hold=status` holds the whole response, `#hold=2` a stream after its first two parts, until `DELETE /held/7`
releases call 7. `#hold=status,0` does both; `DELETE /held/7/status` releases only the first.

`#break=error:3` ends every stream with an error after three parts. With `cut` the connection breaks, and with
`stall` no further part is sent. `#break=cut:3 #hold=3` breaks it once the client has received the parts.

`#tools=2` makes the model call the first offered tool twice. `#tool=my_usage` makes it call, once and without
arguments, the first tool with that in its name, in a stream too; then it says what the tool answered. With
`#reads=3`, a background response or a batch is complete after it was read three times.

Token counts that are left out are derived from the text: varied, and the same every time.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import asdict, dataclass

DIRECTIVE = re.compile(r"#([a-z_]+)=([^\s#]+)")
ALWAYS = "always"
STATUS = "status"
CUT, ERROR, STALL = "cut", "error", "stall"


@dataclass(frozen=True)
class Usage:
    """Token counts as in the ledger: `tokens_in` includes cached tokens, `tokens_out` reasoning tokens."""

    tokens_in: int
    tokens_out: int
    tokens_cached: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class Failure:
    """The first `tries` at `provider` fail with `status`; all of them if `tries` is None."""

    provider: str
    tries: int | None
    status: int

    def hits(self, provider: str, attempt: int) -> bool:
        return provider == self.provider and (self.tries is None or attempt <= self.tries)


@dataclass(frozen=True)
class Break:
    """A stream breaks after `parts` parts: `how` is CUT, ERROR or STALL."""

    how: str
    parts: int


@dataclass(frozen=True)
class Directives:
    """The directives of one prompt."""

    call: str
    user: str | None
    usage: Usage
    failure: Failure | None
    broken: Break | None = None
    tools: int = 0
    tool: str | None = None
    reads: int = 0
    holds: frozenset[str] = frozenset()
    """STATUS, and the numbers of parts after which a stream is held, as text."""

    def status(self, provider: str, attempt: int) -> int:
        """The HTTP status of the response to this try, counted from 1."""
        if self.failure and self.failure.hits(provider, attempt):
            return self.failure.status
        return 200


def parse_directives(text: str) -> Directives:
    given: dict[str, str] = dict(DIRECTIVE.findall(text))
    seed = zlib.crc32(text.encode())
    return Directives(
        call=given.get("call", f"{seed:08x}"),
        user=given.get("user"),
        usage=Usage(
            tokens_in=int(given.get("in", 20 + seed % 400)),
            tokens_out=int(given.get("out", 10 + seed // 400 % 300)),
            tokens_cached=int(given.get("cached", 0)),
            tokens_cache_write=int(given.get("cache_write", 0)),
            tokens_reasoning=int(given.get("reasoning", 0)),
        ),
        failure=_failure(given.get("fail")),
        broken=_break(given.get("break")),
        tools=int(given.get("tools", 0)),
        tool=given.get("tool"),
        reads=int(given.get("reads", 0)),
        holds=frozenset(given.get("hold", "").split(",")),
    )


def _failure(directive: str | None) -> Failure | None:
    """`openai:2:500`, `anthropic:always:529`."""
    if directive is None:
        return None
    provider, tries, status = directive.split(":")
    return Failure(provider, None if tries == ALWAYS else int(tries), int(status))


def _break(directive: str | None) -> Break | None:
    """`cut:3`, `error:2`, `stall:1`."""
    if directive is None:
        return None
    how, parts = directive.split(":")
    if how not in (CUT, ERROR, STALL):
        raise ValueError(f"a stream cannot break by {how}")
    return Break(how, int(parts))
