"""The people and browsers of tests/security serve here, too."""

from tests.security.conftest import (  # noqa: F401 - fixtures are found by their names
    browser,
    count,
    execute,
    member_of,
    new_browser,
    people,
    said,
    with_captcha,
)
