"""Use cases that join services, or that have to ask a person first.

Each takes the :class:`~launcher.core.Core` (or the one service that it needs) and, where a person decides, an
:class:`~launcher.actions.ask.Ask`. Window and command line do the same deeds by them. Nothing here knows Qt or prints.
"""
