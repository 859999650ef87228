"""How often public pages are asked by one address."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict


class RateLimit:
    """At most ``most`` requests a minute from one address, in this process.

    Protects the database from strangers.
    """

    KEPT = 10_000  # addresses

    def __init__(self, most: int) -> None:
        self.most = most
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, address: str) -> bool:
        """Count a request, and tell whether it is within the limit."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            began, count = self._seen.pop(address, (minute, 0))
            count = count + 1 if began == minute else 1
            self._seen[address] = (minute, count)
            if len(self._seen) > self.KEPT:
                self._seen.popitem(last=False)
        return count <= self.most

    def clear(self) -> None:
        """Forget all requests; for tests."""
        with self._lock:
            self._seen.clear()
