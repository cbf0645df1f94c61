"""Which browser a registration was made in, and what a key was rotated to"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("owed_mail", "mailed_tokens"):
        op.add_column(table, sa.Column("browser_hash", sa.String(64), nullable=True))
    op.add_column("api_keys", sa.Column("replaced_by", sa.String(24), nullable=True))
