"""gRPC by its reference implementation: a server, and a client that goes through all sorts of calls.

server: prints its port, serves until it is killed. client PORT: exits with 0 if all went as it should.
Messages are bytes as they are: no .proto is needed.
"""

import asyncio
import sys

import grpc
from grpc import aio

SERVICE = "test.Talk"
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 4000),
]
LIMIT = 300


class Talk(grpc.GenericRpcHandler):
    """What the server does with each kind of call."""

    def __init__(self, house):
        self.house = house
        self.methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Forever": grpc.unary_stream_rpc_method_handler(self.forever),
            "Cancelled": grpc.unary_unary_rpc_method_handler(self.cancelled),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "Restart": grpc.unary_unary_rpc_method_handler(self.restart),
        }

    def service(self, details):
        service, name = details.method.strip("/").split("/")
        return self.methods.get(name) if service == SERVICE else None

    async def echo(self, request, context):
        await context.send_initial_metadata((("x-first", "1"), ("x-raw-bin", b"\x00\xff\n")))
        sent = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-last", sent.get("x-say", "")), ("x-end-bin", b"\x01")))
        return request

    async def count(self, request, context):
        for i in range(int(request)):
            yield str(i).encode()

    async def sum(self, requests, context):
        total = 0
        async for request in requests:
            total += int(request)
        return str(total).encode()

    async def chat(self, requests, context):
        async for request in requests:
            yield request.upper()

    async def forever(self, request, context):
        self.house.running += 1
        try:
            yield b"begun"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.house.cancelled += 1
            raise

    async def cancelled(self, request, context):
        return str(self.house.cancelled).encode()

    async def fail(self, request, context):
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100% ü")

    async def fail_late(self, request, context):
        yield b"one"
        yield b"two"
        await context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    async def restart(self, request, context):
        await self.house.restart()
        return b"restarted"


class House:
    """The server, and its successor on the same port."""

    def __init__(self):
        self.running = 0
        self.cancelled = 0
        self.port = 0
        self.server = None
        self.leaving = []

    async def start(self):
        server = aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers((Talk(self),))
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self.server = server

    async def restart(self):
        old = self.server
        await self.start()
        # GOAWAY now; what runs may end.
        self.leaving.append(asyncio.ensure_future(old.stop(grace=30)))


class Calls:
    """The client's calls."""

    def __init__(self, channel):
        def of(kind):
            return lambda name: getattr(channel, kind)(f"/{SERVICE}/{name}")

        self.unary = of("unary_unary")
        self.down = of("unary_stream")
        self.up = of("stream_unary")
        self.both = of("stream_stream")

    async def unary_with_metadata(self):
        for i in range(50):
            call = self.unary("Echo")(b"m%d" % i, metadata=(("x-say", str(i)), ("x-b-bin", b"\x00")))
            assert await call == b"m%d" % i
            first = dict(await call.initial_metadata())
            assert first["x-first"] == "1" and first["x-raw-bin"] == b"\x00\xff\n", first
            last = dict(await call.trailing_metadata())
            assert last["x-last"] == str(i) and last["x-end-bin"] == b"\x01", last
            assert await call.code() == grpc.StatusCode.OK

    async def streams_down(self):
        got = [m async for m in self.down("Count")(b"2000")]
        assert got == [str(i).encode() for i in range(2000)], len(got)
        assert [m async for m in self.down("Count")(b"0")] == []

    async def streams_up(self):
        async def numbers():
            for i in range(2000):
                yield str(i).encode()

        assert await self.up("Sum")(numbers()) == str(sum(range(2000))).encode()

    async def streams_both_ways(self):
        call = self.both("Chat")()
        for i in range(300):
            await call.write(b"word%d" % i)
            assert await call.read() == b"WORD%d" % i
        await call.done_writing()
        assert await call.read() is aio.EOF

    async def cancels(self):
        before = int(await self.unary("Cancelled")(b""))
        call = self.down("Forever")(b"")
        assert await call.read() == b"begun"
        call.cancel()
        while int(await self.unary("Cancelled")(b"")) <= before:
            await asyncio.sleep(0.01)

    async def deadline(self):
        before = int(await self.unary("Cancelled")(b""))
        has_begun = False
        # On a slow machine the deadline may be over before the call has begun.
        limit = 0.3
        while not has_begun:
            call = self.down("Forever")(b"", timeout=limit)
            try:
                async for _ in call:
                    has_begun = True
                raise AssertionError("no deadline")
            except aio.AioRpcError as e:
                assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED, e
            limit *= 2
        while int(await self.unary("Cancelled")(b"")) <= before:
            await asyncio.sleep(0.01)

    async def large(self):
        message = bytes(range(256)) * (8 << 12)
        assert await self.unary("Echo")(message) == message

    async def trailers_only(self):
        try:
            await self.unary("Fail")(b"")
            raise AssertionError("no failure")
        except aio.AioRpcError as e:
            assert e.code() == grpc.StatusCode.NOT_FOUND, e
            assert e.details() == "no such thing: 100% ü", e

    async def fails_late(self):
        got = []
        try:
            async for m in self.down("FailLate")(b""):
                got.append(m)
            raise AssertionError("no failure")
        except aio.AioRpcError as e:
            assert e.code() == grpc.StatusCode.DATA_LOSS and e.details() == "lost", e
        assert got == [b"one", b"two"], got

    async def unknown_method(self):
        try:
            await self.unary("Nothing")(b"")
            raise AssertionError("no failure")
        except aio.AioRpcError as e:
            assert e.code() == grpc.StatusCode.UNIMPLEMENTED, e

    async def a_thousand_at_once(self):
        calls = [self.both("Chat")() for _ in range(1000)]

        async def say(call, word):
            await call.write(word)
            return await call.read()

        for round in range(3):
            words = [b"%d-%d" % (round, i) for i in range(len(calls))]
            assert await asyncio.gather(*map(say, calls, words)) == words
        for call in calls:
            await call.done_writing()
        assert all([await call.read() is aio.EOF for call in calls])

    async def echo_again(self, word):
        """A server that begins to stop cancels what reaches it before its GOAWAY has left, and as its listener closes the
        system resets whoever waits to be accepted."""
        for n in range(100):
            try:
                return await self.unary("Echo")(word)
            except aio.AioRpcError as e:
                assert e.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE), e
                await asyncio.sleep(0.001 * n)

    async def restarts_lose_nothing(self):
        for _ in range(5):
            chat = self.both("Chat")()
            await chat.write(b"before")
            assert await chat.read() == b"BEFORE"
            assert await self.unary("Restart")(b"") == b"restarted"
            for i in range(20):
                assert await self.echo_again(b"%d" % i) == b"%d" % i
            # What the old one has begun it ends.
            await chat.write(b"after")
            assert await chat.read() == b"AFTER"
            await chat.done_writing()
            assert await chat.read() is aio.EOF


async def serve():
    house = House()
    await house.start()
    print(house.port, flush=True)
    await asyncio.Event().wait()


async def call(port):
    names = [n for n in vars(Calls) if not n.startswith("_") and n != "echo_again"]
    async with aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        calls = Calls(channel)
        for name in names:
            await asyncio.wait_for(getattr(calls, name)(), LIMIT)
            print("ok", name, flush=True)


if sys.argv[1] == "server":
    asyncio.run(serve())
else:
    asyncio.run(call(int(sys.argv[2])))
