"""A CCER registry that speaks protocol version 1 (docs/interfaces/ccer.md), for tests and trials.

    python -m simulators.ccer --port 9002 --store ccer.json     (CCER_SIMULATOR_KEY, CCER_REGISTRY_KEY)

It keeps what it did in a JSON file.  Faults are switched on one at a time, each for the next message of
its type: from Python by `fail`, otherwise by a POST of {"fault": ["cancel", "lost_after"]} to /control.

    refuse       nothing is done, and it says so
    lost_before  nothing is done or kept, and the connection is closed without an answer
    lost_after   it is done, and the connection is closed without an answer
    unknown      it says that it does not know
    unsigned     it is done, and the answer is signed with another key
    quantity     it is done, and the answer names another quantity
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

OLDEST = 300  # seconds: how old a request may be


class CcerRegistry:
    """What the CCER registry knows; every change is written to its file before it answers."""

    def __init__(self, key: str, theirs: str, store: Path | None = None) -> None:
        self.key, self.theirs = (ECKey.import_key(json.loads(each)) for each in (key, theirs))
        self._store, self._lock = store, threading.RLock()
        self._faults: dict[str, list[str]] = defaultdict(list)
        self.received: Counter[str] = Counter()  # how often each number was sent to it
        self.state: dict[str, Any] = {
            "accounts": {}, "units": {}, "incoming": {}, "orders": {}, "next": 1,
        }  # fmt: skip
        if store is not None and store.exists():
            self.state = json.loads(store.read_text(encoding="utf-8"))

    # What tests and people do to it ---------------------------------------------------------------

    def fail(self, kind: str, fault: str) -> None:
        """Let the next message of a type go wrong."""
        with self._lock:
            self._faults[kind].append(fault)

    def bind(self, ccer_account: str, uscc: str, name: str) -> str:
        """Let a holder start a binding; return the message's number."""
        with self._kept():
            self.state["accounts"][ccer_account] = {"uscc": uscc, "name": name, "answer": "asked"}
            return self._tell("binding", ccer_account)

    def freeze(
        self, ccer_account: str, quantity: int, *, kind: str = "freeze", **facts: Any
    ) -> str:
        """Freeze units for offset (``report``: old stock, cancelled first); return the number."""
        with self._kept():
            first = facts.pop("first_serial", None) or self._next() * 10_000_000
            unit = {
                "project_no": "CCER-01-2024-0001",
                "project_name": "海上风电并网项目",
                "project_type": "并网海上风力发电",
                "period_from": "2022-01-01",
                "period_to": "2023-12-31",
                "registered_on": "2025-03-06",
                "in_ets": False,
                **facts,
                "quantity": quantity,
                "first_serial": first,
                "last_serial": first + quantity - 1,
            }
            serial = f"{unit['project_no']}-{first}~{unit['last_serial']}"
            state = "frozen" if kind == "freeze" else "cancelled"
            self.state["units"][serial] = {
                "ccer_account": ccer_account, "quantity": quantity, "state": state,
            }  # fmt: skip
            return self._tell(kind, ccer_account, serial=serial, **unit)

    def ask_release(self, serial: str) -> str:
        """Let a holder ask to have a frozen unit back."""
        with self._kept():
            return self._tell(
                "unfreeze", self.state["units"][serial]["ccer_account"], serial=serial
            )

    def know(self, known: dict[str, Any]) -> None:
        """Add accounts and units that it does not have yet."""
        with self._kept():
            for part in ("accounts", "units"):
                self.state[part] = {**known[part], **self.state[part]}

    def repeat(self, number: str, **changed: Any) -> None:
        """Send a message again, as it was or with something changed under its number."""
        with self._kept():
            item = self.state["incoming"][number]
            item["is_open"] = True
            if changed:
                item["signed"] = self._signed({**item["says"], **changed})

    def reply_to(self, number: str) -> tuple[str, str]:
        """Return how a message of ours was answered."""
        with self._lock:
            item = self.state["incoming"][number]
            return item["outcome"], item["reason"]

    def units(self, state: str) -> dict[str, int]:
        """Return the quantities of the units in a state, by serials."""
        with self._lock:
            return {
                serial: unit["quantity"]
                for serial, unit in self.state["units"].items()
                if unit["state"] == state
            }

    # The protocol --------------------------------------------------------------------------------

    def answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """Carry out a message; return the answer, None where none is given, and the fault."""
        kind = str(asked.get("type"))
        with self._kept():
            fault = self._faults[kind].pop(0) if self._faults[kind] else ""
            number = asked.get("number")
            if number and kind in ("cancel", "release", "answer"):
                self.received[number] += 1
            if fault == "lost_before":
                return None, fault
            if fault == "unknown":
                return {"outcome": "unknown", "number": number}, fault
            handler = getattr(self, f"_on_{kind}", None)
            if handler is None:
                return {"outcome": "refused", "reason": f"unknown type {kind}"}, ""
            if fault == "refuse":
                self.state["orders"][number] = _order(asked, "refused", "CCER登记系统拒绝")
            answer = self._on_query(asked) if fault == "refuse" else handler(asked)
            if fault == "quantity":
                answer = {**answer, "quantity": answer["quantity"] + 1}
            return (None if fault == "lost_after" else answer), fault

    def _on_incoming(self, asked: dict[str, Any]) -> dict[str, Any]:
        waiting = [each for each in self.state["incoming"].values() if each["is_open"]]
        return {"items": [each["signed"] for each in waiting]}

    def _on_acknowledge(self, asked: dict[str, Any]) -> dict[str, Any]:
        item = self.state["incoming"][asked["number"]]
        item |= {"is_open": False, "outcome": asked["outcome"], "reason": asked["reason"]}
        unit = self.state["units"].get(item["says"].get("serial"))
        is_done = asked["outcome"] == "done"
        # What is refused is not frozen any longer, unless the same was taken before.
        if unit and item["says"]["kind"] == "freeze" and not is_done and unit["state"] == "frozen":
            unit["state"] = "refused"
        if unit and item["says"]["kind"] == "unfreeze" and is_done:
            unit["state"] = "free"
        return {"outcome": "done"}

    def _on_cancel(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._once(asked, "cancelled")

    def _on_release(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._once(asked, "free")

    def _on_answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.state["accounts"][asked["ccer_account"]]["answer"] = asked["answer"]
        self.state["orders"][asked["number"]] = _order(asked, "done")
        return self._on_query(asked)

    def _once(self, asked: dict[str, Any], becomes: str) -> dict[str, Any]:
        """Carry out an order the first time that its number comes."""
        if asked["number"] not in self.state["orders"]:
            unit = self.state["units"].get(asked["serial"])
            fits = unit and unit["state"] == "frozen" and unit["quantity"] == asked["quantity"]
            if unit and fits:
                unit["state"] = becomes
            outcome = ("done", "") if fits else ("refused", "该单元未被冻结或数量不符")
            self.state["orders"][asked["number"]] = _order(asked, *outcome)
        return self._on_query(asked)

    def _on_query(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.state["orders"].get(asked["number"])
        if found is None:
            return {"outcome": "unknown", "number": asked["number"], "is_missing": True}
        return {"number": asked["number"], **found}

    def _on_statement(self, asked: dict[str, Any]) -> dict[str, Any]:
        sums: Counter[str] = Counter()
        for unit in self.state["units"].values():
            if unit["state"] == "frozen":
                sums[self.state["accounts"][unit["ccer_account"]]["uscc"]] += unit["quantity"]
        rows = [{"uscc": uscc, "quantity": quantity} for uscc, quantity in sums.items()]
        return {"day": asked["day"], "frozen": rows}

    # Its books -----------------------------------------------------------------------------------

    def _tell(self, kind: str, ccer_account: str, **more: Any) -> str:
        number = f"CCER{self._next():012d}"
        account = self.state["accounts"][ccer_account]
        says = {
            "version": 1, "number": number, "kind": kind, "ccer_account": ccer_account,
            "uscc": account["uscc"], "name": account["name"], **more,
        }  # fmt: skip
        self.state["incoming"][number] = {
            "says": says, "signed": self._signed(says), "is_open": True, "outcome": "", "reason": "",
        }  # fmt: skip
        return number

    def _next(self) -> int:
        self.state["next"] += 1
        return int(self.state["next"])

    def _signed(self, content: dict[str, Any]) -> str:
        return signed(content, self.key)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Hold the lock, and write the file where something has changed."""
        with self._lock:
            before = json.dumps(self.state) if self._store else ""
            yield
            if self._store is not None and json.dumps(self.state) != before:
                fresh = self._store.with_suffix(".new")
                fresh.write_text(json.dumps(self.state, ensure_ascii=False), encoding="utf-8")
                fresh.replace(self._store)


def signed(content: dict[str, Any], key: ECKey) -> str:
    """Return a content as a compact JWS."""
    body = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return jws.serialize_compact({"alg": "ES256"}, body, key)


def _order(asked: dict[str, Any], outcome: str, reason: str = "") -> dict[str, Any]:
    found = {"outcome": outcome, "reason": reason}
    return found | ({"quantity": asked["quantity"]} if "quantity" in asked else {})


class _Handler(BaseHTTPRequestHandler):
    registry: CcerRegistry

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/control":
            asked = json.loads(body)
            if "know" in asked:
                self.registry.know(asked["know"])
            else:
                self.registry.fail(*asked["fault"])
            self._send(b"{}")
            return
        try:
            found = jws.deserialize_compact(body, self.registry.theirs, algorithms=["ES256"])
            asked = json.loads(found.payload)
        except (JoseError, ValueError):
            self.send_error(401)
            return
        if abs(time.time() - asked["at"]) > OLDEST:
            self.send_error(401)
            return
        answer, fault = self.registry.answer(asked)
        if answer is None:
            self.close_connection = True
            return
        told = {"version": 1, "in_reply_to": asked["message"], **answer}
        key = ECKey.generate_key("P-256") if fault == "unsigned" else self.registry.key
        with contextlib.suppress(OSError):  # The other side may have hung up.
            self._send(signed(told, key).encode())

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/jose")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(registry: CcerRegistry, port: int = 0) -> Iterator[str]:
    """Serve a CCER registry on the loopback; yield its address."""
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


def main() -> None:
    """Serve until interrupted; the keys are JWKs in the environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9002)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--with-parent", action="store_true", help="end when stdin is closed")
    given = parser.parse_args()
    own, theirs = os.environ["CCER_SIMULATOR_KEY"], os.environ["CCER_REGISTRY_KEY"]
    if given.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    with (
        served(CcerRegistry(own, theirs, given.store), given.port),
        contextlib.suppress(KeyboardInterrupt),
    ):
        threading.Event().wait()


if __name__ == "__main__":
    main()
