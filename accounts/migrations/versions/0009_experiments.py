"""Experiments, and which of their variants answered an event"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("sticky_by", sa.String(64), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("variants", sa.Text(), nullable=False),
        sa.Column("shadow", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("shares_ms", sa.BigInteger(), nullable=False),
        sa.Column("stopped_ms", sa.BigInteger(), nullable=True),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("ix_experiments_stopped_ms", "experiments", ["stopped_ms"])
    with op.batch_alter_table("events", schema=None) as batch_op:
        for name, size in (("experiment", 40), ("variant", 40), ("subject", 16)):
            batch_op.add_column(sa.Column(name, sa.String(size), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("unsure", sa.Integer(), nullable=True))
