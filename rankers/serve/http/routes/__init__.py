"""The routes, grouped by API."""
