"""Compares the writer with Kinto, request by request."""
