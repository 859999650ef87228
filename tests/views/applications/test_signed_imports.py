"""Signed imports: one manifest, all or none; drafts that stay unsigned."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from app import worker
from app.extensions import db, transaction
from app.models import Account, Application, Challenge, Job, Signature, SignatureEvent
from app.operations.applications import evidence, jobs
from app.operations.people.members import set_roles
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from tests.factories import account, instrument, member, nothing_moves, quantity
from tests.openings import as_csv, enterprise
from tests.security import test_signed_acts as signed_acts
from tests.security.test_signed_acts import signed, step_of, verify

authority, key_of, signing = signed_acts.authority, signed_acts.key_of, signed_acts.signing
HEADINGS = "会员编号,企业名称,标的编码,发放类型,发放量"


@pytest.fixture
def plants(app):
    return [account("甲发电有限公司"), account("乙水泥有限公司")]


@pytest.fixture
def cea(app):
    return instrument()


@pytest.fixture
def desk(signing, sign_in, maker):
    return sign_in(maker)


def lines(plants, cea) -> str:
    rows = [
        f"{each.member_no},{each.name},{cea.code},预分配,{700 + n}" for n, each in enumerate(plants)
    ]
    return "\r\n".join([HEADINGS, *rows])


def upload(desk, text: str | bytes, page: str = "/issuances/import"):
    content = text if isinstance(text, bytes) else text.encode()
    data = {"file": (io.BytesIO(content), "表.csv")}
    if page.startswith("/issuances"):
        data |= {"document_no": "鄂环函〔2026〕7号", "starts_on": "2026-11-18"}
    return desk.post(page, data=data, content_type="multipart/form-data")


def ask(desk, text: str | bytes, page: str = "/issuances/import"):
    """Upload a table and submit what it made; the answer leads to the signature."""
    return desk.post(f"{upload(desk, text, page).location}/submit")


def statuses() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(Application.status).order_by(Application.id)))


def count(table) -> int:
    return db.session.scalar(select(func.count()).select_from(table))


def sign(desk, place: str, key):
    return desk.post(place, data=signed(key, step_of(desk.get(place).text)))


def test_an_import_is_signed_once_and_lands_on_its_page(desk, plants, cea, maker, key_of):
    with nothing_moves():
        answer = ask(desk, lines(plants, cea))
    assert "/signing/" in answer.location
    assert statuses() == ["draft", "draft"]
    page = desk.get(answer.location).text
    for shown in ("配额发放", "1,401", "表.csv", "单位数"):
        assert shown in page, shown

    done = sign(desk, answer.location, key_of(maker))

    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    assert done.location.endswith(f"/issuances/import/{batch}")
    assert "已提交2条申请" in desk.get(done.location).text
    assert statuses() == ["in_review", "in_review"]
    row = db.session.scalars(select(Signature)).one()
    payload = json.loads(row.content)["payload"]
    assert (row.purpose, payload["schema"], payload["total"]) == ("submit", "submissions/1", "1401")
    assert count(SignatureEvent) == 2


def test_a_second_press_finds_it_done(desk, plants, cea, maker, key_of):
    """With the same challenge, and with another tab's."""
    key = key_of(maker)
    place = ask(desk, lines(plants, cea)).location
    step = step_of(desk.get(place).text)
    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    other = desk.post(f"/issuances/import/{batch}/submit").location
    desk.post(place, data=signed(key, step))
    assert statuses() == ["in_review", "in_review"]

    desk.post(place, data=signed(key, step))
    late = sign(desk, other, key)

    assert "失败 2 条" in late.text
    assert "未提交任何申请" in late.text
    assert (statuses(), count(Signature), count(SignatureEvent)) == (["in_review"] * 2, 1, 2)


