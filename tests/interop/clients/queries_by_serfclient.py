# queries_by_serfclient.py N1 N2 N3: one client answers on its stream what another one asks.
#
# The client has no calls for queries; `connection.call` takes any command. With `stream=True` it takes the last message of
# its first read for the answer's head, so that records that come at once are mixed up: acks are not asked for here, and the
# member that is asked says nothing before the head has been read.
import sys

from serfclient.client import SerfClient

SECOND = 10**9


def connect(number):
    host, port = sys.argv[number].split(":")
    return SerfClient(host=host, port=int(port), timeout=60)


answering = connect(2)
heard = answering.stream("query:what")
# Go's agents say that a stream has begun a moment before it has; one connection's requests wait for one another.
answering.stats()


def ask(**query):
    return connect(1).connection.call("query", {"Name": "what", "Timeout": 5 * SECOND, **query}, stream=True)


def respond(ident, payload):
    result = answering.connection.call("respond", {"ID": ident, "Payload": payload}, expect_body=False)
    return result.head["Error"] or "well"


def tell(what, query, *payloads):
    question = next(heard.body).body
    print(what, "heard:", question["Event"], question["Name"], question["Payload"])
    for payload in payloads:
        print(what, "responded:", respond(question["ID"], payload))
    for record in query.body:
        record = record.body
        if record["Type"] == "done":
            return print(what, "done")
        # When its time is over, a Go agent says acks and responses of nobody until it comes to say `done`.
        if record["From"]:
            print(what, "told:", record["Type"], record["From"], record["Payload"])


tell("by name", ask(FilterNodes=["n2"], Payload="question"), "answer", "another")
tell("by tag", ask(FilterTags={"own": "2$"}, FilterNodes=["n2", "n3"], Payload=b"\xff"), b"\x00\xff")
tell("nothing", ask(FilterNodes=["n2"]), None)
print("unknown responded:", respond(99, "?"))
for what, query in [("own", {"Name": "_serf_own"}), ("long", {"Payload": "x" * 1100})]:
    print(what, "refused:", ask(**query).head["Error"])
print("filter refused:", connect(1).stream("bogus").head["Error"])
