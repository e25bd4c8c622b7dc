"""``report.html``: a run for people, in one file without scripts or external assets."""

from rlpost.report.page import write_report

__all__ = ["write_report"]
