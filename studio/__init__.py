"""What ``app.py`` serves: the drawing behind the page, the page, and the endpoints for programs."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so is the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
