"""Audits: what is online, held against what the events say, by an engine that shares no code with the flows."""
