"""What does the lab ask of moto beyond EC2's own interface? To be told when a machine's power changes, and to take calls.

Runs ../python/moto_server.py as it is, so its first line on stdout is the port. Then lines of JSON: on stdin a call, as
{"id": 1, "endpoint": URL, "service": "ec2", "operation": "run_instances", "arguments": {...}} (names as boto3 has them);
on stdout its {"id": 1, "reply": ...} or {"id": 1, "error": TEXT}, and {"power": ID, "state": STATE, "public": ADDRESS} the
moment a machine is started, stopped or terminated, before whoever asked for it has an answer. A machine is "stopping" or
"shutting-down" until {"id": 2, "off": ID} says that it is off.

After {"id": 3, "launches": SUBNET} machines are launched: {"launched": ID, "private": ADDRESS, ...} is said of each before whoever
ordered it has an answer, and it is "pending" until {"id": 4, "up": ID, "console": TEXT} or {"id": 4, "failed": ID, "why": TEXT}.
Orders whose token begins with "lab-" are the lab's own, and as ever. {"id": 5, "endpoint": URL, "own": [METHOD, PATH, BODY]} asks
moto_server.py for what is not AWS's. Ends when stdin does.
"""

import ipaddress
import itertools
import json
import os
import pathlib
import runpy
import sys
import threading
import types
import urllib.request

# What moto_server.py sets, too late here: moto reads it when it is imported.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
os.environ["MOTO_ENABLE_KEYPAIR_VALIDATION"] = "true"

import boto3
from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState, StateReason
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses.general import General

speaking = threading.Lock()
ended = threading.Event()
calls = sys.stdin


def say(what):
    with speaking:
        print(json.dumps(what, default=str), flush=True)


# What a machine that goes down will be, with the state it has until then.
DOWN = {"stopped": ("stopping", 64), "terminated": ("shutting-down", 32)}
OFF = {"stopping": ("stopped", 80), "shutting-down": ("terminated", 48)}
going_down = {}


def set_state(instance, name, code):
    instance._state.name, instance._state.code = name, code


def announced(change):
    def changed(self):
        before = change(self)
        if before.name == "terminated":
            return before
        if self._state.name in DOWN:
            going_down[self.id] = self
            set_state(self, *DOWN[self._state.name])
        say({"power": self.id, "state": self._state.name, "public": self.public_ip})
        return before

    return changed


for name in ("start", "stop", "terminate"):
    setattr(Instance, name, announced(getattr(Instance, name)))


def is_off(machine):
    instance = going_down.pop(machine, None)
    if instance and instance._state.name in OFF:
        set_state(instance, *OFF[instance._state.name])


# Where an order without a subnet goes; None as long as nothing is launched.
launches = None
# Launched machines, and what their consoles show.
launched, consoles = {}, {}


def is_launched(instance):
    token = getattr(instance, "client_token", "lab-") or ""
    return launches is not None and not token.startswith("lab-")


plain_init = Instance.__init__


def init(self, *args, **kwargs):
    plain_init(self, *args, **kwargs)
    if is_launched(self):
        self._state = InstanceState("pending", 0)


Instance.__init__ = init

# Addresses of their own, which no test gives to a host. A terminated machine's is free again, as EC2's are.
FIRST = ipaddress.ip_address("10.77.100.0")
giving = threading.Lock()
plain_address = Subnet.get_available_subnet_ip


def address(self, instance):
    if not is_launched(instance) or FIRST not in self.cidr:
        return plain_address(self, instance)
    with giving:
        for number in itertools.count(1):
            ip = str(FIRST + number)
            if getattr(self._subnet_ips.get(ip), "state", "terminated") == "terminated":
                self._subnet_ips[ip] = instance
                return ip


Subnet.get_available_subnet_ip = address
plain_run = InstanceBackend.run_instances


def run_instances(self, image_id, count, user_data, security_group_names, **kwargs):
    if launches and not kwargs.get("subnet_id") and not kwargs.get("nics"):
        kwargs["subnet_id"] = launches
    reservation = plain_run(self, image_id, count, user_data, security_group_names, **kwargs)
    pair = self.key_pairs.get(kwargs.get("key_name"))
    for instance in filter(is_launched, reservation.instances):
        launched[instance.id] = instance
        say(
            {
                "launched": instance.id,
                "private": instance.private_ip,
                "public": instance.public_ip,
                "key": pair and pair.public_key,
                "user_data": str(user_data or ""),
            }
        )
    return reservation


InstanceBackend.run_instances = run_instances


def is_up(machine, console):
    consoles[machine] = console
    if launched[machine]._state.name == "pending":
        set_state(launched[machine], "running", 16)


def has_failed(machine, why):
    instance = launched[machine]
    print(f"{machine}: {why}", file=sys.stderr, flush=True)
    set_state(instance, "terminated", 48)
    instance._reason = "Server.InternalError"
    instance.state_reason = StateReason(f"Server.InternalError: {why}", "Server.InternalError")


plain_console = General.get_console_output


def get_console_output(self):
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    if instance.id not in launched:
        return plain_console(self)
    output = Base64EncodedString.from_raw_string(consoles.get(instance.id) or "")
    return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})


General.get_console_output = get_console_output
plain_disks = Ami.block_device_mappings.fget


def disks(self):
    return [{**disk, "Ebs": {**disk["Ebs"], "VolumeSize": 8}} for disk in plain_disks(self)]


Ami.block_device_mappings = property(disks)


def take(call):
    """Whether the call is one of the lab's own, which it then does."""
    global launches
    if "off" in call:
        is_off(call["off"])
    elif "up" in call:
        is_up(call["up"], call["console"])
    elif "failed" in call:
        has_failed(call["failed"], call["why"])
    elif "launches" in call:
        launches = call["launches"]
    else:
        return False
    return True


def own(endpoint, method, path, body):
    asked = urllib.request.Request(f"{endpoint}/bldr/{path}", data=body.encode() or None, method=method)
    with urllib.request.urlopen(asked) as answer:
        return answer.read().decode()


def answer_calls():
    clients = {}
    for line in calls:
        call = json.loads(line)
        if take(call):
            say({"id": call["id"], "reply": None})
            continue
        try:
            if "own" in call:
                say({"id": call["id"], "reply": own(call["endpoint"], *call["own"])})
                continue
            service, endpoint = call["service"], call["endpoint"]
            if service not in clients:
                clients[service] = boto3.client(service, endpoint_url=endpoint)
            reply = getattr(clients[service], call["operation"])(**call["arguments"])
            reply.pop("ResponseMetadata", None)
            if hasattr(reply.get("Body"), "read"):
                reply["Body"] = reply["Body"].read().decode()
            say({"id": call["id"], "reply": reply})
        except Exception as error:  # whatever it is, the caller decides
            say({"id": call["id"], "error": str(error)})
    ended.set()


# The server ends when its stdin does; here that is when the last call has been read.
sys.stdin = types.SimpleNamespace(buffer=types.SimpleNamespace(read=ended.wait))
threading.Thread(target=answer_calls, daemon=True).start()
runpy.run_path(str(pathlib.Path(__file__).parent.parent / "python" / "moto_server.py"))
