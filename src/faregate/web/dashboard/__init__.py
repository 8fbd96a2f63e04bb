"""The operator's dashboard: one module per page, each with a table `PAGES` of its routes."""
