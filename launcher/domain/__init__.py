"""Values and pure functions: everything that is published or shown. No asyncio, no os, no clock, no logging."""
