"""What runs on the designer's machine. Never imports federation.server."""
