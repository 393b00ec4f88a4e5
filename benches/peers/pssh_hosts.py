"""Commands on every host of the file `hosts`, all hosts a round."""

import re
import sys

from pssh.clients import ParallelSSHClient
from pssh.config import HostConfig

names = open("hosts").read().split()
config = open("config").read()


def field(name, key):
    return re.search(rf"Host {re.escape(name)}\n.*?{key} (\S+)", config, re.S)[1]


hosts = [
    HostConfig(port=int(field(name, "Port")), user="tester", private_key=field(name, "IdentityFile")) for name in names
]
client = ParallelSSHClient(names, host_config=hosts, pool_size=len(names))
for _ in range(int(sys.argv[1])):
    output = client.run_command("uname -n")
    client.join(output, consume_output=True)
    assert all(it.exit_code == 0 for it in output), [(it.exit_code, it.exception) for it in output]
