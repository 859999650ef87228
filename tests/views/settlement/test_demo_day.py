"""下一交易日: in the demonstration for everybody, elsewhere for nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.errors import NotAllowed
from app.extensions import db, transaction
from app.operations.applications import jobs
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.operations.settlement import demo_days
from app.security import production
from app.views.settlement.demo_day import DemoDayView, _stages
from app.web import create_app
from tests.views.frame.test_language import english


def served(settings, profile: str):
    made = create_app(replace(settings, profile=profile, mail_url="off", sms_url="off"))
    with made.app_context():
        for engine in db.engines.values():
            engine.dispose()
    return made


@pytest.mark.parametrize("profile", ["test", "production"])
def test_no_other_profile_has_the_page(settings, monkeypatch, profile):
    monkeypatch.setattr(production, "check_before_serving", lambda *_: None)
    made = served(settings, profile)
    assert not [rule for rule in made.url_map.iter_rules() if "trading-day" in rule.rule]
    assert not [page for page in made.appbuilder.baseviews if isinstance(page, DemoDayView)]
    with made.app_context(), pytest.raises(NotAllowed):
        demo_days.require_demonstration()


def test_the_demonstration_has_it(settings):
    rules = {rule.rule for rule in served(settings, "demo").url_map.iter_rules()}
    assert "/demo/trading-day/" in rules


def test_a_stage_that_failed_is_shown_in_chinese(app, operator, monkeypatch):
    monkeypatch.setitem(app.config, "HAS_DEMO_MARKET", True)
    with transaction():
        day = demo_days.ask(Actor.of(operator), now=clock.now())
    with transaction():
        demo_days.note(day.id, "trade", "会员8个", seconds=0.5, now=clock.now())
        jobs.fail(day.id, "注册登记系统没有应答", now=clock.now())
    with app.test_request_context():
        table = _stages(demo_days.latest())
        shown = [(str(row[0]), str(row[1]["label"]), row[4]) for row in table["rows"][:3]]
    assert shown == [
        ("交易", "已完成", "会员8个"),
        ("日终数据包", "失败", ""),
        ("初审", "未开始", ""),
    ]
    assert english(" ".join(cell for row in shown for cell in row)) == []
