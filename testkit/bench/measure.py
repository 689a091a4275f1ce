"""What does a command use, with all that it starts? Wall time, processor time, memory.

    measure.py REPORT PROGRAM [ARGUMENT...]

REPORT is JSON: seconds from the beginning to the end; of processor time, as a user and in the kernel; the most MiB at one moment (what
processes share counts once); how it ended. What outlives the command, as the connections that ssh keeps for later, is ended afterwards
and counts, too.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
EVERY = 0.5


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass  # It has ended meanwhile.
    return found


def descendants(pid):
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def own_share(pid):
    """Its memory in KiB, and of what it shares with others its part."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0


def main():
    report, *command = sys.argv[1:]
    # Whoever loses its parent becomes a child of this process.
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit("measure.py: this system does not say what becomes of processes that lose their parent")
    ended = threading.Event()
    most = 0

    def watch():
        nonlocal most
        while not ended.wait(EVERY):
            most = max(most, sum(map(own_share, descendants(os.getpid()))))

    watching = threading.Thread(target=watch)
    began = time.monotonic()
    running = subprocess.Popen(command)
    watching.start()
    code = running.wait()
    wall = time.monotonic() - began
    ended.set()
    watching.join()
    while left := children(os.getpid()):
        for pid in left:
            os.kill(pid, signal.SIGTERM)
        for pid in left:
            os.waitpid(pid, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Something that ran for less than a moment was never looked at.
    most = max(most, used.ru_maxrss)
    said = {"wall": wall, "user": used.ru_utime, "system": used.ru_stime, "memory": most / 1024, "code": code}
    with open(report, "w") as file:
        json.dump(said, file)


main()
