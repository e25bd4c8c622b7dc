"""Report toolkit: pages, SVG charts, tables."""
