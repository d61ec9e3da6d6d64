"""Figures about drawings."""
