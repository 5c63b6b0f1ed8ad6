"""How clients let go of an engine's connections: behind every answer the engine closes its own.

A Service shares out connections, not requests: a client that keeps one stays with its replica when others come, and when that
one ends. vLLM answers 500 there from SIGTERM on, to all that keep theirs, while it finishes what runs (0.32.0: its launcher
ends the engine's client before the server). A connection costs a part of a millisecond, an answer many of them.
"""

from deepseek_operator.domain.programs.engines.request import FILES

MODULE = f"{FILES}/deepseek_connections.py"
"""A module that the engine's Python imports: ASGI's form of a server's middleware, which needs nothing else."""
MIDDLEWARE = "deepseek_connections.Closing"
TEXT = '''\
class Closing:
    """Closes the connection behind each answer, so that clients go where the Service sends them."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def closing(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self.app(scope, receive, closing if scope["type"] == "http" else send)
'''
_SCRIPT = f'export PYTHONPATH="{FILES}${{PYTHONPATH:+:$PYTHONPATH}}"; exec "$@"'
"""Images have a PYTHONPATH of their own, which a variable of the container would take away."""


def finding(args: tuple[str, ...]) -> tuple[str, ...]:
    """The command of a Python program, which finds the module; its words reach it as arguments, never as script text."""
    return ("sh", "-c", _SCRIPT, "sh", *args)
