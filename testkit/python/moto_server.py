"""Where are EC2 and S3 in the tests? moto on a free loopback port, made truer to AWS where bldr would notice.

The first line on stdout is the port. GET /bldr/asked counts the API calls, one `ACTION NUMBER` a line; those to S3 are called
`s3:METHOD:FOLDER`. What a test wants to go wrong is ordered at /bldr/disturbances (disturbances.py). Ends when stdin does, so that it
never outlives the test that started it, however that test ends.
"""

import copy
import datetime
import itertools
import os
import pathlib
import re
import sys
import threading
from io import BytesIO
from urllib.parse import parse_qs

# moto knows 1,300 images and looks through all of them for every instance; it takes any image id without them, too.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
# EC2 runs nothing under a key pair that it does not have.
os.environ["MOTO_ENABLE_KEYPAIR_VALIDATION"] = "true"
# S3 gives a thousand objects or versions a page, or less; so few that a test need not make a thousand.
os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = "5"

# After the lines above, which moto reads when it is imported.
from moto.core.utils import utcnow
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

# Whoever runs this file may be in another folder.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import disturbances

# Public addresses from the ranges for documentation and benchmarks (RFC 5737, RFC 2544) only: a test that has a bug must
# not knock at a stranger's door.
public = itertools.chain(
    (f"198.51.100.{n}" for n in range(1, 255)),
    (f"203.0.113.{n}" for n in range(1, 255)),
    (f"198.{18 + a}.{b}.{n}" for a in range(2) for b in range(256) for n in range(1, 255)),
)
patched = 0
for name, module in list(sys.modules.items()):
    if name.startswith("moto.ec2"):
        for function in ("random_public_ip", "random_ip"):
            if hasattr(module, function):
                setattr(module, function, lambda: next(public))
                patched += 1
assert patched, "moto has no random_public_ip any more: its addresses may be real ones"


# EC2 counts the instances of a page; moto counts reservations, whose size is up to whoever launched them.
def one_instance_a_reservation(self, filters=None):
    single = []
    for reservation in self.all_reservations(filters):
        for instance in reservation.instances:
            alone = copy.copy(reservation)
            alone.instances, alone.id = [instance], "r-" + instance.id.removeprefix("i-")
            single.append(alone)
    return single


InstanceBackend.describe_instances = one_instance_a_reservation

# EC2 sets the launch time anew at every start from stopped; it counts whole seconds.
plain_start = Instance.start


def start(self):
    if self._state.name == "stopped":
        self.launch_time = max(utcnow(), self.launch_time + datetime.timedelta(seconds=1))
    return plain_start(self)


Instance.start = start

# EC2 answers an order that it has had already with what it gave for it, even if that is gone; moto runs another instance.
plain_run = InstanceBackend.run_instances


def run_once(self, image_id, count, user_data, security_group_names, **kwargs):
    token = kwargs["client_token"]
    # What moto puts where none was sent.
    if token != "ABCDE":
        for reservation in self.reservations.values():
            for instance in reservation.instances:
                if instance.client_token == token:
                    if (instance.image_id, str(instance.user_data)) != (image_id, str(user_data)):
                        raise EC2ClientError("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent")
                    return reservation
    return plain_run(self, image_id, count, user_data, security_group_names, **kwargs)


InstanceBackend.run_instances = run_once

# EC2 keeps a security group as long as an instance is in it; moto lets it go.
plain_delete = SecurityGroupBackend.delete_security_group


def delete_security_group(self, name=None, group_id=None):
    for instance in self.all_instances():
        if instance.state != "terminated" and any(group.id == group_id for group in instance.security_groups):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
    return plain_delete(self, name, group_id)


SecurityGroupBackend.delete_security_group = delete_security_group

# S3 looks whether a condition holds and writes in one go; moto looks first and writes then, and another thread may be in between.
writing = threading.Lock()

asked = {}


# What is asked of S3, and about what is in which folder.
def to_s3(environ):
    query = parse_qs(environ["QUERY_STRING"])
    method = "LIST" if "list-type" in query else environ["REQUEST_METHOD"]
    key = query.get("prefix", [environ["PATH_INFO"].lstrip("/").partition("/")[2]])[0]
    return f"s3:{method}:{key.rpartition('/')[0]}"


backend = DomainDispatcherApplication(create_backend_app)


def counted(environ, start_response):
    if environ["PATH_INFO"] == "/bldr/asked":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["".join(f"{action} {n}\n" for action, n in sorted(asked.items())).encode()]
    if environ["PATH_INFO"] == "/bldr/disturbances":
        return disturbances.ordered(environ, start_response)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    is_s3 = "/s3/" in environ.get("HTTP_AUTHORIZATION", "")
    if not is_s3:
        # EC2 may give less on a page than was asked for, and so does this: moto takes seconds for a page of a thousand.
        body = re.sub(rb"MaxResults=\d{3,}", b"MaxResults=100", body)
    environ["CONTENT_LENGTH"] = str(len(body))
    call, question = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", environ["QUERY_STRING"]
    for action in re.findall(rb"(?:^|&)Action=(\w+)", body) if not is_s3 else []:
        call, question = action.decode(), body.decode()
    counted_as = to_s3(environ) if is_s3 else call
    asked[counted_as] = asked.get(counted_as, 0) + 1
    environ["wsgi.input"] = BytesIO(body)
    return disturbances.through(call, question, of_s3 if is_s3 else backend, environ, start_response)


def of_s3(environ, start_response):
    with writing:
        if environ["REQUEST_METHOD"] == "GET" and environ["QUERY_STRING"].startswith("versioning"):
            return [as_s3_names_it(environ, start_response)]
        return list(backend(environ, start_response))


# What S3 calls VersioningConfiguration moto calls as the SDKs do, which do not understand it then.
def as_s3_names_it(environ, start_response):
    head = []
    answer = b"".join(backend(environ, lambda *said: head.extend(said)))
    answer = answer.replace(b"GetBucketVersioningResponse", b"VersioningConfiguration")
    headers = [(name, value) for name, value in head[1] if name.lower() != "content-length"]
    start_response(head[0], [*headers, ("Content-Length", str(len(answer)))])
    return answer


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
print(server.server_port, flush=True)
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
