"""gRPC over Debian's python3-grpcio: `peer.py serve` prints its port; `peer.py check PORT` tries a server."""
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "disttune.test.Echo"
BIG = 64 * 1024 * 1024


def varint(n):
    out = bytearray()
    while True:
        out.append(n & 127 | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


def blob(data=b"", count=0):
    return (b"\x0a" + varint(len(data)) + data if data else b"") + (b"\x10" + varint(count) if count else b"")


def parse(message):
    data, count, i = b"", 0, 0
    while i < len(message):
        tag, i, value, shift = message[i], i + 1, 0, 0
        while True:
            value |= (message[i] & 127) << shift
            shift, i = shift + 7, i + 1
            if message[i - 1] < 128:
                break
        if tag == 0x0A:
            data, i = message[i:i + value], i + value
        else:
            count = value
    return data, count


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.split("/")[-1]

        def unary(request, context):
            context.set_trailing_metadata([(k, v) for k, v in context.invocation_metadata() if k.startswith("x-")])
            return request

        def fail(request, context):
            context.set_trailing_metadata([("x-why", "because")])
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "olmadı: %100")

        def sleep(request, context):
            done = threading.Event()
            context.add_callback(done.set)
            done.wait(30)
            return request

        def collect(requests, context):
            return blob(b"".join(parse(r)[0] for r in requests))

        def repeat(request, context):
            data, count = parse(request)
            for _ in range(count):
                yield blob(data)

        def chat(requests, context):
            for request in requests:
                yield request

        return {
            "Unary": lambda: grpc.unary_unary_rpc_method_handler(unary),
            "Fail": lambda: grpc.unary_unary_rpc_method_handler(fail),
            "Sleep": lambda: grpc.unary_unary_rpc_method_handler(sleep),
            "Collect": lambda: grpc.stream_unary_rpc_method_handler(collect),
            "Repeat": lambda: grpc.unary_stream_rpc_method_handler(repeat),
            "Chat": lambda: grpc.stream_stream_rpc_method_handler(chat),
        }.get(name, lambda: None)()


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", BIG + 1024), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((Handler(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


def status_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call should have failed")


def check(port):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", BIG + 1024), ("grpc.max_send_message_length", -1)])
    path = f"/{SERVICE}/"
    unary, fail, sleep = (channel.unary_unary(path + n) for n in ("Unary", "Fail", "Sleep"))

    answer, call = unary.with_call(blob(b"merhaba"), metadata=[("x-text", "tarla"), ("x-raw-bin", b"\x00\xff\x10")], timeout=10)
    trailers = dict(call.trailing_metadata())
    assert parse(answer)[0] == b"merhaba" and trailers["x-text"] == "tarla" and trailers["x-raw-bin"] == b"\x00\xff\x10", trailers
    print("ok unary")
    assert parse(channel.stream_unary(path + "Collect")(iter([blob(b"a"), blob(b"b"), blob(b"c")]), timeout=10))[0] == b"abc"
    print("ok client-stream")
    assert [parse(m)[0] for m in channel.unary_stream(path + "Repeat")(blob(b"x", 5), timeout=10)] == [b"x"] * 5
    print("ok server-stream")
    assert [parse(m)[0] for m in channel.stream_stream(path + "Chat")(iter([blob(b"1"), blob(b"2")]), timeout=10)] == [b"1", b"2"]
    print("ok duplex")
    error = status_of(lambda: fail(blob(b"x"), timeout=10))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "olmadı: %100" and dict(error.trailing_metadata())["x-why"] == "because", error
    print("ok status")
    assert status_of(lambda: sleep(blob(b"x"), timeout=0.3)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    print("ok deadline")
    future = sleep.future(blob(b"x"), timeout=10)
    threading.Timer(0.3, future.cancel).start()
    try:
        future.result()
        raise AssertionError("the call should have been cancelled")
    except grpc.FutureCancelledError:
        print("ok cancel")
    assert status_of(lambda: channel.unary_unary(path + "Nothing")(blob(b"x"), timeout=10)).code() == grpc.StatusCode.UNIMPLEMENTED
    print("ok unimplemented")
    big = bytes(range(256)) * (BIG // 256)
    assert parse(unary(blob(big), timeout=60))[0] == big
    print("ok 64MB")
    assert status_of(lambda: unary(blob(big + b"x" * 4096), timeout=60)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    print("ok limit")


serve() if sys.argv[1] == "serve" else check(int(sys.argv[2]))
