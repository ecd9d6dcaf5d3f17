"""A small service for `causeway dev`: orders over HTTP by Flask, logged by logging, instrumented from outside. NEXT=1 is the same after
a developer's change: some orders raise, and the items of an order are read one by one."""

import logging
import os
import sys

from flask import Flask
from opentelemetry import trace
from werkzeug.serving import make_server

NEXT = os.environ.get("NEXT") == "1"
app = Flask(__name__)
log = logging.getLogger("orders")
logging.getLogger().setLevel(logging.INFO)
tracer = trace.get_tracer("orders")


@app.get("/orders/<int:number>")
def order(number):
    for _ in range(12 if NEXT else 1):
        with tracer.start_as_current_span("SELECT item", kind=trace.SpanKind.CLIENT):
            pass
    log.info("order %d was read", number)
    if NEXT and number % 5 == 0:
        raise ValueError(f"order {number} has no address")
    return {"order": number}


server = make_server("127.0.0.1", 0, app)
print("listening", server.server_port, flush=True)
# Until Ctrl-C.
server.serve_forever()
sys.exit(7)
