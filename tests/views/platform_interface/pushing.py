"""Tables of verified data as the platform's machine sends them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from app.models import Account
from tests.operations.machines import Machine


def row(of: Account, quantity: int | None, verified: str = "3579.4", **more: Any) -> dict[str, Any]:
    """Write the row of an enterprise as a whole: half of 3,579.4 is 1,789."""
    return {"member_no": of.member_no, "name": of.name, "verified": verified,
            "quantity": quantity, **more}  # fmt: skip


def sent(*rows: Any, **more: Any) -> dict[str, Any]:
    """Write a table of a pre-allocation."""
    usual = {"year": 2025, "sector": "power", "stage": "pre_allocation",
             "document_no": "鄂环函〔2026〕1号", "documented_on": "2026-11-19"}  # fmt: skip
    return {**usual, "rows": list(rows), **more}


def push(machine: Machine, table: Any, key: str = "", **headers: str) -> Any:
    """Push a table, under a key of its own unless ``key`` names one."""
    headers = {
        "Idempotency-Key": key or str(uuid4()),
        "Content-Type": "application/json",
        **headers,
    }
    return machine.call("POST", "/tables", data=json.dumps(table), headers=headers)


def faults(answer: Any) -> set[tuple[str, str]]:
    """Return field and code of each fault of a refusal."""
    assert answer.mimetype == "application/problem+json"
    return {(each["field"], each["code"]) for each in answer.json["errors"]}
