# members_by_asyncserf.py N1 N2 N3 SERF SEED: members, changes of them, numbers, log lines.
#
# Calls that fail with Go's agents as well are left out: `tags` waits for a body that no agent sends, and is told a time-out
# although the tags are set; `list_keys` and the other calls for keys take the body behind a refusal for the next answer.
import subprocess
import sys

import anyio
from asyncserf import serf_client
from asyncserf.exceptions import SerfError


async def main():
    n1, n2, _, serf, seed = sys.argv[1:]
    host, port = n1.split(":")
    async with serf_client(host=host, port=int(port)) as client:

        async def members(**filters):
            found = (await client.members(**filters)).body[b"Members"]
            rows = sorted((member[b"Name"], member[b"Status"], member[b"Tags"][b"own"]) for member in found)
            return " ".join(b"/".join(row).decode() for row in rows) or "nobody"

        print("members:", await members())
        print("by name:", await members(name="n[13]"))
        print("by status and tags:", await members(status="alive", tags={"role": "w.*", "own": "n3"}))
        print("failed:", await members(status="failed"))
        async with client.stream("member-update") as stream:
            stats = (await client.stats()).body
            retag = [serf, "tags", "-set=own=again", f"-rpc-addr={n2}"]
            subprocess.run(retag, check=True, stdout=sys.stderr)
            async for event in stream:
                print("event:", event.event, *(member[b"Name"].decode() for member in event.members))
                break
        print("by new tag:", await members(tags={"own": "again"}))
        print("stats:", stats[b"agent"][b"name"].decode(), stats[b"serf"][b"members"].decode())
        print("join:", (await client.join([seed])).body[b"Num"])
        try:
            await client.join([seed, "127.0.0.1:99999"])
            print("join in part: well")
            await client.join("127.0.0.1:99999")
        except SerfError as error:
            print("join: refused", error.args[0].body[b"Num"])
        await client.force_leave("nobody")
        async with client.monitor("info") as lines:
            async for line in lines:
                print("log:", line.log.split("[INFO] ")[1])
                break


anyio.run(main)
