"""The worker process: delivers messages, runs jobs and periodic tasks.

Any number of workers may run; the queue (procrastinate, in PostgreSQL) assigns each task to one of
them.  A dead worker is detected by its missing heartbeat, and its tasks are retried by another.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import procrastinate
from flask import Flask
from flask_babel import gettext as _
from procrastinate import JobContext
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from app import delivery, memory
from app.delivery import banks, ccer
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.operations.accounts.openings import LETTERS_AT_ONCE
from app.operations.accounts.openings import write_letters as write_waiting_letters
from app.operations.applications import jobs, unsubmitted
from app.operations.carry_over import batches
from app.operations.compliance import calendar
from app.operations.people import certificates
from app.operations.pledges import notices as pledge_notices
from app.operations.publicity import publishing
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.operations.sanctions import lapses
from app.operations.settlement import delivery as delivery_of_trades
from app.operations.settlement import large_holdings, proceeds
from app.pki.errors import PkiError
from config import Settings

logger = logging.getLogger(__name__)

CONCURRENCY = 4
HEARTBEAT = 10  # seconds
HEARTBEAT_TIMEOUT = 30  # seconds without a heartbeat after which a worker is presumed dead
REVIVAL = "* * * * * */15"


class StoppedMidway(Exception):
    """The worker was stopped between two chunks; another one continues the job."""


# Temporary failures.
_AGAIN = procrastinate.RetryStrategy(wait=5, retry_exceptions=[OperationalError, StoppedMidway])


@dataclass(frozen=True, slots=True)
class Periodic:
    """A periodic task, run by one worker at a time.

    The sixth field of ``cron``, if any, is seconds; braces name settings.
    """

    name: str
    cron: str
    run: Callable[[Settings], object]


def publish_crl(settings: Settings) -> None:
    """Publish the revocation list where it is due; there is none where nobody has a certificate."""
    if settings.cert_login == "off":
        return
    try:
        with transaction():
            certificates.publish_crl_if_due(SYSTEM, now=datetime.now(UTC))
    except PkiError as error:  # no signing process; retried at the next run
        logger.warning("no revocation list: %s", error.code)


def write_letters(_settings: Settings) -> None:
    """Write the first letters of opened accounts, a few in each transaction."""
    written = LETTERS_AT_ONCE
    while written == LETTERS_AT_ONCE:
        with transaction():
            written = write_waiting_letters(now=datetime.now(UTC))


def sweep_files(_settings: Settings) -> None:
    """Delete the files of forms that were never saved, some in each transaction."""
    swept = unsubmitted.SWEPT_AT_ONCE
    while swept == unsubmitted.SWEPT_AT_ONCE:
        with transaction():
            swept = unsubmitted.sweep(now=clock.now())


def settle_trades(_settings: Settings) -> None:
    """Deliver the trades of approved settlements, some in each transaction, and what follows them."""
    # Earlier days' proceeds first: those of a day that is delivered now wait for the next opening.
    with transaction():
        proceeds.release_if_due(SYSTEM, now=clock.now())
    waiting = list(delivery_of_trades.waiting())
    db.session.rollback()
    for package_id in waiting:
        try:
            _deliver(package_id)
        except OperationalError:
            raise
        except (RuleError, DBAPIError):  # The others go on; this one is tried again.
            logger.exception("package %s cannot be delivered", package_id)
            db.session.rollback()


def find_large_holdings(_settings: Settings) -> None:
    """Look for holdings above their limits once a day is settled."""
    with transaction():
        large_holdings.find_if_due(SYSTEM, now=clock.now())


def carry_out_batches(_settings: Settings) -> None:
    """Carry out approved batches of carry-overs, some applications in each transaction."""
    done: object = True
    while done:
        with transaction():
            done = batches.carry_out_next(SYSTEM, now=clock.now())


def end_court_orders(_settings: Settings) -> None:
    """End judicial freezes whose last day has passed, one account a transaction; remind of those to come."""
    ended: object = True
    while ended:
        with transaction():
            ended = lapses.lapse_next(SYSTEM, now=clock.now())
    reminded = lapses.AT_ONCE
    while reminded == lapses.AT_ONCE:
        with transaction():
            reminded = lapses.remind(SYSTEM, now=clock.now())


def remind_of_dates(_settings: Settings) -> None:
    """Remind who must act of the calendar's dates, once a business day."""
    with transaction():
        calendar.remind_if_due(SYSTEM, now=clock.now())


def tell_of_pledges(_settings: Settings) -> None:
    """Tell holders and pledgees of deadlines and of lost use, some in each transaction."""
    told = pledge_notices.AT_ONCE
    while told == pledge_notices.AT_ONCE:
        with transaction():
            told = pledge_notices.tell(SYSTEM, now=clock.now())


def publish_information(_settings: Settings) -> None:
    """Publish 信息公开 once a business day."""
    with transaction():
        publishing.publish_if_due(SYSTEM, now=clock.now())


