"""How the service is reached: through the proxies of the environment, in a limited time."""

import base64
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from local.http_server import running_server
from request_events.transport import NoResponse, Transport, Unreachable
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Service
from tests.unit.callback.test_sender import send

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")
TARGET = "service.example"
PASSWORD = "passw0rd"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Tunnel:
    """An HTTP proxy, which passes everything on to one address, whatever is asked for."""

    def __init__(self, to: tuple[str, int], answer: bytes) -> None:
        self._to = to
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.heads: list[str] = []
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._server]
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._sockets.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.heads.append(head.decode())
            client.sendall(self._answer)
            if b" 200 " not in self._answer:
                client.close()
                return
            server = socket.create_connection(self._to)
            self._sockets.append(server)
            self._start(self._copy, client, server)
            self._copy(server, client)

    def _copy(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def tunnel(to: tuple[str, int], answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[Tunnel]:
    made = Tunnel(to, answer)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_an_http_service_is_asked_through_the_proxy(
    make_sender: SenderMaker, service: Service, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The proxy is the service itself here: it sees the whole URL."""
    monkeypatch.setenv(variable, f"http://user:{PASSWORD}@127.0.0.1:{service.server_port}")
    sender = make_sender(url=f"http://{TARGET}/api/request-event")
    send(sender, "a")
    assert sender.flush()
    assert service.paths == [f"http://{TARGET}/api/request-event"]
    headers = service.headers[0]
    assert headers["Host"] == TARGET
    assert headers["Authorization"] == "Bearer t0ken"
    assert (
        base64.b64decode(headers["Proxy-Authorization"].removeprefix("Basic ")) == f"user:{PASSWORD}".encode()
    )


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "-", "-days", "2"]
    names = ["-subj", f"/CN={TARGET}", "-addext", f"subjectAltName=DNS:{TARGET},DNS:localhost"]
    path.write_bytes(subprocess.run([*command, *names], capture_output=True, check=True).stdout)
    return path


@pytest.fixture
def secure(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service with TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Service()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running_server(server) as running:
        yield running


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_an_https_service_is_asked_through_a_tunnel(
    make_sender: SenderMaker,
    secure: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
) -> None:
    """The proxy sees neither the token nor an event."""
    with tunnel(("127.0.0.1", secure.server_port)) as proxy:
        monkeypatch.setenv(variable, f"http://user:{PASSWORD}@{proxy.url}")
        sender = make_sender(url=f"https://{TARGET}/api/request-event")
        send(sender, "a")
        assert sender.flush()
        send(sender, "b")
        assert sender.flush()
        assert set(secure.taken) == {"a", "b"}
        [head] = proxy.heads  # one connection
        assert head.startswith(f"CONNECT {TARGET}:443 ")
        basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        assert f"Proxy-Authorization: Basic {basic}\r\n" in head
        assert "t0ken" not in head
        sender._transport.close()
    assert not caplog.records


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:{port}/"),
        ("localhost,127.0.0.1", "http://127.0.0.1:{port}/"),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}/"),
        ("10.0.0.0/8, 127.0.0.0/8", "http://127.0.0.1:{port}/"),
        ("*", "http://127.0.0.1:{port}/"),
        ("localhost", "http://localhost:{port}/"),
        (".localhost", "http://localhost:{port}/"),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_what_no_proxy_names_is_asked_directly(
    make_sender: SenderMaker,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    no_proxy: str,
    url: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, no_proxy.format(port=service.server_port))
    sender = make_sender(url=url.format(port=service.server_port))
    send(sender, "a")
    assert sender.flush()
    assert service.paths == ["/"]


def test_what_no_proxy_does_not_name_is_not(
    make_sender: SenderMaker, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{service.server_port}")
    monkeypatch.setenv("NO_PROXY", "example, 10.0.0.0/8,,other.service.example,[::1")
    sender = make_sender(url="http://192.0.2.1/")
    send(sender, "a")
    assert sender.flush()
    assert service.paths == ["http://192.0.2.1/"]


@pytest.mark.parametrize(
    "url", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://", "http://[x", "http://127.0.0.1:port"]
)
def test_a_proxy_that_cannot_be_used_is_logged(
    make_sender: SenderMaker,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", url.replace("://", f"://user:{PASSWORD}@"))
    sender = make_sender()
    send(sender, "a")
    assert sender.flush()
    assert "HTTP_PROXY is not a URL like http://proxy:3128" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("status", "told"), [(b"407 Proxy Authentication Required", "407"), (b"502 X", "502")]
)
def test_a_proxy_that_refuses_is_logged_by_its_name(
    make_sender: SenderMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: bytes,
    told: str,
) -> None:
    with tunnel(("127.0.0.1", 1), b"HTTP/1.1 " + status + b"\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{proxy.url}")
        sender = make_sender(url=f"https://{TARGET}/")
        send(sender, "a")
        assert not sender.flush()
    text = f"no way to {TARGET} through the proxy 127.0.0.1 ({told}): check HTTPS_PROXY"
    assert text in caplog.text
    assert PASSWORD not in caplog.text


def test_a_proxy_that_is_down_is_logged(
    make_sender: SenderMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    sender = make_sender(url=f"http://{TARGET}/")
    send(sender, "a")
    assert not sender.flush()
    assert "through the proxy 127.0.0.1 (ConnectionRefusedError): check HTTP_PROXY" in caplog.text


# Answers that drip in: each byte comes in time, and the answer as a whole does not.


@contextmanager
def dripping(first: bytes) -> Iterator[tuple[str, threading.Event]]:
    """A server that sends the first part of an answer at once, and the rest byte by byte, without end."""
    hung_up = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            client, _ = server.accept()
            with client:
                client.settimeout(0.01)
                client.sendall(first)
                while True:
                    client.sendall(b"x")
                    with suppress(TimeoutError):
                        if not client.recv(65536):
                            break
        hung_up.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}", hung_up
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Header: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX-Header: ",
    ],
)
def test_an_response_that_drips_in_has_one_time_limit_as_a_whole(first: bytes) -> None:
    with dripping(first) as (address, hung_up):
        transport = Transport(f"http://{address}/", "t0ken", timeout=0.3)
        with pytest.raises(NoResponse, match="TimeoutError"):
            transport.post(b"[]")
        assert hung_up.wait(10)


def test_a_proxys_response_that_drips_in_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nX-Header: ") as (address, hung_up):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
        transport = Transport(f"https://{TARGET}/", "t0ken", timeout=0.3)
        with pytest.raises(Unreachable, match="TimeoutError"):
            transport.post(b"[]")
        assert hung_up.wait(10)


def test_each_exchange_of_a_connection_has_its_own_time(service: Service) -> None:
    transport = Transport(service.url, "t0ken", timeout=1.0)
    ends: list[float] = []
    for _ in range(2):
        assert transport.post(b"[]").status == 200
        ends.append(transport._limit._end)
    assert ends[1] > ends[0]
    assert len(service.requests) == 2
    transport.close()
