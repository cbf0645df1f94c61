"""Work that led to no answer is metered"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("events", "usage_hours"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(
                sa.Column(
                    "unanswered_milliseconds", sa.BigInteger(), nullable=False, server_default="0"
                )
            )
