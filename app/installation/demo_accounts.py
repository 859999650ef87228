"""The demonstration's account of a financial institution, opened as officers open accounts."""

from __future__ import annotations

from datetime import datetime

from app.operations.applications import engine
from app.operations.imports import opening_import
from app.operations.records.actor import Actor

INSTITUTION = {
    "holder_class": "institution",
    "declared": "yes",
    "name": "江城证券股份有限公司",
    "uscc": "91420100MA4K9Y3T5J",
    "province": "42",
    "registered_address": "湖北省武汉市江汉区新华路88号",
    "legal_representative": "孙志远",
    "representative": "钱思明",
    "representative_phone": "13800150088",
    "representative_email": "qiansiming@securities.example.cn",
    "representative_identity_no": "11010519491231002X",
}


def open_institution(maker: Actor, checker: Actor, at: datetime) -> None:
    """Open the account by two officers; it trades and cancels, and has no notices."""
    proposal, wrong = opening_import.judge(INSTITUTION)
    assert not wrong, wrong
    draft = opening_import.draft(proposal, "demo:opening:institution", reason="非履约主体开户")
    (made,) = engine.start([draft], maker, now=at)
    engine.submit([made], maker, now=at).one()
    engine.approve([made], checker, now=at, comment="材料齐全").one()
