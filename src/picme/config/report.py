"""Configuration of the report."""

from __future__ import annotations

from pydantic import Field

from picme.config.base import Section
from picme.config.bounds import Number


class ReportConfig(Section):
    """Options of `report.html`; none of them changes a number."""

    title: str = ""
    """Heading of the report; the study's name where empty."""
    paper: bool = True
    """Show the paper's figures beside those of the same combination and task."""
    tsne_points: Number = Field(60_000, ge=100)
    """Most points of all t-SNE frames together; stays beyond that are left out evenly, to keep the file small."""
    combinations: Number = Field(30, ge=1)
    """Most combinations that a figure with one view per combination offers, best first."""
