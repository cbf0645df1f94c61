"""Several roles of an account, and why something was changed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("why", sa.String(500), nullable=False, server_default=""))
    with op.batch_alter_table("accounts") as table:
        table.alter_column(
            "role", type_=sa.String(80), existing_type=sa.String(16), existing_nullable=False
        )
