"""Bills can be taken back"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAMES = {"uq": "uq_%(table_name)s_%(column_0_name)s"}


def upgrade() -> None:
    column = sa.Column("voided_ms", sa.BigInteger(), nullable=False, server_default="0")
    columns = ["account_id", "month", "voided_ms"]
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("invoices", naming_convention=NAMES) as batch_op:
            batch_op.add_column(column)
            batch_op.drop_constraint("uq_invoices_account_id", type_="unique")
            batch_op.create_unique_constraint("one_bill_per_month", columns)
        return
    op.add_column("invoices", column)
    # First: the foreign key needs an index that begins with account_id.
    op.create_unique_constraint("one_bill_per_month", "invoices", columns)
    op.drop_constraint("account_id", "invoices", type_="unique")
