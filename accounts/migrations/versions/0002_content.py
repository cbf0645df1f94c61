"""Events know what was asked"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("content", sa.String(length=64), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("withheld", sa.Integer(), nullable=False, server_default="0"))
