"""The platform: studies, trials on Ray, tables and the report."""
