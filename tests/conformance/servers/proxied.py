"""HTTP behind a proxy: JSON of what was asked on port 80, a page on 1080, words on 160 and 162, over TLS on
460 and 462 with the certificate in /tls."""

import http.server
import json
import ssl
import threading

WORDS = {160: b"foo", 162: b"bar", 460: b"tls baz", 462: b"tls qux", 1080: b'<a href="/rewriteme">test</a>'}


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = WORDS.get(self.server.server_port)
        if body is None:
            body = json.dumps({"body": "foo", "method": self.command, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.server.server_port == 1080 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *words: object) -> None:
        pass


def serve(port: int) -> None:
    server = http.server.ThreadingHTTPServer(("", port), Answer)
    if port in (460, 462):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


for number in WORDS:
    threading.Thread(target=serve, args=(number,)).start()
serve(80)
