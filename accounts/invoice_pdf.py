"""A bill on paper."""

from __future__ import annotations

from fpdf import FPDF

from accounts.clock import moment, month_name
from accounts.invoices import Bill

WIDTHS = (44, 24, 28, 28, 26, 30)
TITLES = ("Model", "Unit", "Used", "Free", "Unit price", "Amount")


class _Page(FPDF):
    """A4 with a foot that says what it is a page of.

    Args:
        issuer: the first line of who bills.
    """

    def __init__(self, title: str, issuer: str) -> None:
        super().__init__(format="A4")
        self._foot = " · ".join(filter(None, (issuer, title)))
        self.set_title(title)
        self.set_creator("vision")
        self.set_auto_page_break(True, margin=22)

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", size=8)
        self.cell(0, 8, _latin(self._foot))
        self.set_x(self.l_margin)
        self.cell(0, 8, f"Page {self.page_no()} of {{nb}}", align="R")


def invoice_pdf(bill: Bill) -> bytes:
    """One page or more, A4. The built-in fonts have Latin letters; others become question marks."""
    page = _Page(_title(bill), bill.issuer[0] if bill.issuer else "")
    page.add_page()
    page.set_font("Helvetica", size=9)
    for text in bill.issuer:
        page.cell(0, 4.5, _latin(text), align="R", new_x="LMARGIN", new_y="NEXT")
    page.set_font("Helvetica", "B", 18)
    page.cell(0, 16, _title(bill), new_x="LMARGIN", new_y="NEXT")
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
    for text in (
        f"Net {bill.shown(bill.net_minor)}",
        f"VAT {bill.vat_percent} % {bill.shown(bill.vat_minor)}",
    ):
        page.cell(0, 6, text, align="R", new_x="LMARGIN", new_y="NEXT")
    page.set_font("Helvetica", "B", 12)
    page.cell(0, 8, f"Total {bill.shown(bill.total_minor)}", align="R")
    return bytes(page.output())


def _title(bill: Bill) -> str:
    if bill.number is None:
        return f"Usage of {month_name(bill.month)} so far"
    return f"Invoice {bill.shown_number}"


def _heading(bill: Bill) -> list[str]:
    lines = [
        f"Account {bill.account_id} {bill.email}".rstrip(),
        f"For {month_name(bill.month)} (UTC)",
    ]
    if bill.issued_ms is not None:
        lines.append(f"Issued {moment(bill.issued_ms):%Y-%m-%d}")
    return lines


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")
