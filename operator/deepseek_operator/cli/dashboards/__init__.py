"""The chart's dashboards: one source, `core/dashboards.py` for each kind and two pages here, and how Grafana and Perses have it."""
