"""Through a pooler whose clients share a connection: what one was is nothing to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from playhead.postgres.database import Database
from playhead.postgres.migrator import migrate
from playhead.postgres.pipeline.recordings import Recordings
from tests.support import factories, poolers
from tests.support.factories import Worker
from tests.support.tenant_data import ORGS

pytestmark = pytest.mark.skipif(poolers.program() is None, reason="pgbouncer is not installed")


@pytest.fixture
def direct(fresh_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(fresh_database())
    yield database
    database.close()


@pytest.fixture
def clients(direct: Database) -> Iterator[list[Database]]:
    """Processes of their own, as far as the pooler can tell."""
    with poolers.pooled(direct.url.partition("&application_name")[0]) as url:
        clients = [Database(url) for _ in range(4)]
        yield clients
        for client in clients:
            client.close()


def test_clients_in_a_hurry_never_see_each_others_rows(
    direct: Database, clients: list[Database]
) -> None:
    worker = Worker(direct)
    for org in ORGS[:4]:
        worker.take_through(factories.registered(direct, org_id=org, title=org))
    seen: list[tuple[str, str]] = []

    def look(client: Database, org: str) -> None:
        recordings = Recordings(client)
        for _ in range(30):
            seen.extend((org, status.title) for status in recordings.statuses(org))

    threads = [
        threading.Thread(target=look, args=one) for one in zip(clients, ORGS[:4], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert all(org == title for org, title in seen)
    worker.ledger.close()


def test_a_client_that_is_lost_in_the_middle_leaves_the_next_no_organisation(
    direct: Database, clients: list[Database]
) -> None:
    factories.registered(direct, org_id=ORGS[0])
    one, other, *_ = clients
    with one.as_role(ORGS[0], "playhead_app").transaction() as connection:
        connection.execute("select 1")
        connection.pgconn.finish()  # as a process that is killed
        [row] = other.rows(b"select current_org() as org, current_user::text as who")
    assert (row["org"], row["who"]) == (None, "postgres")


def test_nothing_is_prepared_on_a_connection_that_others_have_next(
    clients: list[Database], direct: Database
) -> None:
    for _ in range(10):  # psycopg prepares what it has sent five times
        for client in clients:
            assert client.rows(b"select %(one)s::integer as one", one=1) == [{"one": 1}]
    with direct.connection() as connection:
        assert connection.prepare_threshold is not None


def test_a_setting_outside_a_transaction_would_have_leaked(clients: list[Database]) -> None:
    """So that the tests above are known to share one connection."""
    one, other, *_ = clients
    with one.connection() as connection:
        connection.execute("select set_config('playhead.org', 'org-07', false)")
    with other.connection() as connection:
        [row] = connection.execute("select current_org() as org").fetchall()
    assert row["org"] == "org-07"


def test_who_migrates_leaves_no_lock_with_the_pooler(
    direct: Database, clients: list[Database]
) -> None:
    migrate(clients[0].url)
    held = direct.rows(
        b"select 1 from pg_locks where locktype = 'advisory' and database ="
        b" (select oid from pg_database where datname = current_database())"
    )
    assert not held
