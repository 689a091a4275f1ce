"""How does a fleet come under another master by parallel-ssh? Each program is typed into a shell on all hosts at once.

    remaster.py HOME    HOME is the folder that bench_hosts has made

parallel-ssh reads no known_hosts file: host keys are not checked here.
"""

import sys
from pathlib import Path

from pssh.clients import ParallelSSHClient

AT_ONCE = 64


class Group:
    """Some hosts, and the connections to them."""

    def __init__(self, home, name):
        self.home = home
        self.hosts = (home / name).read_text().split()
        key = str(home / "key")
        self.client = ParallelSSHClient(self.hosts, user="ubuntu", pkey=key, pool_size=AT_ONCE, allow_agent=False, identity_auth=False)

    def run(self, name, program=None):
        """@ stands for the host's address."""
        output = self.client.run_command("sudo sh")
        for of in output:
            of.stdin.write((self.home / "programs" / (program or name).replace("@", of.host)).read_text() + "exit\n")
            of.stdin.flush()
        self.client.join(output)
        for of in output:
            (self.home / "said" / f"{of.host}.{name}").write_text("\n".join([*of.stdout, *of.stderr]))
        failed = [of.host for of in output if of.exit_code != 0]
        if failed:
            sys.exit(f"'{name}' failed on {', '.join(failed)}")


def main():
    home = Path(sys.argv[1])
    stages = {name: Group(home, name) for name in ("ci", "prod")}
    new = Group(home, "new")
    for group in stages.values():
        group.run("read")
    new.run("accept")
    for stage, group in stages.items():
        group.run("switch", "switch/@")
        new.run(f"ping-{stage}")
        group.run("highstate")
    Group(home, "old").run("forget")


main()
