"""Users of tensord for Locust.

    locust -f tests/load/locustfile.py --headless --users 20 --spawn-rate 20 \
        --run-time 30s --processes 2 --host localhost:50051

Locust runs its users on gevent, in one thread. tensord's client is native: a
call blocks that thread without telling gevent, and all users with it. So every
call here runs in a thread of gevent's pool, which the client lets run beside
others, while the user waits as gevent wants it. A process has Python's one
lock: give it a few hundred calls a second at most, and take more --processes
beyond that. Connections are made by users, after the fork, because gRPC does
not outlive one.

Users wait for an answer before they make the next call, and what a slow server
makes them leave out is not in the figures; tensord_load (README.md here) has no
such gap, and makes far more calls with a processor.
"""

import time

import gevent
import numpy as np
import tensord
from locust import User, between, task

# As many users of a process as may be in a call at a time.
THREADS = 64
TIMEOUT_SECONDS = 10


def in_thread(call):
    """What ``call()`` returns or raises; other users go on meanwhile."""
    pool = gevent.get_hub().threadpool
    pool.maxsize = max(pool.maxsize, THREADS)
    return pool.apply(call)


class TensordUser(User):
    """Someone with a connection, whose calls Locust counts."""

    abstract = True
    host = "localhost:50051"

    def on_start(self):
        # Refusals are to be seen: nothing is repeated.
        self.client = in_thread(
            lambda: tensord.connect(self.host, TIMEOUT_SECONDS, max_attempts=1)
        )

    def on_stop(self):
        in_thread(self.client.close)

    def measure(self, name, call, size_bytes=0):
        """Makes a call; returns its result, or None where it is refused."""
        begin = time.perf_counter()
        result = exception = None
        try:
            result = in_thread(call)
        except tensord.TensordError as error:
            exception = error
        self.environment.events.request.fire(
            request_type="tensord",
            name=name,
            response_time=(time.perf_counter() - begin) * 1000,
            response_length=size_bytes,
            exception=exception,
            context={},
        )
        return result


class SmallCalls(TensordUser):
    """Stores, reads and deletes arrays of a kilobyte."""

    weight = 4
    wait_time = between(0.01, 0.05)

    def on_start(self):
        super().on_start()
        self.array = np.ones(256, np.float32)
        self.stored = in_thread(lambda: self.client.tensor(self.array))

    @task(6)
    def read(self):
        self.measure("read", self.stored.numpy, self.array.nbytes)

    @task(2)
    def create_and_delete(self):
        made = self.measure("create", lambda: self.client.tensor(self.array))
        if made is not None:
            self.measure("delete", made.delete)

    @task(1)
    def transform(self):
        self.measure("transform", self.stored.half)


class Converters(TensordUser):
    """Has arrays of a megabyte converted in passing."""

    weight = 1
    wait_time = between(0.05, 0.2)

    def on_start(self):
        super().on_start()
        self.array = np.ones(1 << 18, np.float32)

    @task
    def convert(self):
        self.measure(
            "convert",
            lambda: self.client.convert(self.array, "float16"),
            self.array.nbytes,
        )
