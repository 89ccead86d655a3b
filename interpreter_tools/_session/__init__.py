"""Sessions: identity, turns, workspace, history."""
