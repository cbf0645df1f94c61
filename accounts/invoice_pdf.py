"""A bill on paper."""

from __future__ import annotations

from fpdf import FPDF

from accounts.clock import moment
from accounts.invoices import Bill

WIDTHS = (44, 24, 28, 28, 26, 30)
TITLES = ("Model", "Unit", "Used", "Free", "Unit price", "Amount")


def invoice_pdf(bill: Bill) -> bytes:
    """One page or more, A4. The built-in fonts have Latin letters; others become question marks."""
    page = FPDF(format="A4")
    page.set_title(_title(bill))
    page.set_creator("vision")
    page.add_page()
    page.set_font("Helvetica", "B", 18)
    page.cell(0, 12, _title(bill), new_x="LMARGIN", new_y="NEXT")
    page.set_font("Helvetica", size=10)
    for text in _heading(bill):
        page.cell(0, 6, _latin(text), new_x="LMARGIN", new_y="NEXT")
    page.ln(6)
    with page.table(
        col_widths=WIDTHS,
        text_align=("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT", "RIGHT"),
        borders_layout="HORIZONTAL_LINES",
    ) as table:
        table.row(TITLES)
        for line in bill.lines:
            table.row(
                (
                    _latin(line.model),
                    line.unit,
                    line.quantity,
                    line.free,
                    line.unit_price,
                    bill.shown(line.amount_minor),
                )
            )
    page.ln(4)
    page.set_font("Helvetica", "B", 12)
    page.cell(0, 8, f"Total {bill.shown(bill.total_minor)}", align="R")
    return bytes(page.output())


def _title(bill: Bill) -> str:
    return f"Usage of {bill.month} so far" if bill.number is None else f"Invoice {bill.number}"


def _heading(bill: Bill) -> list[str]:
    lines = [f"Account {bill.account_id} {bill.email}".rstrip(), f"Month {bill.month} (UTC)"]
    if bill.issued_ms is not None:
        lines.append(f"Issued {moment(bill.issued_ms):%Y-%m-%d}")
    return lines


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")
