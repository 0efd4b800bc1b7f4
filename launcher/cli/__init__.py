"""The command line: the same services as the window, for terminals, scripts and machines without a display.

:mod:`.main` names the commands and turns whatever happens into an exit code, :mod:`.run` gives a command its loop and
its signals, :mod:`.failures` holds the table of exit codes, :mod:`.output` writes; every other module is one group of
commands. Imports neither Qt nor, before a command needs them, httpx, pydantic, psutil or rich: ``status`` is called
by scripts and prompts.
"""
