"""The window's composition root: nobody but the entry imports it.

::

    qt.py          the first import of PySide6
    start.py       one window for each person, its application, the first paint, and then the loop
    front.py       what the first paint shows, without asyncio: store, theme, window, the first page
    launcher.py    the run: the services, what joins them to the window, and the end
    pages.py       the pages, made when they are first looked at, and connected
    wishes.py      what the wishes of pages and tray mean to the services
    choices.py     the settings: read, changed, and what a change does
    presence.py    window and tray: where the launcher is seen, and where it goes when it is closed
    unexpected.py  what Qt says and what nobody expected, up to one crash report
    outside.py     what is opened or started outside of the window
"""
