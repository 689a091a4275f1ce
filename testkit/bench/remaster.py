"""How does a fleet come under another master by parallel-ssh? Three commands on all hosts, as its documentation shows.

    remaster.py HOME MASTER    HOME is the folder that bench_hosts has made

parallel-ssh reads no known_hosts file: host keys are not checked here.
"""

import sys
from pathlib import Path

from pssh.clients import ParallelSSHClient

AT_ONCE = 64


def main():
    home, master = Path(sys.argv[1]), sys.argv[2]
    hosts = (home / "addresses").read_text().split()
    build_vars = [(home / "build-vars" / host).read_text() for host in hosts]
    key = (home / "master.pub").read_text().strip()
    switch = Path(__file__).with_name("switch.sh").read_text()
    client = ParallelSSHClient(hosts, user="ubuntu", pkey=str(home / "key"), pool_size=AT_ONCE, allow_agent=False, identity_auth=False)

    def everywhere(command, ending="", host_args=None):
        output = client.run_command(command, host_args=host_args)
        client.join(output)
        for of in output:
            (home / "said" / f"{of.host}{ending}").write_text("\n".join([*of.stdout, *of.stderr]))
        failed = [of.host for of in output if of.exit_code != 0]
        if failed:
            sys.exit(f"'{command.split()[1]}' failed on {', '.join(failed)}")

    everywhere("sudo cat /etc/build-vars.json.b64 /etc/salt/minion /etc/salt/pki/minion/minion_master.pub")
    everywhere("%s", ".switch", [f"sudo sh -c '{switch}' switch {master} {of_host} '{key}'" for of_host in build_vars])
    everywhere("sudo salt-call state.highstate --out=json --retcode-passthrough", ".highstate")


main()
