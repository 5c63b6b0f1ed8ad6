"""Asks a served model from a pod, and prints one JSON object. Standard library only.

python3 ask.py stream BASE_URL MODEL      one streamed chat: the pieces, and when each came
python3 ask.py burst BASE_URL MODEL N     N requests at once: how often each status came, and Retry-After of a 429
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable

TIMEOUT_S = 60


def post(base_url: str, path: str, body: dict[str, object]) -> http.client.HTTPResponse:
    url = urllib.parse.urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_S)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


def stream(base_url: str, model: str) -> dict[str, object]:
    body = {"model": model, "prompt": "hello=", "max_tokens": 60, "temperature": 0, "ignore_eos": True}
    started = time.monotonic()
    response = post(base_url, "/v1/completions", {**body, "stream": True})
    told = {"status": response.status, "type": response.headers["Content-Type"]}
    texts, at_s, last = [], [], ""
    for line in response:
        if line.startswith(b"data: "):
            last = line.removeprefix(b"data: ").decode().strip()
            if last != "[DONE]":
                texts.append(json.loads(last)["choices"][0]["text"])
                at_s.append(time.monotonic() - started)
    whole = json.load(post(base_url, "/v1/completions", body))["choices"][0]["text"]
    return {**told, "texts": texts, "at_s": at_s, "last": last, "whole": whole}


def burst(base_url: str, model: str, count: str) -> dict[str, object]:
    body = {"model": model, "prompt": "hello=", "max_tokens": 200, "temperature": 0, "ignore_eos": True}
    statuses: Counter[int] = Counter()
    waits: set[str | None] = set()

    def one() -> None:
        response = post(base_url, "/v1/completions", body)
        response.read()
        statuses[response.status] += 1
        if response.status == 429:
            waits.add(response.headers["Retry-After"])

    threads = [threading.Thread(target=one) for _ in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "statuses": {str(status): times for status, times in statuses.items()},
        "retryAfter": sorted(map(str, waits)),
    }


if __name__ == "__main__":
    asked: dict[str, Callable[..., object]] = {"stream": stream, "burst": burst}
    print(json.dumps(asked[sys.argv[1]](*sys.argv[2:])), flush=True)
