"""Runs in a pod of the runtime image: asks a served model a few things, or keeps it busy and looks at every answer.

    python3 load.py ask BASE_URL MODELS PROMPTS
    python3 load.py load BASE_URL MODEL CLIENTS SECONDS

Standard library only. `ask` prints one JSON object, model → prompt → what was answered, the likeliest of each; models and
prompts are separated by commas. `load` prints one JSON line a second, as the main job's does; an answer counts only with all
of its tokens, and what is lost is described. Every client keeps its connection for as long as the server does.
"""

import http.client
import json
import statistics
import sys
import threading
import time
import urllib.parse
from typing import Any

TIMEOUT_S = 180
"""Longer than a start of a replica takes from a busy machine: a slow answer is none that was lost."""
PROMPT, TOKENS = "ab=", 64


def asked(connection: http.client.HTTPConnection, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    return response.status, json.loads(answer) if response.status == 200 else {"said": answer.decode()[:300]}


def connect(base_url: str) -> http.client.HTTPConnection:
    url = urllib.parse.urlsplit(base_url)
    return http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_S)


def ask(base_url: str, models: str, prompts: str) -> None:
    connection, found = connect(base_url), dict[str, dict[str, str]]()
    for model in models.split(","):
        for prompt in prompts.split(","):
            status, answer = asked(connection, {"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0})
            said = answer["choices"][0]["text"] if status == 200 else f"{status} {answer}"
            found.setdefault(model, {})[prompt] = said
    print(json.dumps(found), flush=True)


def lost(status: int, answer: dict[str, Any]) -> str | None:
    """What is wrong with an answer to one of `keep_busy`; None where all of it is there."""
    if status != 200:
        return f"status {status}: {answer}"
    reason, tokens = answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]
    return None if (reason, tokens) == ("length", TOKENS) else f"ended by {reason} after {tokens} tokens"


def client(base_url: str, model: str, until: float, ended: list[tuple[float, str | None]], asking: set[int]) -> None:
    body = {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}
    connection = connect(base_url)
    while time.monotonic() < until:
        started = time.monotonic()
        asking.add(threading.get_ident())
        try:
            wrong = lost(*asked(connection, body))
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            connection, wrong = connect(base_url), f"{type(error).__name__}: {error}"
            time.sleep(0.2)
        asking.discard(threading.get_ident())
        ended.append((time.monotonic() - started, wrong))


def keep_busy(base_url: str, model: str, clients: int, seconds: float) -> None:
    until, ended, asking = time.monotonic() + seconds, list[tuple[float, str | None]](), set[int]()
    threads = [
        threading.Thread(target=client, args=(base_url, model, until, ended, asking), daemon=True)
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    counted = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        fresh, counted = ended[counted:], len(ended)
        seconds_each = [took for took, wrong in fresh if wrong is None]
        told = {
            "inFlight": len(asking),
            "answered": len(seconds_each),
            "refused": 0,
            "failed": len(fresh) - len(seconds_each),
            "wrong": [wrong for _, wrong in fresh if wrong is not None],
            "medianSeconds": statistics.median(seconds_each) if seconds_each else None,
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(*sys.argv[2:5])
    else:
        keep_busy(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
