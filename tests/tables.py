"""The tables that tests write to: emptied after each test, or restored where that is faster."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from app.extensions import transaction
from app.installation import reference
from app.operations.records import calendar

# What installing writes, and tests leave alone.
INSTALLED = {
    "alembic_version",
    "trading_day",
    "sector",
    "category",
    "city",
    "ministry_date",
    "report_sheet",
    "report_column",
    "reference_version",
    "posting_route",
    "untied_business",
    "ab_role",
    "ab_permission",
    "ab_view_menu",
    "ab_permission_view",
    "ab_permission_view_role",
}


class Tables:
    """A registry's tables; a superuser bypasses the append-only triggers."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.times_emptied = 0
        connection.execute("SET session_replication_role = replica")
        found = connection.execute(
            """
            SELECT format('%%I.%%I', table_schema, table_name),
                   string_agg(quote_ident(column_name), ', ') FILTER (WHERE is_generated = 'NEVER')
              FROM information_schema.columns JOIN information_schema.tables
                   USING (table_schema, table_name)
             WHERE table_schema IN ('public', 'job_queue') AND table_type = 'BASE TABLE'
               AND table_name <> ALL(%s)
             GROUP BY table_schema, table_name
            """,
            [list(INSTALLED)],
        )
        self.columns: dict[str, str] = dict(found.fetchall())
        # Small tables: deleting is quicker than truncating, and needs no order among them.
        kept = {  # What was installed stays.
            "public.plan": f" WHERE id > {self._installed_plans()}",
            "public.account": " WHERE kind <> 'province'",
            "public.class_rule": " WHERE application_id IS NOT NULL",
        }
        deletes = "".join(
            f"IF EXISTS (SELECT FROM {rows}) THEN DELETE FROM {rows}; END IF;"
            for rows in (name + kept.get(name, "") for name in self.columns)
        )
        changed = "".join(
            f"DELETE FROM {name} WHERE version > 0; edited := edited OR found;"
            for name in (
                "report_column",
                "report_sheet",
                "sector",
                "category",
                "city",
                "ministry_date",
            )
        )
        connection.execute(
            f"""
            CREATE FUNCTION pg_temp.empty() RETURNS boolean LANGUAGE plpgsql AS $$
            DECLARE edited boolean;
            BEGIN
              {deletes}
              INSERT INTO account (id, member_no, name, kind, holder_class)
                   VALUES (1, '00000000001', '全国碳排放权配额发放账户', 'registry', 'state'),
                          (2, '00000000002', '结算费用账户', 'registry', 'state'),
                          (3, '00000000003', '结算风险准备金账户', 'registry', 'state'),
                          (9, '00000000009', '无承继主体配额代管账户', 'registry', 'state');
              DELETE FROM trading_day WHERE changed_by IS NOT NULL;
              edited := found;
              {changed}
              RETURN edited;
            END $$
            """
        )

    def _installed_plans(self) -> int:
        (last,) = self.connection.execute("SELECT coalesce(max(id), 0) FROM plan").fetchone() or (
            0,
        )
        return int(last)

    def empty(self) -> None:
        """Empty them in one round trip; now and then give back what the deleted rows took."""
        self.times_emptied += 1
        if self.times_emptied % 500 == 0:
            self.connection.execute("VACUUM")
        (edited,) = self.connection.execute("SELECT pg_temp.empty()").fetchone() or (True,)
        if edited:
            with transaction():
                calendar.seed()
                reference.seed()

    def keep(self, name: str = "kept", *, empties: bool = False) -> Callable[[], None]:
        """Snapshot the tables under a name; return a function that restores them and the clock.

        A later snapshot of the same name takes its place.  With ``empties`` restoring also empties
        those that are empty now.
        """
        (moment,) = self.connection.execute("SELECT clock_timestamp()").fetchone() or ("",)
        parts = []
        for number, (table, columns) in enumerate(self.columns.items()):
            kept = f"pg_temp.{name}_{number}"
            self.connection.execute(f"DROP TABLE IF EXISTS {kept}")
            done = self.connection.execute(f"CREATE TEMP TABLE {name}_{number} AS TABLE {table}")
            if empties and not done.rowcount:
                parts.append(f"DELETE FROM {table}")
            if done.rowcount:
                parts.append(
                    f"DELETE FROM {table}; INSERT INTO {table} ({columns})"
                    f" OVERRIDING SYSTEM VALUE SELECT {columns} FROM {kept}"
                )
        parts.append(f"UPDATE business_clock SET ahead = ahead - (clock_timestamp() - '{moment}')")

        def put_back() -> None:
            self.connection.execute("; ".join(parts))

        return put_back
