"""HTTP on port 8080 that answers 200 for the seconds given and 500 from then on."""

import http.server
import signal
import sys
import time

GOOD_UNTIL_S = time.monotonic() + float(sys.argv[1])


# The first process of a container ends by no signal that it does not ask for.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if time.monotonic() < GOOD_UNTIL_S else 500)
        self.end_headers()


http.server.ThreadingHTTPServer(("", 8080), Health).serve_forever()
