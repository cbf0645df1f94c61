"""Alembic's entry: runs the migrations of ``versions/`` on the URL that it is given."""

from __future__ import annotations

from alembic import context

from accounts.database import open_database
from accounts.tables import Base

engine = open_database(
    context.config.attributes["url"], ca_file=context.config.attributes.get("ca_file")
)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
