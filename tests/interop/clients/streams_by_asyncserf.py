# streams_by_asyncserf.py N1 N2 N3: user events and queries on streams, and answers.
import sys
from contextlib import asynccontextmanager

import anyio
from asyncserf import serf_client
from asyncserf.exceptions import SerfError


def connect(number):
    host, port = sys.argv[number].split(":")
    return serf_client(host=host, port=int(port))


@asynccontextmanager
async def listening(client, filters):
    async with client.stream(filters) as stream:
        # Go's agents say that a stream has begun a moment before it has; one connection's requests wait for one another.
        await client.stats()
        yield stream


async def some(stream, count):
    """So many of its events, in order of their names: gossip has none."""
    events = []
    async for event in stream:
        events.append(event)
        if len(events) == count:
            return sorted(events, key=lambda event: event.name)


async def told(call):
    try:
        await call
        return "well"
    except SerfError as error:
        return error.args[0].head[b"Error"].decode()


async def ask(client, what, timeout):
    replies = []
    async with client.query("what", what.encode(), nodes=["n2"], request_ack=True, timeout=timeout) as query:
        async for reply in query:
            # When its time is over, a Go agent says acks and responses of nobody until it comes to say `done`.
            if sender := getattr(reply, "from"):
                replies.append(f"{reply.type} {sender} {reply.payload}")
    print(f"{what}:", ", ".join(sorted(replies)))


async def main():
    async with connect(1) as asking, connect(2) as answering, connect(2) as other:
        async with listening(answering, ["user:greet", "user:wave"]) as stream:
            await asking.event("unheard", b"payload", coalesce=False)
            await asking.event("greet", b"\xff", coalesce=False)
            await asking.event("wave")
            for event in await some(stream, 2):
                print("event:", event.event, event.name, event.payload, event.coalesce)
        async with listening(answering, "query:what") as stream:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, asking, "answered", 5)
                [question] = await some(stream, 1)
                print("query:", question.event, question.name, question.payload)
                print("elsewhere:", await told(other.respond(question.id, b"not mine")))
                print("too long:", await told(question.respond(b"x" * 1100)))
                print("first:", await told(question.respond(b"\xff\x00")))
                print("second:", await told(question.respond(b"again")))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, asking, "empty", 5)
                [question] = await some(stream, 1)
                await question.respond(b"")
            async with anyio.create_task_group() as tasks:
                # Nobody says that it will not answer.
                tasks.start_soon(ask, asking, "not answered", 3)
                await some(stream, 1)
        async with anyio.create_task_group() as tasks:
            async with listening(answering, "query") as stream:
                tasks.start_soon(ask, asking, "answered after the stream", 5)
                [question] = await some(stream, 1)
            await question.respond(b"still")
        print("unknown:", await told(answering.respond(99, b"?")))


anyio.run(main)
