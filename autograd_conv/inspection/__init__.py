"""Looking at tapes: tables, graphs, pages, profiles, anomalies, checks.

Nothing here is imported before somebody looks, and nothing of the engine knows of it.
"""
