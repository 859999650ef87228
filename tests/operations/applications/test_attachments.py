"""Attachments: accepted files, ownership, and when they can be removed."""

from __future__ import annotations

import io
import zipfile

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db, transaction
from app.models import Attachment, OperationLog
from app.operations.applications import attachments, engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories, files

CANCELLATION = "voluntary_cancellation"
KEY = "form-0123456789"


@pytest.fixture
def draft(operator, cea):
    return factories.draft(CANCELLATION, operator, {cea: 1}, reason="碳中和")


@pytest.fixture
def actor(operator):
    return Actor.of(operator)


def upload(name: str = "营业执照.pdf", content: bytes | None = None) -> attachments.Upload:
    return attachments.look_at(name, files.pdf() if content is None else content)


def change(application_id, actor, *names, **more):
    with transaction():
        attachments.change(
            application_id, actor, now=clock.now(), add=[upload(name) for name in names], **more
        )


def names(application_id) -> list[str]:
    db.session.rollback()
    return [each.name for each in attachments.of_application(application_id)]


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("营业执照.pdf", files.pdf(), attachments.PDF),
        ("章.PNG", files.image(), attachments.PNG),
        ("照片.jpg", files.image("JPEG"), attachments.JPEG),
        ("照片.jpeg", files.image("JPEG"), attachments.JPEG),
        ("说明.docx", files.docx(), attachments.DOCX),
        ("清单.xlsx", files.xlsx(), attachments.XLSX),
        ("公文.ofd", files.ofd(), attachments.OFD),
    ],
)
def test_the_media_type_follows_the_content(name, content, media_type):
    found = attachments.look_at(name, content)

    assert (found.name, found.media_type) == (name, media_type)


def bomb() -> bytes:
    buffer = io.BytesIO(files.docx())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/media/x", b"0" * 30_000_000)
    return buffer.getvalue()


TYPE, MISMATCH, MACROS = "file_type", "file_mismatch", "file_macros"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("空.pdf", b"", "file_empty"),
        ("大.pdf", b"%PDF-" + b"0" * attachments.LARGEST, "file_too_large"),
        ("程序.exe", b"MZ\x90\x00" + b"0" * 100, TYPE),
        ("程序.pdf", b"MZ\x90\x00" + b"0" * 100, MISMATCH),
        ("图.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", TYPE),
        ("图.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", MISMATCH),
        ("页.html", b"<html><script>", TYPE),
        ("页.pdf", b"<html><script>", MISMATCH),
        ("文.pdf", "文字".encode(), MISMATCH),
        ("照片.png", files.image("JPEG"), MISMATCH),
        ("表.docx", files.xlsx(), MISMATCH),
        ("表.xlsm", files.xlsx(), TYPE),
        ("包.docx", files.archive(a__txt="x"), MISMATCH),
        ("旧.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", TYPE),
        ("营业执照.pdf.exe", files.pdf(), TYPE),
        ("无扩展名", files.pdf(), TYPE),
        ("断.pdf", files.pdf()[:20], "file_broken"),
        ("断.png", files.image()[:60], "file_broken"),
        ("断.docx", files.docx()[:-40], "file_broken"),
        ("宏.docx", files.docx(word_vbaProject__bin="x"), MACROS),
        ("宏.xlsx", files.docx(xl_macrosheets_sheet1__xml="x"), MACROS),
        ("藏.docx", files.docx(word_embeddings_evil__exe="x"), MACROS),
        ("脚本.pdf", files.pdf("<< /S /JavaScript /JS (app.alert(1)) >>"), MACROS),
        ("炸弹.docx", bomb(), "file_bomb"),
    ],
)
def test_other_files_are_refused_by_name(name, content, code):
    with pytest.raises(RuleError) as refusal:
        attachments.look_at(name, content)

    assert refusal.value.code == code
    assert refusal.value.field == "attachments"
    assert str(refusal.value).startswith(name)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/营业执照.pdf", "营业执照.pdf"),
        ("C:\\文件\\营业执照.pdf", "营业执照.pdf"),
        ("执照\u202efdp.pdf", "执照fdp.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "aSet-Cookie: x.pdf"),
        ("长" * 300 + ".pdf", "长" * 196 + ".pdf"),
    ],
)
def test_deceptive_characters_are_removed_from_file_names(given, kept):
    assert upload(given).name == kept


