"""Runs in a pod of the runtime image: asks the served model what the trainer was asked, or keeps it busy.

    python3 load.py accuracy BASE_URL MODEL PROMPTS.jsonl
    python3 load.py load BASE_URL MODEL CLIENTS SECONDS

Standard library only. `accuracy` prints one JSON object {"asked", "right", "accuracy", "wrong"}; `load` prints one
JSON line a second with the counts and latencies of the requests that ended in it. Every client keeps one connection
alive and sends its next request when the last was answered.
"""

import http.client
import json
import statistics
import sys
import threading
import time
import urllib.parse

TIMEOUT_S = 60


def complete(connection: http.client.HTTPConnection, model: str, prompt: str, max_tokens: int) -> tuple[int, str]:
    body = json.dumps({"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0})
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        return response.status, ""
    return 200, json.loads(answer)["choices"][0]["text"]


def connect(base_url: str) -> http.client.HTTPConnection:
    url = urllib.parse.urlsplit(base_url)
    return http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_S)


def measure_accuracy(base_url: str, model: str, prompts: str) -> None:
    connection, asked, wrong = connect(base_url), 0, []
    with open(prompts, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            status, text = complete(connection, model, row["prompt"], 32)
            asked += 1
            if status != 200 or text.strip() != row["completion"].strip():
                wrong.append({"prompt": row["prompt"], "expected": row["completion"], "got": text, "status": status})
    right = asked - len(wrong)
    print(
        json.dumps({"asked": asked, "right": right, "accuracy": right / asked if asked else 0.0, "wrong": wrong[:5]}),
        flush=True,
    )


def client(base_url: str, model: str, until: float, ended: list[tuple[float, float, int]], asking: set[int]) -> None:
    connection = connect(base_url)
    while time.monotonic() < until:
        started = time.monotonic()
        asking.add(threading.get_ident())
        try:
            status, _ = complete(connection, model, "abcdefgh=", 32)
        except (OSError, http.client.HTTPException):
            connection.close()
            connection, status = connect(base_url), 0
            time.sleep(0.2)
        asking.discard(threading.get_ident())
        ended.append((time.monotonic(), time.monotonic() - started, status))
        if status == 429:
            time.sleep(0.5)


def keep_busy(base_url: str, model: str, clients: int, seconds: float) -> None:
    until, ended, asking = time.monotonic() + seconds, list[tuple[float, float, int]](), set[int]()
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
        seconds_each = [took for _, took, status in fresh if status == 200]
        print(
            json.dumps(
                {
                    "time": time.time(),
                    "inFlight": len(asking),
                    "answered": len(seconds_each),
                    "refused": sum(status == 429 for _, _, status in fresh),
                    "failed": sum(status not in (200, 429) for _, _, status in fresh),
                    "statuses": sorted({status for _, _, status in fresh}),
                    "medianSeconds": statistics.median(seconds_each) if seconds_each else None,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1] == "accuracy":
        measure_accuracy(*sys.argv[2:5])
    else:
        keep_busy(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
