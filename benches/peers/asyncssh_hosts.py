"""Commands on every host of the file `hosts`: the configuration says how to get there."""

import asyncio
import sys

import asyncssh


async def host(name, commands, barrier):
    async with asyncssh.connect(name, config=["config"]) as connection:
        for _ in range(commands):
            await connection.run("uname -n", check=True)
            if barrier:
                await barrier.wait()


async def main():
    names = open("hosts").read().split()
    barrier = asyncio.Barrier(len(names)) if sys.argv[2] == "yes" else None
    await asyncio.gather(*(host(name, int(sys.argv[1]), barrier) for name in names))


asyncio.run(main())
