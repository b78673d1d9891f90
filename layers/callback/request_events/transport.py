"""POSTs to the service, over a connection kept open, through an HTTP proxy if the environment names one."""

import base64
import http.client
import io
import ipaddress
import re
import ssl
import time
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from request_events.log import warn

RESPONSE_SECONDS = 25.0
"""How long one exchange may take. The service needs up to 20 s to say which events it has stored."""
RESPONSE_BYTES_MAX = 6_000_000  # Lambda's limit

Headers = http.client.HTTPMessage


class Unreachable(Exception):
    """Nothing was sent: there is no connection. The text says what is wrong, and holds no secret."""


class NoResponse(Exception):
    """Something was sent, and no complete response came. The text is the name of an error."""


@dataclass(frozen=True)
class Response:
    """An HTTP response, whoever sent it."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy between this machine and the service."""

    host: str
    port: int
    headers: dict[str, str]


class Transport:
    """Sends bodies to one URL. Raises ValueError if the URL cannot work."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL")
        self.host = parts.hostname
        self._port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"{parts.scheme}://{host}:{self._port}{self._path}"  # the URL without user and password
        self.proxy = _proxy(parts.scheme, self.host, self._port)
        if self.proxy and not self._tls:
            self._path = f"http://{parts.netloc.rpartition('@')[2]}{self._path}"
            self._headers |= self.proxy.headers
        self._limit = _Limit(timeout)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes) -> Response:
        """Raises Unreachable and NoResponse."""
        try:
            if self._connection is not None:
                try:
                    return self._exchange(self._connection, body)
                except (ConnectionError, http.client.BadStatusLine):
                    self.close()  # the server had closed it while it was idle
            self._connection = self._connect()
            return self._exchange(self._connection, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoResponse(type(error).__name__) from None
        except Unreachable:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def after_fork(self) -> None:
        """In a child process: the connection is its parent's."""
        self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        host, port = (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self._port)
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._limit.seconds, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(host, port, timeout=self._limit.seconds)
        )
        # `http.client` reads the response as always, but from a socket that checks the time.
        connection.response_class = self._limit.response  # type: ignore[assignment]
        if self.proxy and self._tls:
            connection.set_tunnel(self.host, self._port, self.proxy.headers)
        self._limit.start()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(self._what_is_wrong(error)) from None
        return connection

    def _what_is_wrong(self, error: Exception) -> str:
        if self.proxy is None:
            return f"no response from {self.host} ({type(error).__name__}): check IMPACT_SERVICE_URL"
        refusal = re.match(r"Tunnel connection failed: (\d{3})", str(error))
        what = refusal[1] if refusal else type(error).__name__
        variable = "HTTPS_PROXY" if self._tls else "HTTP_PROXY"
        return f"no way to {self.host} through the proxy {self.proxy.host} ({what}): check {variable}"

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> Response:
        self._limit.start()
        if connection.sock is not None:
            connection.sock.settimeout(self._limit.seconds)
        connection.request("POST", self._path, body, self._headers)
        response = connection.getresponse()
        content = response.read(RESPONSE_BYTES_MAX)
        if response.will_close or not response.isclosed():
            self.close()
        return Response(response.status, response.headers, content)


class _Limit:
    """The time that a whole exchange may take, however slowly the response arrives."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = 0.0

    def start(self) -> None:
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Raises TimeoutError."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    def response(self, sock: Any, *arguments: Any, **named: Any) -> http.client.HTTPResponse:
        """The response class for `http.client`."""
        response = http.client.HTTPResponse(sock, *arguments, **named)
        response.fp.close()
        response.fp = io.BufferedReader(_Timed(sock, self))
        return response


class _Timed(io.RawIOBase):
    """Reads from a socket while there is time left."""

    def __init__(self, sock: Any, limit: _Limit) -> None:
        self._sock = sock
        self._limit = limit
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._limit.left())
        read: int | None = self._file.readinto(buffer)
        return read

    def close(self) -> None:
        self._file.close()
        super().close()


def _proxy(scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy for a host, by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in upper or lower case."""
    named = urllib.request.getproxies()
    text = named.get(scheme) or named.get("all")
    if not text or _is_excepted(host, port, named.get("no", "")):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname:
            return Proxy(parts.hostname, parts.port or 80, _credentials(parts))
    except ValueError:
        pass
    text = "%s_PROXY is not a URL like http://proxy:3128 and is not used: the service is asked directly"
    warn("proxy", text, scheme.upper() if named.get(scheme) else "ALL")
    return None


def _is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host, the end of its name, or a network that it is in."""
    names = (host,) if ":" in host else (host, f"{host}:{port}")
    if any(map(urllib.request.proxy_bypass, names)):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
        except ValueError:
            continue
    return False


def _credentials(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
