"""What each route answers: the bodies, the statuses and the words of Ollama 0.33 (server/routes.go)."""

from __future__ import annotations
