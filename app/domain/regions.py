"""The 32 provincial authorities by code (GB/T 2260; 66 is the Xinjiang corps)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.texts import folded

PROVINCES: Mapping[str, Any] = {
    "11": _("Beijing"),
    "12": _("Tianjin"),
    "13": _("Hebei"),
    "14": _("Shanxi"),
    "15": _("Inner Mongolia"),
    "21": _("Liaoning"),
    "22": _("Jilin"),
    "23": _("Heilongjiang"),
    "31": _("Shanghai"),
    "32": _("Jiangsu"),
    "33": _("Zhejiang"),
    "34": _("Anhui"),
    "35": _("Fujian"),
    "36": _("Jiangxi"),
    "37": _("Shandong"),
    "41": _("Henan"),
    "42": _("Hubei"),
    "43": _("Hunan"),
    "44": _("Guangdong"),
    "45": _("Guangxi"),
    "46": _("Hainan"),
    "50": _("Chongqing"),
    "51": _("Sichuan"),
    "52": _("Guizhou"),
    "53": _("Yunnan"),
    "54": _("Tibet"),
    "61": _("Shaanxi"),
    "62": _("Gansu"),
    "63": _("Qinghai"),
    "64": _("Ningxia"),
    "65": _("Xinjiang"),
    "66": _("Xinjiang Production and Construction Corps"),
}

# The full names; imported tables use either.
FULL_NAMES: Mapping[str, str] = {
    "11": "北京市", "12": "天津市", "13": "河北省", "14": "山西省", "15": "内蒙古自治区",
    "21": "辽宁省", "22": "吉林省", "23": "黑龙江省", "31": "上海市", "32": "江苏省", "33": "浙江省",
    "34": "安徽省", "35": "福建省", "36": "江西省", "37": "山东省", "41": "河南省", "42": "湖北省",
    "43": "湖南省", "44": "广东省", "45": "广西壮族自治区", "46": "海南省", "50": "重庆市",
    "51": "四川省", "52": "贵州省", "53": "云南省", "54": "西藏自治区", "61": "陕西省", "62": "甘肃省",
    "63": "青海省", "64": "宁夏回族自治区", "65": "新疆维吾尔自治区", "66": "新疆生产建设兵团",
}  # fmt: skip
_ALSO = {"兵团": "66", "新疆兵团": "66", "新疆建设兵团": "66"}


def province_of(typed: str) -> str:
    """Return the code of a province by its code, short or full name; "" where there is none."""
    plain = folded(typed)
    if plain in PROVINCES:
        return plain
    named = {str(title): code for code, title in PROVINCES.items()}
    named |= {name: code for code, name in FULL_NAMES.items()} | _ALSO
    return named.get(plain, "") or {folded(name): code for name, code in named.items()}.get(
        plain, ""
    )


def offered() -> str:
    """Return all provinces by short and full name, for the message about an unknown one."""
    return "、".join(
        f"{title}（{FULL_NAMES[code]}）" if code != "66" else f"兵团（{FULL_NAMES[code]}）"
        for code, title in PROVINCES.items()
    )
