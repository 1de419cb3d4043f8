"""Plans."""

from resources.postgres.database import Database


class Plans:
    def __init__(self, database: Database) -> None:
        self._database = database
