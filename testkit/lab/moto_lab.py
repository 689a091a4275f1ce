"""What does the lab ask of moto beyond EC2's own interface? To be told when a machine's power changes, and to take calls.

Runs ../python/moto_server.py as it is, so its first line on stdout is the port. Then lines of JSON: on stdin a call, as
{"id": 1, "endpoint": URL, "service": "ec2", "operation": "run_instances", "arguments": {...}} (names as boto3 has them);
on stdout its {"id": 1, "reply": ...} or {"id": 1, "error": TEXT}, and {"power": ID, "state": STATE, "public": ADDRESS} the
moment a machine is started, stopped or terminated, before whoever asked for it has an answer. A machine is "stopping" until
{"id": 2, "off": ID} says that it is off. Ends when stdin does.
"""

import json
import pathlib
import runpy
import sys
import threading
import types

import boto3
from moto.ec2.models.instances import Instance

speaking = threading.Lock()
ended = threading.Event()
calls = sys.stdin


def say(what):
    with speaking:
        print(json.dumps(what, default=str), flush=True)


going_down = {}


def announced(change):
    def changed(self):
        before = change(self)
        if self._state.name == "stopped":
            going_down[self.id] = self
            self._state.name, self._state.code = "stopping", 64
        say({"power": self.id, "state": self._state.name, "public": self.public_ip})
        return before

    return changed


for name in ("start", "stop", "terminate"):
    setattr(Instance, name, announced(getattr(Instance, name)))


def is_off(machine):
    instance = going_down.pop(machine, None)
    if instance and instance._state.name == "stopping":
        instance._state.name, instance._state.code = "stopped", 80


def answer_calls():
    clients = {}
    for line in calls:
        call = json.loads(line)
        if "off" in call:
            is_off(call["off"])
            say({"id": call["id"], "reply": None})
            continue
        service, endpoint = call["service"], call["endpoint"]
        try:
            if service not in clients:
                clients[service] = boto3.client(service, endpoint_url=endpoint)
            reply = getattr(clients[service], call["operation"])(**call["arguments"])
            reply.pop("ResponseMetadata", None)
            say({"id": call["id"], "reply": reply})
        except Exception as error:  # whatever it is, the caller decides
            say({"id": call["id"], "error": str(error)})
    ended.set()


# The server ends when its stdin does; here that is when the last call has been read.
sys.stdin = types.SimpleNamespace(buffer=types.SimpleNamespace(read=ended.wait))
threading.Thread(target=answer_calls, daemon=True).start()
runpy.run_path(str(pathlib.Path(__file__).parent.parent / "python" / "moto_server.py"))
