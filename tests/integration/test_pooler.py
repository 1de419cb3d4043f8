"""A connection pooler whose clients share a connection: no state reaches the next client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from playhead.postgres.database import Database
from playhead.postgres.migrator import migrate
from playhead.postgres.pipeline.recordings import Recordings
from tests.support import factories, poolers
from tests.support.factories import PipelineDriver
from tests.support.tenant_data import ORGS

pytestmark = pytest.mark.skipif(
    poolers.find_pgbouncer() is None, reason="pgbouncer is not installed"
)


@pytest.fixture
def direct(fresh_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(fresh_database())
    yield database
    database.close()


@pytest.fixture
def clients(direct: Database) -> Iterator[list[Database]]:
    """Yield clients that the pooler sees as separate processes."""
    with poolers.run_pooler(direct.url.partition("&application_name")[0]) as url:
        clients = [Database(url) for _ in range(4)]
        yield clients
        for client in clients:
            client.close()


def test_pooled_clients_never_see_each_others_rows(
    direct: Database, clients: list[Database]
) -> None:
    worker = PipelineDriver(direct)
    for org in ORGS[:4]:
        worker.run_all_stages(factories.add_recording(direct, org_id=org, title=org))
    seen: list[tuple[str, str]] = []

    def list_titles(client: Database, org: str) -> None:
        recordings = Recordings(client)
        for _ in range(30):
            seen.extend((org, status.title) for status in recordings.statuses(org))

    threads = [
        threading.Thread(target=list_titles, args=pair)
        for pair in zip(clients, ORGS[:4], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert all(org == title for org, title in seen)
    worker.results.close()


def test_lost_pooled_client_leaves_no_organisation_behind(
    direct: Database, clients: list[Database]
) -> None:
    factories.add_recording(direct, org_id=ORGS[0])
    client, other, *_ = clients
    with client.as_role(ORGS[0], "playhead_app").transaction() as connection:
        connection.execute("select 1")
        connection.pgconn.finish()  # like a killed process
        [row] = other.rows(b"select current_org() as org, current_user::text as who")
    assert (row["org"], row["who"]) == (None, "postgres")


def test_pooled_connection_has_no_prepared_statements(
    clients: list[Database], direct: Database
) -> None:
    for _ in range(10):  # psycopg prepares what it has sent five times
        for client in clients:
            assert client.rows(b"select %(number)s::integer as number", number=1) == [{"number": 1}]
    with direct.connection() as connection:
        assert connection.prepare_threshold is not None


def test_pooled_clients_share_one_connection(clients: list[Database]) -> None:
    """Show that a setting outside a transaction would leak, so that the tests above prove
    something."""
    client, other, *_ = clients
    with client.connection() as connection:
        connection.execute("select set_config('playhead.org', 'org-07', false)")
    with other.connection() as connection:
        [row] = connection.execute("select current_org() as org").fetchall()
    assert row["org"] == "org-07"


def test_migration_through_a_pooler_leaves_no_lock(
    direct: Database, clients: list[Database]
) -> None:
    migrate(clients[0].url)
    locks = direct.rows(
        b"select 1 from pg_locks where locktype = 'advisory' and database ="
        b" (select oid from pg_database where datname = current_database())"
    )
    assert not locks
