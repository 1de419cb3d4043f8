"""Through a pooler whose clients share a connection: what one was is nothing to the next."""

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
    """Processes of their own, as far as the pooler can tell."""
    with poolers.run_pooler(direct.url.partition("&application_name")[0]) as url:
        clients = [Database(url) for _ in range(4)]
        yield clients
        for client in clients:
            client.close()


def test_clients_in_a_hurry_never_see_each_others_rows(
    direct: Database, clients: list[Database]
) -> None:
    worker = PipelineDriver(direct)
    for org in ORGS[:4]:
        worker.run_all_stages(factories.add_recording(direct, org_id=org, title=org))
    seen: list[tuple[str, str]] = []

    def look(client: Database, org: str) -> None:
        recordings = Recordings(client)
        for _ in range(30):
            seen.extend((org, status.title) for status in recordings.statuses(org))

    threads = [
        threading.Thread(target=look, args=pair) for pair in zip(clients, ORGS[:4], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert all(org == title for org, title in seen)
    worker.results.close()


def test_a_client_that_is_lost_in_the_middle_leaves_the_next_no_organisation(
    direct: Database, clients: list[Database]
) -> None:
    factories.add_recording(direct, org_id=ORGS[0])
    client, other, *_ = clients
    with client.as_role(ORGS[0], "playhead_app").transaction() as connection:
        connection.execute("select 1")
        connection.pgconn.finish()  # as a process that is killed
        [row] = other.rows(b"select current_org() as org, current_user::text as who")
    assert (row["org"], row["who"]) == (None, "postgres")


def test_nothing_is_prepared_on_a_connection_that_others_have_next(
    clients: list[Database], direct: Database
) -> None:
    for _ in range(10):  # psycopg prepares what it has sent five times
        for client in clients:
            assert client.rows(b"select %(number)s::integer as number", number=1) == [{"number": 1}]
    with direct.connection() as connection:
        assert connection.prepare_threshold is not None


def test_a_setting_outside_a_transaction_would_have_leaked(clients: list[Database]) -> None:
    """So that the tests above are known to share one connection."""
    client, other, *_ = clients
    with client.connection() as connection:
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
