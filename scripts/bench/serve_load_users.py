"""The clients of serve_load, for locust: each asks again as soon as it is answered."""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import gevent
from locust import FastHttpUser, constant, events, task

PROBLEMS = json.loads(Path(os.environ["PROBLEMS"]).read_text())
MOST = int(os.environ.get("REQUESTS", 0))
STARTED: list[float] = []
ENDED: list[float] = []
SECONDS: list[float] = []
STATUSES: Counter[str] = Counter()
COUNTS = {"wrong": 0, "retry_after": 0}


class Client(FastHttpUser):
    """One connection."""

    wait_time = constant(0)
    network_timeout = connection_timeout = 180.0

    @task
    def rerank(self) -> None:
        """Ask for a ranking whose right order is known."""
        problem = random.choice(PROBLEMS)
        body = {"model": "m", "query": problem["query"], "documents": problem["documents"]}
        started = time.perf_counter()
        STARTED.append(started)
        with self.client.post("/v2/rerank", json=body, catch_response=True) as answer:
            STATUSES[str(answer.status_code)] += 1
            if answer.status_code == 200:
                ENDED.append(time.perf_counter())
                SECONDS.append(ENDED[-1] - started)
                order = [result["index"] for result in answer.json()["results"]]
                COUNTS["wrong"] += order != problem["order"]
            else:
                COUNTS["retry_after"] += "retry-after" in answer.headers
            answer.success()  # judged by us
        if answer.status_code in (429, 503):
            time.sleep(0.05)  # of gevent: other clients go on
        if MOST and STATUSES.total() == MOST:
            gevent.spawn(self.environment.runner.quit)  # this client cannot wait for its own end


@events.quitting.add_listener
def _told(**_: object) -> None:
    rate = len(ENDED) / (ENDED[-1] - STARTED[0])
    found = {"per_second": rate, "seconds": SECONDS, "statuses": STATUSES}
    Path(os.environ["OUT"]).write_text(json.dumps(found | COUNTS))