def test_one_refused_submits_nothing_and_says_why(desk, plants, cea, maker, key_of):
    place = ask(desk, lines(plants, cea)).location
    step = step_of(desk.get(place).text)
    first = db.session.scalars(select(Application).order_by(Application.id)).first()
    with transaction():
        db.session.execute(
            db.text("UPDATE application SET status = 'withdrawn' WHERE id = :id"), {"id": first.id}
        )

    with nothing_moves():
        answer = desk.post(place, data=signed(key_of(maker), step))

    assert first.number in answer.text
    assert "失败 1 条" in answer.text
    assert statuses() == ["withdrawn", "draft"]
    assert count(Signature) == 0


def test_what_was_changed_meanwhile_is_not_what_was_signed(
    desk, plants, cea, maker, key_of, cluster
):
    place = ask(desk, lines(plants, cea)).location
    step = step_of(desk.get(place).text)
    with cluster.connect("registry") as connection:
        connection.execute("UPDATE application_line SET quantity = 9 WHERE quantity = 700")
    with nothing_moves():
        desk.post(place, data=signed(key_of(maker), step))
    assert (statuses(), count(Signature)) == (["draft", "draft"], 0)


def test_another_officer_does_not_sign_for_the_one_who_was_asked(
    desk, plants, cea, sign_in, key_of
):
    place = ask(desk, lines(plants, cea)).location
    step = step_of(desk.get(place).text)
    other = member("registry_maker")
    sign_in(other).post(place, data=signed(key_of(other), step))
    assert statuses() == ["draft", "draft"]


def test_a_bad_row_is_refused_before_anything_is_signed(desk, plants, cea):
    answer = upload(desk, lines(plants, cea) + f"\r\n1,无,{cea.code},预分配,1")
    assert answer.status_code == 400
    assert (statuses(), count(Challenge)) == ([], 0)


def test_drafts_that_nobody_signed_for_are_found_and_submitted_later(
    desk, plants, cea, maker, key_of
):
    place = ask(desk, lines(plants, cea)).location
    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    home = f"/issuances/import/{batch}"
    assert f'href="{home}"' in desk.get(place).text  # 取消 leads there,
    assert home in desk.get("/issuances/?status=draft").text  # and so does the list.
    page = desk.get(home).text
    assert "草稿" in page
    assert f"{home}/submit" in page

    done = sign(desk, desk.post(f"{home}/submit").location, key_of(maker))

    assert done.location.endswith(home)
    assert statuses() == ["in_review", "in_review"]
    assert f"{home}/submit" not in desk.get(home).text
    again = desk.post(f"{home}/submit", follow_redirects=True)
    assert "没有待提交的申请" in again.text


def test_many_drafts_are_ticked_and_signed_once(desk, plants, cea, maker, key_of):
    upload(desk, lines(plants, cea))
    data = {"action": "submit", "all": "1"}
    asked = desk.post("/issuances/bulk?status=draft", data=data)
    assert "全部提交，或全部不提交" in asked.text
    place = desk.post("/issuances/bulk?status=draft", data=data | {"count": "2"}).location
    sign(desk, place, key_of(maker))
    assert (statuses(), count(Signature)) == (["in_review", "in_review"], 1)
    late = desk.post("/issuances/bulk", data=data | {"count": "2"})
    assert "失败 2 条" in late.text
    assert count(Challenge) == 0


def test_the_same_file_is_imported_again_once_its_drafts_were_withdrawn(
    desk, plants, cea, maker, key_of
):
    upload(desk, lines(plants, cea))
    assert "导入过" in upload(desk, lines(plants, cea)).text
    batch = db.session.scalars(select(Application.import_id).distinct()).one()

    asked = desk.post(f"/issuances/import/{batch}/withdraw")
    gone = sign(desk, asked.location, key_of(maker))

    assert "已撤回 2 条申请" in desk.get(gone.location).text
    assert statuses() == ["withdrawn", "withdrawn"]
    assert upload(desk, lines(plants, cea)).status_code == 302
    assert statuses() == ["withdrawn", "withdrawn", "draft", "draft"]


