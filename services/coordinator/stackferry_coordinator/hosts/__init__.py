"""Conversion hosts: who is there, who works for which volume, and what people say about them."""
