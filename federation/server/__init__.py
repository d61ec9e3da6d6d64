"""What runs beside the studio. Never imports federation.designer."""