def _deliver(package_id: int) -> None:
    step = None
    while step is None or not step.is_over:
        with transaction():
            step = delivery_of_trades.deliver_some(
                package_id, SYSTEM, now=clock.now(), after=step.after if step else 0
            )


PERIODIC = (
    *(
        Periodic(f"deliver_{channel}", "* * * * * */3", partial(delivery.deliver, channel=channel))
        for channel in delivery.CHANNELS
    ),
    Periodic("settle_trades", "* * * * * */5", settle_trades),
    Periodic("remind_of_dates", "* * * * * */20", remind_of_dates),
    Periodic("publish_information", "* * * * * */20", publish_information),
    Periodic("find_large_holdings", "* * * * * */20", find_large_holdings),
    Periodic("end_court_orders", "* * * * * */20", end_court_orders),
    Periodic("tell_of_pledges", "* * * * *", tell_of_pledges),
    Periodic("carry_out_batches", "* * * * * */5", carry_out_batches),
    Periodic("exchange_with_banks", "* * * * * */5", banks.exchange),
    Periodic("exchange_with_ccer_registry", "* * * * * */5", ccer.exchange),
    Periodic("write_letters", "* * * * * */3", write_letters),
    Periodic("publish_crl", "* * * * * */20", publish_crl),
    Periodic("sweep_files", "17 */{sweep_every_hours} * * *", sweep_files),
)


def run(flask_app: Flask, *, parent: int = 0, also: Sequence[Periodic] = ()) -> None:
    """Run until stopped, or until the process ``parent`` ends; ``also`` are further periodic tasks."""
    if parent:
        threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    queue = make_queue(flask_app, also)
    memory.settle()
    queue.run_worker(
        concurrency=CONCURRENCY,
        delete_jobs="successful",
        shutdown_graceful_timeout=2,
        update_heartbeat_interval=HEARTBEAT,
        stalled_worker_timeout=HEARTBEAT_TIMEOUT,
    )


def make_queue(flask_app: Flask, also: Sequence[Periodic] = ()) -> procrastinate.App:
    """Return the queue with its tasks, connected to the application's database."""
    queue = procrastinate.App(connector=_connector(flask_app))
    settings = flask_app.config["SETTINGS"]
    queue.task(name=jobs.TASK, queue=jobs.QUEUE, pass_context=True, retry=_AGAIN)(
        partial(_run_job, flask_app)
    )
    for each in (*PERIODIC, *also):
        # At most one queued and one running, so that a slow server does not pile them up.
        task = queue.task(
            name=each.name, queue="periodic", queueing_lock=each.name, lock=each.name
        )(partial(_run_periodic, flask_app, each))
        queue.periodic(cron=each.cron.format_map(vars(settings)))(task)
    revive = queue.task(name="revive", queue="periodic", queueing_lock="revive", pass_context=True)(
        _requeue_stalled
    )
    queue.periodic(cron=REVIVAL)(revive)
    return queue


def work_through(flask_app: Flask, job_id: int, is_to_stop: Callable[[], bool]) -> None:
    """Run a job to its end, one transaction per chunk."""
    is_over = False
    with flask_app.app_context(), transaction():
        jobs.begin(job_id, now=clock.now())
    while not is_over:
        if is_to_stop():
            raise StoppedMidway
        with flask_app.app_context():
            is_over = _advance(job_id)
            db.session.remove()


def _advance(job_id: int) -> bool:
    try:
        with transaction():
            return jobs.advance(job_id, now=clock.now())
    except RuleError as error:
        with transaction():
            failures = jobs.failures_of(error)
            jobs.fail(job_id, str(error), now=clock.now(), failures=failures)
        return True
    except OperationalError:
        raise  # connection lost or deadlock: the queue retries the chunk
    except BaseException:
        with transaction():
            jobs.fail(job_id, _("Something went wrong on our side"), now=clock.now())
        raise


def _run_job(flask_app: Flask, context: JobContext, job_id: int) -> None:
    work_through(flask_app, job_id, context.should_abort)


def _run_periodic(flask_app: Flask, each: Periodic, timestamp: int) -> None:
    with flask_app.app_context():
        each.run(flask_app.config["SETTINGS"])
        db.session.remove()


async def _requeue_stalled(context: JobContext, timestamp: int) -> None:
    """Requeue the tasks of dead workers."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=HEARTBEAT_TIMEOUT):
        await manager.retry_job(job)


def _connector(flask_app: Flask) -> procrastinate.PsycopgConnector:
    address = make_url(flask_app.config["SETTINGS"].database_url).set(drivername="postgresql")
    arguments = flask_app.config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"]
    return procrastinate.PsycopgConnector(
        conninfo=address.render_as_string(hide_password=False),
        kwargs={**arguments, "application_name": "registry worker"},
        min_size=1,
        max_size=CONCURRENCY,
    )


def _end_with_parent(parent: int) -> None:
    """End when the parent process has ended, even where it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    os._exit(1)
