"""Retrievers: each proposes items for a context by one method, behind one signature."""