def test_without_certificates_the_bulk_action_submits_at_once(sign_in, maker, plants, cea):
    desk = sign_in(maker)
    ask(desk, lines(plants, cea))
    assert statuses() == ["in_review", "in_review"]
    for plant in plants:
        typed = {"save": "1", "category": "supplementary", "lines-0-choice": str(cea.id)}
        typed |= {"document_no": "鄂环函〔2026〕7号", "starts_on": "2026-11-18"}
        desk.post(f"/issuances/new?account={plant.id}", data=typed | {"lines-0-quantity": "5"})
    data = {"action": "submit", "all": "1", "count": "2"}

    done = desk.post("/issuances/bulk?status=draft", data=data)

    assert "成功 2 条" in done.text
    assert statuses() == ["in_review"] * 4
    refused = desk.post("/issuances/bulk", data=data | {"count": "4"})
    assert "失败 4 条" in refused.text


@pytest.mark.parametrize("act", ["", "/submit", "/withdraw"])
def test_the_page_of_an_import_is_of_its_kind_and_the_makers_act_on_it(
    desk, plants, cea, sign_in, checker, act
):
    upload(desk, lines(plants, cea))
    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    call = desk.post if act else desk.get
    assert call(f"/account-openings/import/{batch}{act}").status_code == 404
    assert call(f"/issuances/import/{batch + 1}{act}").status_code == 404
    other = sign_in(checker)
    call = other.post if act else other.get
    # Who reviews it sees what it holds.
    assert call(f"/issuances/import/{batch}{act}").status_code == (403 if act else 200)
    assert statuses() == ["draft", "draft"]


def test_an_auditor_verifies_a_signed_import_with_openssl_alone(
    desk, sign_in, checker, maker, key_of, tmp_path
):
    """Also after the account's name has changed; a flipped byte in the manifest fails."""
    plant, cea = account("甲发电有限公司"), instrument()
    sign(desk, ask(desk, lines([plant], cea)).location, key_of(maker))
    made = db.session.scalars(select(Application)).one()
    with transaction():
        db.session.execute(db.update(Account).values(name="新名称").where(Account.id == plant.id))
    review = sign_in(checker)
    place = review.post(f"/reviews/{made.id}/decide", data={"decision": "approve"}).location
    sign(review, place, key_of(checker))
    assert quantity(plant, cea) == 700

    folder = tmp_path / "证据"
    evidence.export(made.number, folder)

    assert verify(folder) == 0
    names = [
        json.loads(path.read_bytes())["account"]["name"]
        for path in sorted(folder.glob("*.application.json"))
    ]
    assert names == ["甲发电有限公司", "新名称"]
    script = folder / "verify.sh"
    kept = [each for each in script.read_text().splitlines() if not each.startswith("same '")]
    script.write_text("\n".join(kept))
    manifest = folder / "01-submit.json"
    whole = manifest.read_bytes()
    for at in range(0, len(whole), 40):
        manifest.write_bytes(signed_acts.flipped(whole, at))
        assert verify(folder) == 1, at
    manifest.write_bytes(whole)
    said = folder / "01-submit.application.json"
    said.write_bytes(said.read_bytes().replace(b'"700"', b'"900"'))
    assert verify(folder) == 1


def test_enterprises_to_be_opened_are_signed_for_as_well(desk, sign_in, checker, maker, key_of):
    rows = [enterprise(n, sector="发电", province="湖北省") for n in (1, 2)]
    place = ask(desk, as_csv(rows), "/account-openings/import").location
    assert "开户" in desk.get(place).text
    done = sign(desk, place, key_of(maker))
    assert "/account-openings/import/" in done.location
    assert statuses() == ["in_review", "in_review"]
    payload = json.loads(db.session.scalars(select(Signature.content)).one())["payload"]
    assert "total" not in payload
    assert "13800000001" not in json.dumps(payload)


