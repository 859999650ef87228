"""The form of our commands: Chinese help, and refusals in a sentence instead of a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import IO, Any

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _
from sqlalchemy.exc import DBAPIError

from app.domain.errors import RuleError
from app.models.encrypted import PersonalDataUnreadable
from config import ConfigurationError

_NO_TABLE = "42P01"


class Refused(click.ClickException):
    """A command was refused; exits with 1."""

    def __init__(self, message: str, usage: str = "") -> None:
        super().__init__(message)
        # Put together here: it is shown after the application context, which knows the language.
        self.shown = "\n".join(filter(None, (_("Error: %(message)s", message=message), usage)))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.shown, file=file, err=file is None)


class Misused(Refused):
    """A command was called with wrong arguments; exits with 2."""

    exit_code = 2


class Option(click.Option):
    """An option whose help is translated when it is shown."""

    def __init__(self, *names: Any, help: Any = "", **more: Any) -> None:
        super().__init__(*names, **more)
        self.help = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0], str(record[1]))


class Command(click.Command):
    """A command with its help, usage and misuse in our language."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        more.setdefault("options_metavar", "[选项]")
        super().__init__(*arguments, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise Misused(_misuse(error, ctx), self.get_usage(ctx)) from error

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        pieces = " ".join(self.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, pieces, prefix=_("Usage: "))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = [each.get_help_record(ctx) for each in self.get_params(ctx)]
        with formatter.section(_("Options")):
            formatter.write_dl([each for each in records if each])

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = _("Show this message.")
        return option


def command(name: str, help: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command with an application context, that reports refusals."""

    def declared(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def reporting(*args: Any, **kwargs: Any) -> Any:
            with refusals():
                return function(*args, **kwargs)

        return click.command(name, cls=Command, help=help)(with_appcontext(reporting))

    return declared


def option(*names: str, help: Any = "", **more: Any) -> Callable[[Any], Any]:
    """Declare an option of a command."""
    return click.option(*names, cls=Option, help=help, **more)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what may go wrong in any command into its message."""
    try:
        yield
    except (RuleError, ConfigurationError, PersonalDataUnreadable) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        path, reason = error.filename or "", error.strerror or str(error)
        raise Refused(
            _("%(path)s cannot be read or written: %(reason)s", path=path, reason=reason)
        ) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") == _NO_TABLE:
            raise Refused(_("The database is empty: run flask init first")) from error
        if not error.connection_invalidated and getattr(error.orig, "sqlstate", None):
            raise
        reason = str(error.orig).strip().partition("\n")[0]
        raise Refused(_("The database does not answer: %(reason)s", reason=reason)) from error


def _misuse(error: click.UsageError, ctx: click.Context) -> str:
    """Return the message of click's error in our language."""
    if isinstance(error, click.NoSuchOption):
        return _("There is no option %(name)s", name=error.option_name)
    if isinstance(error, click.BadOptionUsage):
        return _("Option %(name)s is not complete", name=error.option_name)
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.get_error_hint(ctx)
        if isinstance(error, click.MissingParameter):
            return _("%(name)s is missing", name=name)
        if isinstance(error.param.type, click.File):
            return _("%(name)s names a file that cannot be read", name=name)
        if isinstance(error.param.type, click.Choice):
            offered = "、".join(map(str, error.param.type.choices))
            return _("%(name)s is one of: %(offered)s", name=name, offered=offered)
        return _("%(name)s is not understood", name=name)
    return _("There are more arguments than the command takes")