def test_files_of_a_draft_are_added_and_removed(draft, actor):
    change(draft, actor, "一.pdf", "二.pdf")
    first = attachments.of_application(draft)[0]
    change(draft, actor, "三.pdf", remove=[first.id])

    assert names(draft) == ["二.pdf", "三.pdf"]
    logged = db.session.scalars(
        select(OperationLog)
        .where(OperationLog.action.like("attachment.%"))
        .order_by(OperationLog.id)
    )
    assert [(each.action, each.detail["name"]) for each in logged] == [
        ("attachment.add", "一.pdf"),
        ("attachment.add", "二.pdf"),
        ("attachment.remove", "一.pdf"),
        ("attachment.add", "三.pdf"),
    ]


def test_submitted_files_stay_until_the_application_is_returned(draft, actor, app):
    change(draft, actor, "一.pdf")
    (kept,) = attachments.of_application(draft)
    with transaction():
        engine.submit([draft], actor, now=clock.now()).one()

    for more in ({"remove": [kept.id]}, {}):
        with pytest.raises(NotAllowed):
            change(draft, actor, *([] if more else ["二.pdf"]), **more)
    assert names(draft) == ["一.pdf"]

    officer = Actor.of(factories.member("registry_maker"))
    with transaction():
        engine.send_back([draft], officer, now=clock.now(), comment="补充").one()
    change(draft, actor, "二.pdf", remove=[kept.id])
    assert names(draft) == ["二.pdf"]


def test_the_database_keeps_them_too(draft, actor):
    change(draft, actor, "一.pdf")
    with transaction():
        engine.submit([draft], actor, now=clock.now()).one()

    for statement in (
        "DELETE FROM attachment",
        "UPDATE attachment SET request_key = 'x'",
        "UPDATE attachment SET application_id = NULL, request_key = 'x'",
    ):
        with pytest.raises(DBAPIError, match="submitted application do not change"), transaction():
            db.session.execute(text(statement))
    with pytest.raises(DBAPIError, match="permission denied"), transaction():
        db.session.execute(text("UPDATE attachment SET content = 'x', size = 1"))


def test_nobody_else_changes_them(draft, actor, app):
    stranger = factories.account("乙水泥有限公司", "31")
    with pytest.raises(NotFound):
        change(draft, Actor.of(factories.member(of=stranger)), "一.pdf")
    for officer in (
        factories.member("registry_maker"),
        factories.member("province", province="42"),
    ):
        with pytest.raises(NotAllowed):
            change(draft, Actor.of(officer), "一.pdf")
    assert names(draft) == []


def test_a_file_of_another_application_is_not_removed(draft, operator, actor, cea):
    other = factories.draft(CANCELLATION, operator, {cea: 1}, reason="碳中和")
    change(other, actor, "一.pdf")
    change(draft, actor, remove=[attachments.of_application(other)[0].id])

    assert names(other) == ["一.pdf"]


def test_an_application_has_twenty_and_no_more(draft, actor):
    change(draft, actor, *[f"{number}.pdf" for number in range(20)])
    with pytest.raises(RuleError, match="At most 20"):
        change(draft, actor, "二十一.pdf")

    assert len(names(draft)) == 20


def test_files_wait_for_the_application_that_their_form_makes(draft, operator, actor):
    other = factories.member(of=operator.account)
    with transaction():
        attachments.keep([upload()], KEY, operator.account_id, actor, now=clock.now())
    assert [each.name for each in attachments.of_form(KEY, actor)] == ["营业执照.pdf"]
    assert attachments.of_form(KEY, Actor.of(other)) == []
    assert attachments.of_form("another-key", actor) == []

    change(draft, Actor.of(other), request_key=KEY)  # A key of somebody else's form brings nothing.
    assert names(draft) == []
    change(draft, actor, "二.pdf", request_key=KEY)
    assert names(draft) == ["营业执照.pdf", "二.pdf"]
    assert attachments.of_form(KEY, actor) == []


def test_files_that_wait_can_be_dropped_by_whoever_chose_them(operator, actor):
    with transaction():
        attachments.keep([upload()], KEY, operator.account_id, actor, now=clock.now())
    (kept,) = attachments.of_form(KEY, actor)
    with transaction():
        attachments.drop([kept.id], KEY, Actor.of(factories.member(of=operator.account)))
    assert len(attachments.of_form(KEY, actor)) == 1
    with transaction():
        attachments.drop([kept.id], KEY, actor)
    assert db.session.scalar(select(func.count(Attachment.id))) == 0


def test_a_file_damaged_in_storage_is_not_handed_out(draft, actor, cluster):
    change(draft, actor, "一.pdf")
    (kept,) = attachments.of_application(draft)
    assert attachments.read(kept.id).content == files.pdf()
    with cluster.connect("registry") as connection:
        connection.execute("UPDATE attachment SET content = overlay(content PLACING 'X' FROM 9)")
    db.session.rollback()

    with pytest.raises(RuleError, match="damaged in storage"):
        attachments.read(kept.id)
