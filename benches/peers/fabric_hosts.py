"""Commands on every host of the file `hosts`, a thread a host."""

import sys
import threading

from fabric import Config, Connection

names = open("hosts").read().split()
barrier = threading.Barrier(len(names)) if sys.argv[2] == "yes" else None
failed = []


def host(name):
    try:
        with Connection(name, config=Config(runtime_ssh_path="config")) as connection:
            for _ in range(int(sys.argv[1])):
                connection.run("uname -n", hide=True)
                if barrier:
                    barrier.wait()
    except Exception as error:
        failed.append(error)
        if barrier:
            barrier.abort()


threads = [threading.Thread(target=host, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(f"{failed[0]!r}" if failed else 0)
