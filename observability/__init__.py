"""How people see driftgate: Grafana dashboards, and Prometheus with Grafana on one machine. Not installed."""
