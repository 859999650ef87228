"""Write docs/permissions.md, the sheet of roles and permissions; `--check` only compares.

Generated from the registered pages (app/security/permission_sheet.py), in Chinese, without a
database.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "permissions.md"
sys.path.insert(0, str(ROOT))

# Required settings; no connection is made.
ENVIRONMENT = {
    "APP_PROFILE": "test",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
    "SECRET_KEY": "0" * 40,
    "PERSONAL_DATA_KEY": f"none:{'0' * 64},index:{'0' * 64}",
}
HEAD = """# 权限表

本表由 `tools/permissions.py` 根据系统页面自动生成，请勿手工修改。
“✓”表示该角色拥有此权限；各角色只能处理本单位、本省或全国范围内的数据。
"""


def main() -> None:
    """Write the sheet, or with --check exit with 1 where the file differs."""
    text = written()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        print(f"wrote {TARGET.relative_to(ROOT)}")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("docs/permissions.md is old: run tools/permissions.py")


def written() -> str:
    """Return the sheet as Markdown, one table per menu."""
    from flask_babel import force_locale

    import config
    from app.security.permission_sheet import sheet
    from app.views.administration.permissions import cells, header
    from app.web import create_app

    app = create_app(config.load(ENVIRONMENT))
    with app.test_request_context(), force_locale("zh"):
        parts, menu = [HEAD], None
        titles = header()
        for line in sheet():
            if line.menu != menu:
                menu = line.menu
                parts += [f"\n## {menu or '不在菜单中的页面'}\n", row([*titles, "地址"])]
                parts += [row(["---"] * (len(titles) + 1))]
            addresses = "<br>".join(f"`{method} {rule}`" for method, rule in line.addresses)
            parts += [row([*cells(line), addresses])]
    return "\n".join(parts) + "\n"


def row(texts: list[str]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


if __name__ == "__main__":
    main()
