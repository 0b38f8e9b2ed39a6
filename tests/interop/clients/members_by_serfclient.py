# members_by_serfclient.py N1 N2 N3: events, members, tags, numbers.
import sys

from serfclient.client import SerfClient

host, port = sys.argv[1].split(":")
client = SerfClient(host=host, port=int(port))


def told(result):
    return result.head["Error"] or "well"


def members(**filters):
    found = client.members(**filters).body["Members"]
    rows = sorted((member["Name"], member["Status"], member["Tags"]["own"]) for member in found)
    return " ".join("/".join(row) for row in rows) or "nobody"


print("event:", told(client.event("from python", "payload", coalesce=False)))
print("bytes:", told(client.event("from python", b"\xff\x00", coalesce=False)))
print("long event:", told(client.event("long", "x" * 600)))
print("members:", members())
print("by name:", members(name="n[13]"))
print("by status and tags:", members(status="alive", tags={"role": "w.*", "own": "n3"}))
print("failed:", members(status="failed"))
# The client has no call of its own for it.
tags = {"Tags": {"own": "again"}, "DeleteTags": ["absent"]}
print("tags:", told(client.connection.call("tags", tags, expect_body=False)))
print("by new tag:", members(tags={"own": "again"}))
print("stats:", *sorted(set(client.stats().body) & {"agent", "event_handlers", "runtime", "serf", "tags"}))
print("force-leave:", told(client.force_leave("nobody")))
client.close()
