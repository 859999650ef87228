"""A settlement bank that speaks protocol version 1 (docs/interfaces/bank.md), for tests and trials.

    python -m simulators.bank --key KEY --port 9001 --store bank.json

It keeps what it did in a JSON file.  Faults are switched on one at a time, each for the next message of
its type: from Python by `fail`, otherwise by a POST of {"fault": ["transfer", "lost_after"]} to /control.

    refuse       nothing is done, and it says so
    lost_before  nothing is done, and the connection is closed without an answer
    lost_after   it is done, and the connection is closed without an answer
    slow         it is done, and the answer comes after the patience of the other side
    late         nothing is done yet and no answer comes; `work_late` does it, on a later day if asked
    unknown      it says that it does not know
    unsigned     it is done, and the answer carries a wrong signature
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATIENCE = 1.5  # seconds that a slow answer takes
OLDEST = 300  # seconds: how old a request may be


class Bank:
    """What the bank knows; every change is written to its file before it answers."""

    def __init__(self, key: str, store: Path | None = None, *, opens_accounts: bool = True) -> None:
        self.key, self._store, self._opens = key.encode(), store, opens_accounts
        self._lock = threading.RLock()
        self._faults: dict[str, list[str]] = defaultdict(list)
        self.duplicates = 0  # transfers that were sent twice
        self.state: dict[str, Any] = {
            "accounts": {}, "bindings": {}, "transfers": {}, "incoming": {}, "day": "",
            "closed": [], "special": 0, "next": 1,
        }  # fmt: skip
        if store is not None and store.exists():
            self.state = json.loads(store.read_text(encoding="utf-8"))

    # What tests and people do to it ---------------------------------------------------------------

    def fail(self, kind: str, fault: str) -> None:
        """Let the next message of a type go wrong."""
        with self._lock:
            self._faults[kind].append(fault)

    def open_account(self, number: str, holder: str, fen: int) -> None:
        """Open a customer's account."""
        with self._kept():
            self.state["accounts"][number] = {"holder": holder, "fen": fen}

    def pay_in(self, member_no: str, fen: int) -> str:
        """Let a customer pay in at the counter; return the bank's serial."""
        with self._kept():
            binding = self._binding(member_no)
            number = self._number("B")
            self.state["accounts"][binding["bank_account"]]["fen"] -= fen
            self.state["special"] += fen
            self.state["incoming"][number] = {
                "bank_serial": number, "platform_serial": self._number("P"), "code": "102001",
                "member_no": member_no, "holder_name": binding["holder_name"],
                "bank_account": binding["bank_account"], "fen": fen, "day": self.state["day"],
                "direction": "in", "outcome": "done", "serial": "", "is_open": True,
            }  # fmt: skip
        return number

    def ask_reversal(self, bank_serial: str) -> str:
        """Ask for the reversal (冲正) of a transfer that was done."""
        with self._kept():
            found = self._by_bank_serial(bank_serial)
            number = self._number("C")
            self.state["incoming"][number] = {
                **found, "bank_serial": number, "reverses": bank_serial, "is_open": True,
                "outcome": "asked",
            }  # fmt: skip
        return number

    def work_late(self, day: str = "") -> list[str]:
        """Carry out what was late, on a day; return the serials."""
        with self._kept():
            late = [t for t in self.state["transfers"].values() if t["outcome"] == "late"]
            for transfer in late:
                transfer["day"] = day or transfer["day"]
                self._move(transfer)
            return [transfer["serial"] for transfer in late]

    @property
    def special(self) -> int:
        """The fen in the special settlement account."""
        with self._lock:
            return int(self.state["special"])

    # The protocol --------------------------------------------------------------------------------

    def answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """Carry out a message; return the answer, None where none is given, and the fault."""
        kind = str(asked.get("type"))
        with self._kept():
            fault = self._faults[kind].pop(0) if self._faults[kind] else ""
            if fault == "lost_before":
                return None, fault
            if fault in ("refuse", "unknown"):
                outcome = "refused" if fault == "refuse" else "unknown"
                found = {"outcome": outcome, "reason": "银行拒绝" if fault == "refuse" else ""}
                return {**found, "serial": asked.get("serial")}, fault
            handler = getattr(self, f"_on_{kind}", None)
            if handler is None:
                return {"outcome": "refused", "reason": f"unknown type {kind}"}, ""
            if fault == "late":
                self.state["transfers"][asked["serial"]] = {**asked, "outcome": "late"}
                return None, fault
            answer = handler(asked)
            return None if fault == "lost_after" else answer, fault

    def _on_sign_in(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.state["day"] = asked["day"]
        return {"outcome": "done", "day": asked["day"]}

    def _on_sign_out(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["day"] not in self.state["closed"]:
            self.state["closed"].append(asked["day"])
        return {"outcome": "done", "day": asked["day"]}

    def _on_bind(self, asked: dict[str, Any]) -> dict[str, Any]:
        accounts = self.state["accounts"]
        if asked["bank_account"] not in accounts and self._opens:
            accounts[asked["bank_account"]] = {"holder": asked["holder_name"], "fen": 10**12}
        found = accounts.get(asked["bank_account"])
        if found is None or found["holder"] != asked["holder_name"]:
            return {"outcome": "refused", "reason": "户名与账号不符"}
        self.state["bindings"][asked["member_no"]] = {
            name: asked[name] for name in ("binding", "member_no", "holder_name", "bank_account")
        }
        return {"outcome": "done"}

    def _on_transfer(self, asked: dict[str, Any]) -> dict[str, Any]:
        transfers = self.state["transfers"]
        if asked["serial"] in transfers:
            self.duplicates += 1
            return {"outcome": "refused", "serial": asked["serial"], "reason": "流水号重复"}
        refusal = self._refusal(asked)
        if refusal:
            transfers[asked["serial"]] = {**asked, "outcome": "refused", "reason": refusal}
            return {"outcome": "refused", "serial": asked["serial"], "reason": refusal}
        transfers[asked["serial"]] = {**asked}
        self._move(transfers[asked["serial"]])
        return self._on_query(asked)

    def _on_query(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.state["transfers"].get(asked["serial"])
        if found is None or found["outcome"] == "late":
            return {"outcome": "unknown", "serial": asked["serial"], "reason": "查无此流水"}
        shown = ("outcome", "serial", "bank_serial", "platform_serial", "reason", "amount")
        return {name: found[name] for name in shown if name in found}

    def _on_incoming(self, asked: dict[str, Any]) -> dict[str, Any]:
        waiting = [each for each in self.state["incoming"].values() if each["is_open"]]
        return {"outcome": "done", "items": [_shown(each) for each in waiting]}

    def _on_acknowledge(self, asked: dict[str, Any]) -> dict[str, Any]:
        item = self.state["incoming"].get(asked["bank_serial"])
        if item is None or not item["is_open"]:
            return {"outcome": "done"}
        item["is_open"] = False
        if item.get("reverses"):
            item["outcome"] = asked["outcome"]
            if asked["outcome"] == "done":
                self._undo(self._by_bank_serial(item["reverses"]))
        else:
            item["serial"] = asked["serial"]
            if asked["outcome"] == "refused":
                self._undo(item)
                item["outcome"] = "refused"
        return {"outcome": "done"}

    def _on_day_file(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["day"] not in self.state["closed"]:
            return {"outcome": "done", "is_ready": False}
        every = [*self.state["transfers"].values(), *self.state["incoming"].values()]
        rows = [
            _shown(each)
            for each in every
            if each.get("day") == asked["day"]
            and each["outcome"] in ("done", "reversed")
            and not each.get("reverses")
        ]
        return {"outcome": "done", "is_ready": True, "day": asked["day"], "transfers": rows}

    def _on_balance(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": "done", "amount": f"{self.state['special'] / 100:.2f}"}

    # Its books -----------------------------------------------------------------------------------

    def _refusal(self, asked: dict[str, Any]) -> str:
        if asked["day"] in self.state["closed"]:
            return "银行已签退"
        binding = self.state["bindings"].get(asked["member_no"])
        if binding is None or binding["bank_account"] != asked["bank_account"]:
            return "未签约"
        account = self.state["accounts"][asked["bank_account"]]
        if asked["direction"] == "in" and account["fen"] < _fen(asked["amount"]):
            return "银行账户余额不足"
        if asked["direction"] == "out" and self.state["special"] < _fen(asked["amount"]):
            return "专用账户余额不足"
        return ""

    def _move(self, transfer: dict[str, Any]) -> None:
        fen = _fen(transfer["amount"])
        sign = 1 if transfer["direction"] == "in" else -1
        self.state["accounts"][transfer["bank_account"]]["fen"] -= sign * fen
        self.state["special"] += sign * fen
        transfer |= {
            "outcome": "done", "fen": fen, "bank_serial": self._number("B"),
            "platform_serial": self._number("P"),
        }  # fmt: skip

    def _undo(self, transfer: dict[str, Any]) -> None:
        sign = 1 if transfer["direction"] == "in" else -1
        self.state["accounts"][transfer["bank_account"]]["fen"] += sign * transfer["fen"]
        self.state["special"] -= sign * transfer["fen"]
        transfer["outcome"] = "reversed"

    def _by_bank_serial(self, serial: str) -> dict[str, Any]:
        every = [*self.state["transfers"].values(), *self.state["incoming"].values()]
        return next(each for each in every if each.get("bank_serial") == serial)

    def _binding(self, member_no: str) -> dict[str, Any]:
        found: dict[str, Any] = self.state["bindings"][member_no]
        return found

    def _number(self, prefix: str) -> str:
        self.state["next"] += 1
        return f"{prefix}{self.state['next']:010d}"

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Hold the lock, and write the file where something may have changed."""
        with self._lock:
            yield
            if self._store is not None:
                fresh = self._store.with_suffix(".new")
                fresh.write_text(json.dumps(self.state, ensure_ascii=False), encoding="utf-8")
                fresh.replace(self._store)


def _fen(amount: str) -> int:
    yuan, _dot, rest = amount.partition(".")
    return int(yuan) * 100 + int(rest.ljust(2, "0"))


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    names = (
        "bank_serial", "platform_serial", "serial", "code", "member_no", "holder_name",
        "bank_account", "direction", "outcome", "reverses",
    )  # fmt: skip
    found = {name: item[name] for name in names if name in item}
    return {**found, "currency": "CNY", "amount": f"{item['fen'] / 100:.2f}"}


class _Handler(BaseHTTPRequestHandler):
    bank: Bank

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/control":
            self.bank.fail(*json.loads(body)["fault"])
            self._send(b"{}", "")
            return
        moment = self.headers.get("X-Registry-Time", "0")
        wanted = hmac.new(self.bank.key, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
        is_signed = hmac.compare_digest(wanted, self.headers.get("X-Registry-Signature", ""))
        if not is_signed or abs(time.time() - int(moment)) > OLDEST:
            self.send_error(401)
            return
        asked = json.loads(body)
        answer, fault = self.bank.answer(asked)
        if fault == "slow":
            time.sleep(PATIENCE)
        if answer is None:
            self.close_connection = True
            return
        told = {"version": 1, "in_reply_to": asked["message"], **answer}
        content = json.dumps(told, ensure_ascii=False, sort_keys=True).encode()
        signature = hmac.new(self.bank.key, content, hashlib.sha256).hexdigest()
        with contextlib.suppress(OSError):  # The other side may have hung up.
            self._send(content, "0" * 64 if fault == "unsigned" else signature)

    def _send(self, content: bytes, signature: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Bank-Signature", signature)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(bank: Bank, port: int = 0) -> Iterator[str]:
    """Serve a bank on the loopback; yield its address."""
    handler = type("Handler", (_Handler,), {"bank": bank})
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
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", default=os.environ.get("BANK_KEY"), help="or BANK_KEY")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--with-parent", action="store_true", help="end when the input does")
    asked = parser.parse_args()
    if not asked.key:
        parser.error("--key or BANK_KEY")
    if asked.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    with served(Bank(asked.key, asked.store), asked.port) as address:
        if not asked.with_parent:
            print(address, flush=True)  # noqa: T201 - whoever started it reads where it is
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
