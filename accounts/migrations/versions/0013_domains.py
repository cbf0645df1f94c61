"""Customers' domains"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "domains",
        sa.Column("name", sa.String(253), primary_key=True),
        sa.Column("account_id", sa.String(24), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("models", sa.String(500), nullable=False),
        sa.Column("rate_per_second", sa.Integer(), nullable=True),
        sa.Column("problem", sa.String(300), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=True),
        sa.Column("active_ms", sa.BigInteger(), nullable=True),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("domains_by_state", "domains", ["state", "name"])
    op.create_index("ix_domains_due_ms", "domains", ["due_ms"])
