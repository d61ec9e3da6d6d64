"""What ``app.py`` serves: the drawing behind the page, the page, and the endpoints for programs."""
