"""What has a test ordered to go wrong with EC2 and S3, and to which of their calls does it happen?

POST /bldr/disturbances takes an order, as JSON, and answers its number; GET counts what became of them, one `NUMBER COUNT` a line; DELETE
ends all of them. An order is

    calls    an action of EC2's; or, of S3's, METHOD and the beginning of a path: `PUT /bucket/contexts/`
    holding  a text that the question holds, as the id of an instance; any question where it is absent
    after    how many such calls go well before
    times    how many it then happens to; all of them where it is absent
    answer   [STATUS, CODE, MESSAGE] that is answered instead
    done     whether the call is carried out all the same, so that only its answer is lost
    half     whether the answer breaks off in its middle
    delay    the seconds until it is answered
    page     how many instances a page of an answer has, at most
"""

import json
import re
import threading
import time
from io import BytesIO

orders = {}
turn = threading.Lock()


class Order:
    def __init__(self, text):
        self.calls, self.holding = text["calls"], text.get("holding", "")
        self.after, self.times = text.get("after", 0), text.get("times")
        self.answer, self.done, self.half = text.get("answer"), text.get("done", False), text.get("half", False)
        self.delay, self.page = text.get("delay", 0), text.get("page")
        self.met = self.happened = 0

    def happens(self, call, question):
        """Whether it happens to this call, which then counts."""
        named = call.startswith(self.calls) if " " in self.calls else call == self.calls
        if not named or self.holding not in question:
            return False
        self.met += 1
        happens = self.met > self.after and (self.times is None or self.happened < self.times)
        self.happened += happens
        return happens


def ordered(environ, start_response):
    """What is asked of this file itself."""
    method = environ["REQUEST_METHOD"]
    with turn:
        if method == "POST":
            number = len(orders) + 1
            orders[number] = Order(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
            said = f"{number}\n"
        else:
            said = "".join(f"{number} {order.happened}\n" for number, order in orders.items())
        if method == "DELETE":
            orders.clear()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
    return [said.encode()]


def through(call, question, backend, environ, start_response):
    """The answer to a call, as far as nothing happens to it."""
    with turn:
        happening = [order for order in orders.values() if order.happens(call, question)]
    for order in happening:
        if order.page:
            body = re.sub(rb"MaxResults=\d+", f"MaxResults={order.page}".encode(), environ["wsgi.input"].read())
            environ["CONTENT_LENGTH"], environ["wsgi.input"] = str(len(body)), BytesIO(body)
        time.sleep(order.delay)
    refusals = [order for order in happening if order.answer]
    if refusals and not any(order.done for order in refusals):
        return refused(call, refusals[0].answer, start_response)
    if refusals:
        b"".join(backend(environ, lambda *_: None))
        return refused(call, refusals[0].answer, start_response)
    if any(order.half for order in happening):
        return halved(backend, environ, start_response)
    return backend(environ, start_response)


def refused(call, answer, start_response):
    status, code, message = answer
    error = f"<Code>{code}</Code><Message>{message}</Message>"
    # Who asks for the head of an object alone, or is told that nothing has changed, gets no body from S3.
    if call.startswith("HEAD "):
        body = ""
    elif " " in call:
        body = f"<Error>{error}<RequestId>bldr</RequestId></Error>"
    else:
        body = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>bldr</RequestID></Response>"
    start_response(f"{status} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body.encode()]


def halved(backend, environ, start_response):
    said = []
    whole = b"".join(backend(environ, lambda *head: said.extend(head)))
    headers = [(name, value) for name, value in said[1] if name.lower() != "content-length"]
    start_response(said[0], [*headers, ("Content-Length", str(len(whole)))])
    return [whole[: len(whole) // 2]]
