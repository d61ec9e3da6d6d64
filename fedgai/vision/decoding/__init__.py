"""Bytes to pictures, as they are meant to be seen. Runs in a process of its own (``process``), where it can be ended.

Imports nothing else of FedGAI, so that the process starts in a moment.
"""
