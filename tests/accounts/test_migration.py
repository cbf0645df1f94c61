from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from accounts.database import open_database
from accounts.migration import migrate
from accounts.tables import Base


def test_migrations_make_the_tables_as_they_are_mapped(url):
    migrate(url)
    engine = open_database(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(url):
    migrate(url)
    migrate(url)
    engine = open_database(url)
    assert set(Base.metadata.tables) < set(inspect(engine).get_table_names())
    engine.dispose()


def test_sqlite_is_in_wal_mode_and_waits_for_the_disk(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/new folder/a.db")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    engine.dispose()
