"""What the model costs, beside networks that people know. Run `python -m benchmarks.inference`."""