def test_an_opening_by_whose_certificate_has_ended_is_sent_back(
    desk, sign_in, checker, maker, key_of, cluster
):
    """Nobody could be certified by it any more, and no second submission would come after approval."""
    table = as_csv([enterprise(1, sector="发电", province="湖北省")])
    sign(desk, ask(desk, table, "/account-openings/import").location, key_of(maker))
    (made,) = db.session.scalars(select(Application.id))
    db.session.rollback()
    with cluster.connect("registry") as connection:
        connection.execute(
            "UPDATE certificate SET state = 'revoked', reason = 'superseded', revoked_at = now()"
            " WHERE member_id = %s",
            [maker.id],
        )
    key_of(checker)
    decided = {"decision": "approve"}
    page = sign_in(checker).post(f"/reviews/{made}/decide", data=decided, follow_redirects=True)
    assert "由经办重新提交" in page.text
    assert statuses() == ["in_review"]


def test_nothing_else_submits():
    """A page that calls the engine to submit is listed here, and asks for the signature first."""
    app = Path(__file__).resolve().parents[3] / "app"
    callers = {
        path.relative_to(app).as_posix()
        for folder in ("views", "operations")
        for path in (app / folder).rglob("*.py")
        # By whatever name the engine goes there, called or handed on.
        if re.search(
            r"\bsubmit(_all|_signed)?\(|\.submit(_all|_signed)?\b|import.*\bsubmit",
            path.read_text("utf-8"),
        )
    }
    assert callers == {
        "operations/applications/deciding.py",  # With the signature that a job was given.
        "operations/applications/desk.py",
        "operations/applications/jobs.py",  # By the function before.
        "views/applications/imports.py",
        "views/compliance/decisions.py",
        "views/issuance/waiting.py",
        "views/applications/signing.py",
        "operations/applications/engine.py",  # The 提交 itself.
        "operations/imports/batches.py",
        "operations/exchange/trading.py",  # The exchange's machine.
        "operations/imports/platform_tables.py",  # The reporting platform's.
        "operations/money/incoming.py",  # What a bank starts.
    }


# Many at once -------------------------------------------------------------------------------


@pytest.fixture
def by_job(monkeypatch):
    monkeypatch.setattr("app.views.applications.signing.JOB_FROM", 1)


def the_job() -> Job:
    db.session.rollback()
    return db.session.scalars(select(Job).order_by(Job.id.desc())).first()


def test_many_are_submitted_by_a_job_which_shows_how_it_went(
    app, by_job, desk, plants, cea, maker, key_of
):
    with nothing_moves():
        started = sign(desk, ask(desk, lines(plants, cea)).location, key_of(maker))
    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    home = f"/issuances/import/{batch}"
    assert started.location == f"/jobs/{the_job().id}"
    page = desk.get(started.location)
    assert page.headers["Refresh"] == "2"
    assert "全部一起提交" in page.text
    assert (statuses(), count(SignatureEvent)) == (["draft", "draft"], 0)
    # Until it is over nobody begins another.
    waiting = desk.get(home).text
    assert started.location in waiting
    assert f"{home}/submit" not in waiting
    assert desk.post(f"{home}/submit").location == started.location

    worker.work_through(app, the_job().id, lambda: False)

    assert (statuses(), count(SignatureEvent)) == (["in_review", "in_review"], 2)
    assert (the_job().state, the_job().done, the_job().failed) == ("done", 2, 0)
    page = desk.get(started.location)
    assert "Refresh" not in page.headers
    assert f'href="{home}"' in page.text
    assert "待审核" in desk.get(home).text
    again = desk.post(f"{home}/submit", follow_redirects=True)
    assert "没有待提交的申请" in again.text


