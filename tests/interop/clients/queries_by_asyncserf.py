# queries_by_asyncserf.py N1 N2 N3: many queries at one time on one connection.
import sys

import anyio
from asyncserf import serf_client
from asyncserf.exceptions import SerfError

QUERIES = {
    "all": dict(name="load", payload=b"all", request_ack=True),
    "without acks": dict(name="load", payload=b"\xff"),
    "by names": dict(name="load", nodes=["n1", "n3"], request_ack=True),
    "by tags": dict(name="load", tags={"role": "^w", "own": "[23]$"}, request_ack=True),
    "by a tag that is missing": dict(name="load", nodes=["n2"], tags={"absent": "^$"}),
    "by name and tag": dict(name="load", nodes=["n1", "n2"], tags={"own": "2"}),
    "nobody": dict(name="load", nodes=["absent"], request_ack=True),
    "without handler": dict(name="unheard", request_ack=True),
    "own": dict(name="_serf_own"),
    "long": dict(name="load", payload=b"x" * 1100),
}


async def ask(client, what, query, said):
    lines = []
    try:
        # A Go agent waits for all of the time.
        async with client.query(**query, timeout=5) as replies:
            # Ends with `done`.
            async for reply in replies:
                # When its time is over, a Go agent says acks and responses of nobody until it comes to say `done`.
                if sender := getattr(reply, "from"):
                    lines.append(f"{what}: {reply.type} {sender} {reply.payload}")
    except SerfError as error:
        lines.append(f"{what}: refused: {error.args[0].head[b'Error'].decode()}")
    said[what] = sorted(lines) or [f"{what}: nothing"]


async def main():
    host, port = sys.argv[1].split(":")
    said = {}
    async with serf_client(host=host, port=int(port)) as client:
        async with anyio.create_task_group() as tasks:
            for what, query in QUERIES.items():
                tasks.start_soon(ask, client, what, query, said)
    for what in QUERIES:
        print(*said[what], sep="\n")


anyio.run(main)
