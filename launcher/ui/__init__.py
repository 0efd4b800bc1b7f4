"""The window: renders snapshots and emits wishes, and decides nothing.

Imports PySide6, the domain, errors and paths; never a service, httpx or asyncio. The parts lean on each other in
this order: ``store``, ``theme``, ``units`` → ``shapes``, ``phrases`` → ``widgets`` → ``pages``, ``tray`` →
``main_window``.
"""
