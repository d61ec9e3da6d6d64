"""A TLS proxy between a designer and the studio that keeps every byte which leaves, to look into."""

from __future__ import annotations

import http.client
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RecordingProxy:
    """Listens on a free loopback port; ``sent`` are (path, body) of all requests, in order, ``wire`` every byte of them.

    Args:
        target: port of the studio, https on 127.0.0.1.
        certificate, key, ca: PEM files; the studio's own will do.
    """

    def __init__(self, target: int, certificate: Path, key: Path, ca: Path) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.header_bytes = 0
        self._pieces: list[bytes] = []
        trust = ssl.create_default_context(cafile=str(ca))
        record = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.forward(b"")

            def do_POST(self) -> None:
                self.forward(self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def forward(self, body: bytes) -> None:
                record.sent.append((self.path, body))
                record.header_bytes += len(bytes(self.headers))
                record._pieces.append(self.raw_requestline + bytes(self.headers) + body)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                onward = http.client.HTTPSConnection("127.0.0.1", target, context=trust, timeout=60)
                try:
                    onward.request(self.command, self.path, body, headers)
                    answer = onward.getresponse()
                    content = answer.read()
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                            self.send_header(name, value)
                except OSError:  # the studio is away: so is the proxy
                    self.send_response(503)
                    content = b""
                finally:
                    onward.close()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def wire(self) -> bytes:
        return b"".join(self._pieces)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
