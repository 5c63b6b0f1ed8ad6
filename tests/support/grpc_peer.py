"""A gRPC server and a client that know no service's messages: what goes over the wire are bytes of JSON. Run by the environment
with Envoy ($ENVOY), which has grpcio, and so with nothing else of this tree.

    grpc_peer.py serve PORT NAME     answers every method with NAME, the method and the metadata that reached it, until it is ended
    grpc_peer.py call PORT HOST      calls by HOST what is told on standard input, and prints what came of each

A call is `{"method", "metadata", "messages"}`; a stream's next message is sent once the one before it was answered.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import grpc

STREAM = "Stream"
"""In the name of a method: it is a stream of messages both ways."""
PATIENCE_S = 30.0


class Everything:
    """Answers whatever is called."""

    def __init__(self, name: str) -> None:
        self._name = name

    def service(self, details: Any) -> Any:
        """The handler of a method."""

        def answer(message: bytes, _: Any) -> bytes:
            told = {"name": self._name, "method": details.method, "message": message.decode()}
            return json.dumps({**told, "metadata": dict(details.invocation_metadata)}, default=repr).encode()

        def answers(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
            for message in messages:
                yield answer(message, context)

        if STREAM in details.method:
            return grpc.stream_stream_rpc_method_handler(answers)
        return grpc.unary_unary_rpc_method_handler(answer)


def serve(port: int, name: str) -> None:
    """Until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Everything(name),))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    server.wait_for_termination()


def called(channel: Any, call: dict[str, Any]) -> dict[str, Any]:
    """The status of one call, its words, and what was answered until then."""
    heard: list[Any] = []
    metadata = tuple(call.get("metadata", {}).items())
    messages = [one.encode() for one in call.get("messages", ("",))]
    try:
        if STREAM in call["method"]:
            told: Queue[bytes | None] = Queue()
            told.put(messages.pop(0))
            stream = channel.stream_stream(call["method"])
            for piece in stream(iter(told.get, None), timeout=PATIENCE_S, metadata=metadata):
                heard.append(json.loads(piece))
                told.put(messages.pop(0) if messages else None)
        else:
            found = channel.unary_unary(call["method"])(messages[0], timeout=PATIENCE_S, metadata=metadata)
            heard.append(json.loads(found))
    except grpc.RpcError as error:
        return {"status": error.code().value[0], "words": error.details(), "answers": heard}
    return {"status": 0, "words": "", "answers": heard}


def main() -> None:
    """See above."""
    role, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if role == "serve":
        serve(port, name)
        return
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.default_authority", name)]) as channel:
        print(json.dumps([called(channel, call) for call in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
