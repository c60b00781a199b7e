"""What watches a study run, beside the tables: gauges for Prometheus, files for TensorBoard."""
