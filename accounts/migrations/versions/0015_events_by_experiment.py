"""An index by which an experiment's report finds its own events"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("events_by_experiment", "events", ["experiment", "started_ms"])
