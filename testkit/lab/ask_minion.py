"""Does a minion answer this master? Asks as `salt ID test.ping` does, but keeps on asking, and learns sooner that nobody answers.

Arguments: the minion's id, how many seconds to go on. Ends with 0 when it has answered, with 3 when it has not, and with
another code when the master could not be asked.
"""

import sys
import time

import salt.client

minion, seconds = sys.argv[1], float(sys.argv[2])
deadline = time.monotonic() + seconds
# What is published while a minion connects is lost, so it is asked again soon; who asks once may wait for an answer.
patience = 1 if seconds else 4
while True:
    asked = None
    try:
        # Made anew: what it knows of a master that has started since is of no use.
        said = salt.client.LocalClient().cmd(minion, "test.ping", timeout=patience, gather_job_timeout=patience)
        if said.get(minion) is True:
            sys.exit(0)
        asked = f"{minion}: no answer: {said}"
    except Exception as error:
        failed = repr(error)
    if time.monotonic() >= deadline:
        print(asked or failed, file=sys.stderr)
        sys.exit(3 if asked else 1)
    time.sleep(0.05)
