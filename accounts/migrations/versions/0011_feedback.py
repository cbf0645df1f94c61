"""What was predicted, and what was right"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("account_id", sa.String(24), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("revision", sa.String(63), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False, index=True),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "feedback",
        sa.Column("account_id", sa.String(24), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("instance", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("revision", sa.String(63), nullable=False),
        sa.Column("predicted", sa.String(200), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("unsure", sa.Boolean(), nullable=False),
        sa.Column("predicted_ms", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("words", sa.Integer(), nullable=False),
        sa.Column("given_ms", sa.BigInteger(), nullable=False),
        sa.Index("feedback_by_model", "model", "predicted_ms"),
        sa.Index("feedback_by_account", "account_id", "predicted_ms"),
        sa.Index("feedback_by_age", "predicted_ms"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "feedback_words",
        sa.Column("account_id", sa.String(24), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("instance", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False, index=True),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
