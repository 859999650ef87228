"""Attachments: accepted files, ownership, and when they can be removed."""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest
from pypdf import PdfWriter
from pypdf.generic import NameObject, StreamObject
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


def bomb() -> bytes:
    buffer = io.BytesIO(files.docx())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/media/x", b"0" * 30_000_000)
    return buffer.getvalue()


TYPE, MISMATCH, MACROS = "file_type", "file_mismatch", "file_macros"
LINK, EMBEDDED = "file_external", "file_embedded"
SCRIPT = b"9 0 << /S /JavaScript /JS (app.alert(1)) >>"
SPACES = zlib.compress(b" " * 80_000_000)
FLATE = {"filters": b"/Filter /FlateDecode", "packed": zlib.compress(SCRIPT)}


def in_hex(data: bytes) -> dict[str, bytes]:
    return {
        "filters": b"/Filter [/ASCII#48exDecode /FlateDecode]",
        "packed": data.hex().encode() + b">",
    }


def predicted(data: bytes) -> dict[str, bytes]:
    """Each byte as its difference to the one before, as PNG's Sub has it."""
    row = bytes((each - before) % 256 for each, before in zip(data, b"\0" + data, strict=False))
    parameters = b"/DecodeParms << /Predictor 11 /Columns %d >>" % len(data)
    return {
        "filters": b"/Filter /FlateDecode " + parameters,
        "packed": zlib.compress(b"\1" + row),
    }


def behind_a_reference(data: bytes) -> dict[str, bytes]:
    """The filter is another object, which the file's table does not list."""
    return {
        "filters": b"/Filter 4 0 R",
        "packed": zlib.compress(data),
        "before": b"4 0 obj /FlateDecode endobj\n",
    }


def encrypted(data: bytes, password: str = "") -> bytes:
    """A PDF that opens without a password, or with one, its stream of objects encrypted, too."""
    objects = StreamObject()
    objects.set_data(data)
    objects[NameObject("/Type")] = NameObject("/ObjStm")
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer._add_object(objects.flate_encode())
    writer.encrypt(password, "owner", algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Many streams that end at one place."""
    begins = b"9 0 obj << /First 4 >> stream\n" * 500
    return files.pdf_with(before=begins + b"0" * 1_000_000)


def twice() -> bytes:
    """A document that another program reads differently."""
    buffer = io.BytesIO(files.docx())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("Word/Document.xml", "y")
    return buffer.getvalue()


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
        ("对象流.pdf", files.pdf_with(b"9 0 << /S /URI >>"), attachments.PDF),
        ("加密.pdf", encrypted(b"9 0 << /S /URI >>"), attachments.PDF),
        ("网址.docx", files.linked("hyperlink", "http://a.example/", "External"), attachments.DOCX),
        ("图.docx", files.linked("image", "media/1.png"), attachments.DOCX),
    ],
)
def test_the_media_type_follows_the_content(name, content, media_type):
    found = attachments.look_at(name, content)

    assert (found.name, found.media_type) == (name, media_type)


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
        ("十六进制.pdf", files.pdf("<< /S /J#61va#53cript /JS (app.alert(1)) >>"), MACROS),
        ("打开程序.pdf", files.pdf("<< /S /#4caunch /F (calc.exe) >>"), MACROS),
        ("表单.pdf", files.pdf("<< /X#46A [ (config) 7 0 R ] >>"), MACROS),
        ("对象流.pdf", files.pdf_with(SCRIPT, **FLATE), MACROS),
        ("对象流二.pdf", files.pdf_with(SCRIPT, marks=b"/Type /Obj#53tm", **FLATE), MACROS),
        ("无类型.pdf", files.pdf_with(SCRIPT, marks=b"", **FLATE), MACROS),
        ("两层.pdf", files.pdf_with(**in_hex(zlib.compress(SCRIPT))), MACROS),
        ("预测.pdf", files.pdf_with(**predicted(SCRIPT)), MACROS),
        ("间接.pdf", files.pdf_with(**behind_a_reference(SCRIPT)), MACROS),
        ("加密.pdf", encrypted(SCRIPT), MACROS),
        ("有密码.pdf", encrypted(b"", password="secret"), "file_encrypted"),
        (
            "坏流.pdf",
            files.pdf_with(filters=b"/Filter /FlateDecode", packed=b"x" * 50),
            "file_broken",
        ),
        ("不明.pdf", files.pdf_with(filters=b"/Filter /Unknown", packed=b"12345"), "file_broken"),
        ("坏字典.pdf", files.pdf_with(marks=b"/X >> /Type /ObjStm", **FLATE), "file_broken"),
        ("炸弹.pdf", files.pdf_with(filters=FLATE["filters"], packed=SPACES), "file_bomb"),
        ("重叠.pdf", overlapping(), "file_bomb"),
        ("炸弹.docx", bomb(), "file_bomb"),
        (
            "模板.docx",
            files.linked("attachedTemplate", "http://a.example/t.dotm", "External"),
            LINK,
        ),
        ("模板二.docx", files.linked("attachedTemplate", "media/t.dotm"), LINK),
        ("图片.docx", files.linked("image", "\\\\a.example\\x.png", "External"), LINK),
        ("外链.docx", files.linked("image", "file:///x", "External", encoding="utf-16"), LINK),
        (
            "表.xlsx",
            files.linked("externalLinkPath", "b.xlsx", "External", whole=files.xlsx()),
            LINK,
        ),
        ("对象.docx", files.linked("oleObject", "media/x.bin"), EMBEDDED),
        ("包.docx", files.linked("package", "media/x.xlsx"), EMBEDDED),
        ("块.docx", files.linked("aFChunk", "x.html"), EMBEDDED),
        ("嵌入.docx", files.docx(word_embeddings_oleObject1__bin="x"), EMBEDDED),
        ("嵌入二.docx", files.docx(**{"word_%65mbeddings_x__bin": "x"}), EMBEDDED),
        ("链接.xlsx", files.docx(xl_externalLinks_externalLink1__xml="x"), EMBEDDED),
        ("宏二.docx", files.linked("vbaProject", "media/x"), MACROS),
        ("控件.docx", files.linked("control", "media/x.xml"), MACROS),
        ("坏关系.docx", files.docx(word_x__rels="<a"), "file_broken"),
        ("大关系.docx", files.docx(word_x__rels="<a/>" + " " * 5_300_000), "file_bomb"),
        ("重名.docx", twice(), "file_broken"),
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
