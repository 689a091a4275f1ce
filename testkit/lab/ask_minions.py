"""Which minions answer this master? Asks as `salt -L IDS test.ping` does; given time, it goes on until all have answered.

Arguments: how many seconds to go on (0 asks once), then ids. Prints the id of each that has answered, a line each; ends with
another code than 0 when the master could not be asked.
"""

import contextlib
import sys
import time

import salt.client

seconds, missing = float(sys.argv[1]), set(sys.argv[2:])
deadline = time.monotonic() + seconds
# What is published while a minion connects is lost, so it is asked again soon, and later with more time for its answer: that
# of a slow machine would otherwise always be late. Who asks once may wait for it.
patience = 1 if seconds else 4
asked = False
while missing:
    try:
        # Made anew: what it knows of a master that has started since is of no use. It prints when nobody is meant.
        with contextlib.redirect_stdout(sys.stderr):
            client = salt.client.LocalClient()
            said = client.cmd(sorted(missing), "test.ping", tgt_type="list", timeout=patience, gather_job_timeout=min(patience, 4))
        asked = True
        for minion in sorted(minion for minion in missing if said.get(minion) is True):
            print(minion, flush=True)
            missing.remove(minion)
    except Exception as error:
        print(repr(error), file=sys.stderr)
    if time.monotonic() >= deadline:
        break
    patience = min(2 * patience, 16)
    time.sleep(0.05)
sys.exit(0 if asked or not missing else 1)
