"""Networks, adaptation methods, data, metrics and one training. Knows no Ray."""
