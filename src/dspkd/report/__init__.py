"""A run, or several, as one page to read: HTML that needs no network, no script and no other file. No torch here."""

from dspkd.report.audit_page import write as write_audit
from dspkd.report.compare_page import compare
from dspkd.report.run_page import write

__all__ = ["compare", "write", "write_audit"]