def test_one_that_was_changed_stops_all_of_the_job_s(
    app, by_job, desk, plants, cea, maker, key_of, cluster
):
    started = sign(desk, ask(desk, lines(plants, cea)).location, key_of(maker))
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE application_line SET quantity = 9 WHERE quantity = 700")
    with nothing_moves():
        worker.work_through(app, the_job().id, lambda: False)

    assert (statuses(), count(SignatureEvent)) == (["draft", "draft"], 0)
    assert (the_job().state, the_job().done, the_job().failed) == ("failed", 0, 1)
    page = desk.get(started.location).text
    assert '<span class="tag tag-red">失败</span>' in page
    for shown in ("未提交任何申请", "签名后内容发生变化", "失败 1 条", "甲发电有限公司"):
        assert shown in page, shown
    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    assert f"/issuances/import/{batch}/submit" in desk.get(f"/issuances/import/{batch}").text


def test_one_that_a_rule_refuses_stops_all_of_the_job_s(
    app, by_job, desk, plants, cea, maker, key_of
):
    sign(desk, ask(desk, lines(plants, cea)).location, key_of(maker))
    with transaction():
        db.session.execute(db.update(Application).values(status="withdrawn").where(
            Application.id == select(func.min(Application.id)).scalar_subquery()
        ))  # fmt: skip
    worker.work_through(app, the_job().id, lambda: False)
    assert statuses() == ["withdrawn", "draft"]
    assert (the_job().state, the_job().failed) == ("failed", 1)


def test_a_job_that_was_killed_midway_has_changed_nothing_and_runs_again(
    app, by_job, desk, plants, cea, maker, key_of, cluster
):
    """Its connection is cut when everything is written and nothing committed."""
    sign(desk, ask(desk, lines(plants, cea)).location, key_of(maker))
    job_id = the_job().id

    def cut(*_arguments: object) -> None:
        mine = db.session.scalar(db.text("SELECT pg_backend_pid()"))
        with cluster.connect("registry") as connection:
            connection.execute(f"SELECT pg_terminate_backend({mine}, 10000)")

    event.listen(db.session, "before_commit", cut)
    try:
        with nothing_moves(), pytest.raises(OperationalError):
            worker._advance(job_id)
    finally:
        event.remove(db.session, "before_commit", cut)
    db.session.remove()
    assert (statuses(), count(SignatureEvent)) == (["draft", "draft"], 0)
    assert the_job().state == "queued"

    worker.work_through(app, job_id, lambda: False)
    assert (statuses(), count(SignatureEvent)) == (["in_review", "in_review"], 2)
    assert the_job().state == "done"


def test_a_job_is_its_officer_s_and_cannot_be_stopped_once_it_runs(
    app, by_job, desk, plants, cea, maker, key_of, sign_in
):
    started = sign(desk, ask(desk, lines(plants, cea)).location, key_of(maker))
    batch = db.session.scalars(select(Application.import_id).distinct()).one()
    other = sign_in(member("registry_maker"))
    page = other.get(f"/issuances/import/{batch}").text
    assert maker.username in page
    assert "/jobs/" not in page.partition("<main")[2]
    assert f"/issuances/import/{batch}/submit" not in page
    told = other.post(f"/issuances/import/{batch}/submit", follow_redirects=True)
    assert f"{maker.username} 正在提交这批导入" in told.text

    assert f"{started.location}/abort" in desk.get(started.location).text
    with transaction():
        jobs.begin(the_job().id, now=clock.now())
    assert f"{started.location}/abort" not in desk.get(started.location).text
    refused = desk.post(f"{started.location}/abort", follow_redirects=True)
    assert "作为整体执行" in refused.text
    assert the_job().state == "running"


def test_who_may_no_longer_enter_does_not_submit_by_an_old_job(
    app, by_job, desk, plants, cea, maker, key_of
):
    sign(desk, ask(desk, lines(plants, cea)).location, key_of(maker))
    with transaction():
        set_roles(maker.id, ["registry_checker"], SYSTEM)
    worker.work_through(app, the_job().id, lambda: False)
    assert (statuses(), the_job().state) == (["draft", "draft"], "failed")
    assert "没有此项权限" in the_job().error
