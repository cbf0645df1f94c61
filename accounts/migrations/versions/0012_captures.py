"""Requests that customers let us keep"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "capture_choices",
        sa.Column("account_id", sa.String(24), primary_key=True),
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("percent", sa.Float(), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "captures",
        sa.Column("account_id", sa.String(24), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("object", sa.String(120), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("wrapped", sa.String(128), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False, index=True),
        sa.Index("captures_by_object", "object"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
