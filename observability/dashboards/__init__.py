"""Five dashboards, each for one question; `python -m observability.dashboards.build` writes what Grafana reads."""
