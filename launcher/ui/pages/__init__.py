"""The pages. Each renders what the store holds and emits ``*_requested``; none knows another, or any service."""
